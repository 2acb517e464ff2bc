"""Which way mail takes, and that nobody sees the login of a proxy."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import redis

from gateway.errors import ConnectError, InvalidRequestError
from gateway.model.account import AccountCreate, AccountUpdate
from gateway.model.account_errors import NetworkRouting
from gateway.model.relay import RelayCreate
from gateway.model.submission import OutboxEntry, SubmitRequest
from gateway.provider import Envelope, Route, SubmitReceipt
from gateway.services.container import Services
from gateway.settings import Egress
from gateway.store.outbox import OutboxMessage
from tests.integration.services.world import World, open_world
from tests.rigs.proxies import SmallProxy
from tests.unit.smtp.smtp_sink import SmtpSink

pytestmark = pytest.mark.anyio

IMAP = {"host": "imap.example.test", "port": 993, "secure": True, "auth": {"user": "u", "pass": "p"}}
SMTP = {"host": "smtp.example.test", "port": 587, "auth": {"user": "u", "pass": "p"}}
PROXY = "socks5://gate:s3cret@proxy.example.test:1080"
SHOWN = "socks5://******@proxy.example.test:1080"
OTHER = "http://t0ken@other.example.test:3128"
OTHER_SHOWN = "http://******@other.example.test:3128"


@pytest.fixture
async def services(redis_url: str, anyio_backend: str) -> AsyncIterator[Services]:
    """Services with the account `ann`, which has servers of its own; proxies on loopback are allowed."""
    async with open_world(redis_url, egress=Egress(private=True)) as world:
        await account(world.services)
        yield world.services


async def account(services: Services, **members: Any) -> None:
    wire = {"account": "ann", "name": "", "email": "ann@example.test", "imap": IMAP, "smtp": SMTP, **members}
    await services.accounts.create(msgspec.convert(wire, AccountCreate))


async def change(services: Services, **members: Any) -> None:
    await services.accounts.update("ann", msgspec.convert(members, AccountUpdate))


async def submit(services: Services, **members: Any) -> str:
    wire = {"to": [{"address": "bob@example.test"}], "subject": "s", "text": "t", **members}
    queue_id = (await services.submissions.submit("ann", msgspec.convert(wire, SubmitRequest))).queue_id
    assert queue_id is not None
    return queue_id


async def routes(services: Services) -> tuple[Route, Route]:
    """The ways of the account's own connections: IMAP, SMTP."""
    stored = await services.account_store.get("ann")
    assert stored is not None
    found = await services.routing.of_account(stored.config)
    return found["imap"], found["smtp"]


class Sent:
    """What was handed to the account's own session, or fails there."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.envelopes: list[Envelope] = []

    async def hand_over(self, message: bytes, envelope: Envelope) -> SubmitReceipt:
        self.envelopes.append(envelope)
        if self.error is not None:
            raise self.error
        return SubmitReceipt(response="250 ok", network_routing=NetworkRouting(local_address="127.0.0.1", proxy=SHOWN))

    async def file_copy(self, entry: OutboxEntry, message: OutboxMessage) -> None:
        pass

    async def deliver(self, services: Services, queue_id: str) -> None:
        """Run the job of an entry."""
        await services.deliveries.deliver("ann", queue_id, "worker", self.hand_over, self.file_copy)


async def told(services: Services, event: str) -> Any:
    """The data of the last event of a name."""
    found = [each for each in await services.events.recent("ann", 50) if each.event == event]
    return json.loads(bytes(found[0].data))


async def test_what_a_submission_asks_for_goes_before_the_account_and_that_before_the_settings(
    services: Services,
) -> None:
    """Each may be left out."""
    assert [route.direct for route in await routes(services)] == [True, True]
    await services.runtime_settings.update({"proxyUrl": OTHER, "smtpEhloName": "gw.example.test"})
    assert [route.proxy for route in await routes(services)] == [None, None], "it is not switched on"
    await services.runtime_settings.update({"proxyEnabled": True})
    assert [route.proxy for route in await routes(services)] == [OTHER, OTHER]
    await change(services, proxy=PROXY, smtpEhloName="ann.example.test")
    imap, smtp = await routes(services)
    assert (imap.proxy, smtp.proxy, smtp.ehlo_name) == (PROXY, PROXY, "ann.example.test")
    sent = Sent()
    await sent.deliver(services, await submit(services))
    await sent.deliver(services, await submit(services, proxy="http://x:y@third.example.test"))
    await sent.deliver(services, await submit(services, localAddress="127.0.0.5"))
    plain, through, from_address = (envelope.route for envelope in sent.envelopes)
    assert plain is None, "the session's own connection is used, and kept"
    assert through is not None
    assert (through.proxy, through.ehlo_name) == ("http://x:y@third.example.test", "ann.example.test")
    assert from_address is not None
    assert (from_address.proxy, from_address.local_address) == (PROXY, "127.0.0.5")
    await change(services, proxy="", smtpEhloName=None)
    _, smtp = await routes(services)
    assert (smtp.proxy, smtp.ehlo_name) == (OTHER, "gw.example.test")


async def test_what_imap_servers_are_told_of_the_client_is_a_setting(services: Services) -> None:
    """Nothing, where nothing was set."""
    assert (await routes(services))[0].client == ()
    await services.runtime_settings.update({"imapClientName": "Desk", "imapClientSupportUrl": "https://desk.example"})
    assert (await routes(services))[0].client == (("name", "Desk"), ("support-url", "https://desk.example"))
    with pytest.raises(InvalidRequestError):
        await services.runtime_settings.update({"imapClientVendor": "two\r\nlines"})


async def test_local_addresses_are_the_systems_choice_dedicated_or_random(services: Services) -> None:
    """An account that always comes from one address keeps its reputation to itself."""
    addresses = [f"127.0.0.{number}" for number in range(2, 10)]
    await services.runtime_settings.update({"localAddresses": addresses})
    assert [route.local_address for route in await routes(services)] == [None, None]
    await services.runtime_settings.update({"smtpStrategy": "dedicated", "imapStrategy": "default"})
    found = [await routes(services) for _ in range(5)]
    assert {imap.local_address for imap, _ in found} == {None}
    assert len({smtp.local_address for _, smtp in found}) == 1
    assert found[0][1].local_address in addresses
    await services.runtime_settings.update({"smtpStrategy": "random", "imapStrategy": "random"})
    assert len({route.local_address for _ in range(20) for route in await routes(services)}) > 1
    await services.runtime_settings.update({"localAddresses": None})
    assert [route.local_address for route in await routes(services)] == [None, None]


async def test_the_login_of_a_proxy_is_sealed_and_never_shown(services: Services, redis_url: str) -> None:
    """Not in Redis, not in an answer, not in an event."""
    await services.runtime_settings.update({"proxyUrl": OTHER, "proxyEnabled": True})
    await change(services, proxy=PROXY)
    queue_id = await submit(services, proxy=PROXY, localAddress="127.0.0.5")
    entry = await services.submissions.get(queue_id)
    assert (entry.proxy, entry.local_address) == (SHOWN, "127.0.0.5")
    await Sent(ConnectError("x", network_routing=NetworkRouting(proxy=SHOWN))).deliver(services, queue_id)
    detail = await services.accounts.get("ann")
    listed = (await services.accounts.list(page=0, page_size=10)).accounts[0]
    assert detail.proxy == listed.proxy == SHOWN
    with redis.Redis.from_url(redis_url) as database:
        stored = b"".join(database.dump(name) or b"" for name in database.keys("*"))
        texts = [database.hgetall(name) for name in database.keys("*") if database.type(name) == b"hash"]
    for secret in (b"s3cret", b"t0ken", b"gate:"):
        assert secret not in stored
        assert secret not in repr(texts).encode()
    shown = msgspec.json.encode([detail, listed, await services.submissions.get(queue_id)])
    shown += msgspec.json.encode(await services.events.recent("ann", 50))
    assert b"s3cret" not in shown


async def test_a_proxy_that_comes_back_as_it_was_shown_stays_as_it_is(services: Services) -> None:
    """Clients read an account, change a member, and write all of it back."""
    await change(services, proxy=PROXY)
    await change(services, proxy=SHOWN, name="Ann")
    assert (await routes(services))[1].proxy == PROXY
    await account(services, proxy=SHOWN)
    assert (await routes(services))[1].proxy == PROXY
    await change(services, name="Anna")
    assert (await routes(services))[1].proxy == PROXY
    await change(services, proxy="socks5://gate:changed@proxy.example.test:1080")
    assert (await routes(services))[1].proxy == "socks5://gate:changed@proxy.example.test:1080"
    await services.runtime_settings.update({"proxyUrl": OTHER, "proxyEnabled": True})
    assert await services.runtime_settings.update({"proxyUrl": OTHER_SHOWN}) == ["proxyUrl"]
    assert await services.runtime_settings.get("proxyUrl") == OTHER
    with pytest.raises(InvalidRequestError) as refused:
        await services.runtime_settings.update({"proxyUrl": "socks5://******@elsewhere.example:1080"})
    assert refused.value.details["fields"][0]["key"] == "proxyUrl"
    assert await services.runtime_settings.get("proxyUrl") == OTHER
    await change(services, proxy="")
    assert (await routes(services))[1].proxy == OTHER
    assert (await services.accounts.get("ann")).proxy is None


async def test_a_changed_proxy_or_name_means_new_connections(services: Services) -> None:
    """The old ones would go on the old way until they are closed for want of use."""
    for members in (
        {"proxy": PROXY},
        {"proxy": PROXY.replace("s3cret", "n3w")},
        {"smtpEhloName": "ann.example.test"},
        {"proxy": ""},
    ):
        await services.account_store.set_state("ann", "connected", None)
        await change(services, **members)
        assert (await services.accounts.recent_state("ann"))[0] == "init", members
    await services.account_store.set_state("ann", "connected", None)
    await change(services, name="Ann")
    assert (await services.accounts.recent_state("ann"))[0] == "connected"


@pytest.mark.parametrize(
    ("members", "key"),
    [
        ({"proxy": "https://u:s3cret@proxy.example.test"}, "proxy"),
        ({"proxy": "socks5://u:s3cret@proxy.example.test/path"}, "proxy"),
        ({"localAddress": "::1::1"}, "localAddress"),
        ({"localAddress": "300.0.0.1"}, "localAddress"),
    ],
)
async def test_what_cannot_be_followed_is_refused_at_once(
    services: Services, members: dict[str, Any], key: str
) -> None:
    """And named, without being repeated."""
    with pytest.raises(InvalidRequestError) as refused:
        await submit(services, **members)
    assert refused.value.details["fields"][0]["key"] == key
    assert "s3cret" not in repr(refused.value.record())
    if key == "proxy":
        with pytest.raises(InvalidRequestError):
            await change(services, **members)
        with pytest.raises(InvalidRequestError):
            await services.runtime_settings.update({"proxyUrl": members["proxy"]})
    else:
        with pytest.raises(InvalidRequestError):
            await services.runtime_settings.update({"localAddresses": [members["localAddress"]]})


async def test_the_way_is_told_of_what_was_sent_and_of_what_was_not(services: Services) -> None:
    """Whoever runs several proxies wants to know which one it was."""
    routing = {"localAddress": "127.0.0.1", "proxy": SHOWN}
    await Sent().deliver(services, await submit(services))
    assert (await told(services, "messageSent"))["networkRouting"] == routing
    status = (await services.accounts.get("ann")).smtp_status
    assert status is not None
    assert status.network_routing == NetworkRouting(local_address="127.0.0.1", proxy=SHOWN)
    error = ConnectError("the proxy refuses", network_routing=status.network_routing)
    failing = await submit(services, deliveryAttempts=1)
    await Sent(error).deliver(services, failing)
    entry = await services.submissions.get(failing)
    assert entry.progress.error is not None
    assert entry.progress.error.network_routing == status.network_routing
    assert (await told(services, "messageDeliveryError"))["networkRouting"] == routing
    assert (await told(services, "messageFailed"))["networkRouting"] == routing


async def test_relays_are_reached_the_same_way(services: Services) -> None:
    """A connection to a relay is kept for the way that it took; a refusal is told with it."""
    sent = Sent()
    async with SmallProxy(login=("gate", "s3cret")) as proxy, SmtpSink() as sink:
        wire = {"gateway": "r", "name": "R", "host": "localhost", "port": sink.server.port}
        await services.relays.create(msgspec.convert(wire, RelayCreate))
        await sent.deliver(services, await submit(services, gateway="r"))
        assert proxy.asked == []
        await change(services, proxy=proxy.url("socks5", "gate:s3cret"))
        for _ in range(2):
            await sent.deliver(services, await submit(services, gateway="r"))
        assert proxy.asked == [("socks5", "localhost", sink.server.port)]
        assert len(sink.received) == 3
        routing = {"localAddress": "127.0.0.1", "proxy": proxy.url("socks5", "******")}
        assert (await told(services, "messageSent"))["networkRouting"] == routing
        await sent.deliver(services, await submit(services, gateway="r", proxy=proxy.url("http", "gate:wr0ng")))
        error = (await services.relays.get("r")).last_error
        assert error is not None
        assert error.network_routing is not None
        assert error.network_routing.proxy == proxy.url("http", "******")
        assert error.remedy is not None
        assert error.remedy.code == "proxy_refused"
        await services.relays.aclose()
    assert sent.envelopes == []


async def test_a_proxy_inside_the_gateways_network_needs_the_operators_leave(world: World) -> None:
    """By default a submission can choose public addresses only."""
    await world.add_account()
    services = world.services
    async with SmallProxy() as proxy, SmtpSink() as sink:
        wire = {"gateway": "r", "name": "R", "host": "localhost", "port": sink.server.port}
        await services.relays.create(msgspec.convert(wire, RelayCreate))
        queue_id = await submit(services, gateway="r", proxy=proxy.url("socks5"))
        await Sent().deliver(services, queue_id)
        entry = await services.submissions.get(queue_id)
        assert entry.progress.error is not None
        assert entry.progress.error.code == "EgressRefused"
        assert entry.progress.error.remedy is not None
        assert entry.progress.error.remedy.who == "operator"
        assert proxy.asked == []
        assert sink.connections == 0
        await services.relays.aclose()
