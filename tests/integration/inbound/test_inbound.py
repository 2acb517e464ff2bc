"""The receiver of delivery tests over real SMTP, with a real Redis and a real name server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiosmtplib
import msgspec
import pytest

from gateway.errors import ConfigurationError, ResourceNotFoundError
from gateway.inbound.server import check, listening
from gateway.inbound.session import MAX_SIZE, MOST_CONNECTIONS, MOST_FAILURES
from gateway.model.delivery_test import DeliveryTestCheck
from gateway.model.submission import OutboxProgress, OutboxProgressError
from gateway.redis import keys
from gateway.services.delivery_tests.service import OPEN
from gateway.settings import Settings
from tests.integration.services.world import World, open_world
from tests.rigs.certificates import Certificates
from tests.rigs.mail_domain import LETTER, MailDomain
from tests.rigs.name_server import NameServer, running_name_server
from tests.rigs.ports import reserve_port

pytestmark = pytest.mark.anyio

DOMAIN = "delivery.test"


class Reception:
    """A running receiver, its name server, and an account that starts tests."""

    def __init__(self, world: World, settings: Settings, names: NameServer) -> None:
        self.world = world
        self.settings = settings
        self.names = names
        self.tests = world.services.delivery_tests

    async def start(self) -> tuple[str, str]:
        """Start a test; return its id and the address that its message goes to."""
        id = (await self.tests.start("ann")).delivery_test
        return id, f"{id}@{DOMAIN}"

    async def connect(self, **options: Any) -> aiosmtplib.SMTP:
        """Return a connection of somebody who brings mail."""
        chosen = {"start_tls": False, "local_hostname": "mx.example.test", **options}
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=self.settings.inbound_port, **chosen)
        await client.connect()
        return client

    async def deliver(self, recipient: str, message: bytes = LETTER, sender: str = "ann@example.test") -> str:
        """Bring one message; return the answer."""
        client = await self.connect()
        try:
            _, reply = await client.sendmail(sender, [recipient], message)
            return reply
        finally:
            client.close()

    async def told(self, id: str) -> DeliveryTestCheck:
        """What the account is told of a test."""
        return await self.tests.check(id, account="ann")


@asynccontextmanager
async def receiving(redis_url: str, **members: Any) -> AsyncIterator[Reception]:
    async with running_name_server() as names, open_world(redis_url, delivery_test_domain=DOMAIN) as world:
        await world.add_account()
        settings = Settings(
            delivery_test_domain=DOMAIN,
            inbound_port=reserve_port(),
            inbound_resolver=("127.0.0.1", names.port),
            **members,
        )
        async with listening(world.services, settings, check(settings)):
            yield Reception(world, settings, names)


@pytest.fixture
async def reception(redis_url: str, anyio_backend: str) -> AsyncIterator[Reception]:
    async with receiving(redis_url) as running:
        yield running


async def refused(client: aiosmtplib.SMTP, recipient: str) -> int:
    with pytest.raises(aiosmtplib.SMTPResponseException) as error:
        await client.rcpt(recipient)
    return error.value.code


async def test_a_signed_message_is_told_to_pass_every_check(reception: Reception) -> None:
    """And that it came from here, with what the host called itself."""
    domain = MailDomain("example.test", reception.names)
    domain.publish_key()
    domain.publish_spf("ip4:127.0.0.1 -all")
    domain.publish_dmarc("p=reject")
    id, address = await reception.start()
    assert (await reception.told(id)).status == "pending"
    assert (await reception.deliver(address, domain.seal(domain.sign()))).startswith("2.0.0 OK")
    told = await reception.told(id)
    assert (told.success, told.status, told.error) == (True, "success", None)
    assert told.spf is not None and told.dmarc is not None and told.arc is not None and told.main_sig is not None
    checks = (told.spf, told.dmarc, told.arc, told.main_sig)
    assert [one.status.result for one in checks] == ["pass"] * 4
    assert (told.spf.client_ip, told.spf.helo) == ("127.0.0.1", "mx.example.test")
    assert told.main_sig.status.aligned == "example.test"


async def test_a_message_that_nobody_signed_from_a_host_that_may_not_send_fails(reception: Reception) -> None:
    domain = MailDomain("example.test", reception.names)
    domain.publish_spf("-all")
    domain.publish_dmarc("p=quarantine")
    id, address = await reception.start()
    await reception.deliver(address.upper())
    told = await reception.told(id)
    assert told.spf is not None and told.dmarc is not None and told.arc is not None and told.main_sig is not None
    assert told.status == "success"
    assert [one.status.result for one in (told.spf, told.main_sig, told.dmarc, told.arc)] == [
        "fail",
        "none",
        "fail",
        "none",
    ]
    assert told.dmarc.policy == "quarantine"


async def test_the_message_of_a_test_goes_into_the_outbox_of_the_account(reception: Reception) -> None:
    """To the one address, and without a copy under Sent."""
    _, address = await reception.start()
    (entry,) = (await reception.world.services.submissions.list(page=0, page_size=10)).messages
    assert (entry.account, entry.source, entry.envelope.to) == ("ann", "test", (address,))
    assert entry.copy is False


async def test_no_address_but_that_of_an_open_test_gets_mail(reception: Reception) -> None:
    """It is no relay, and a test waits for an hour."""
    id, address = await reception.start()
    client = await reception.connect()
    await client.mail("ann@example.test")
    for recipient in (f"{'0' * 32}@{DOMAIN}", f"{id}@other.test", f"postmaster@{DOMAIN}", f"{id}x@{DOMAIN}"):
        assert await refused(client, recipient) == 550
    assert (await client.rcpt(address)).code == 250
    assert await refused(client, address) == 452
    await client.rset()
    reception.world.clock.advance(OPEN.total_seconds())
    await client.mail("ann@example.test")
    assert await refused(client, address) == 550
    told = await reception.told(id)
    assert (told.success, told.status) == (False, "failed")
    assert "within an hour" in (told.error or "")
    client.close()


async def test_who_guesses_addresses_is_hung_up_on(reception: Reception) -> None:
    client = await reception.connect()
    await client.mail("x@example.test")
    codes = [await refused(client, f"{number}@{DOMAIN}") for number in range(MOST_FAILURES)]
    assert codes == [550] * (MOST_FAILURES - 1) + [421]
    with pytest.raises(aiosmtplib.SMTPException):
        await client.noop()


async def test_nobody_logs_in_and_no_address_is_verified(reception: Reception) -> None:
    client = await reception.connect()
    await client.ehlo()
    assert not client.supports_extension("auth")
    assert (await client.execute_command(b"AUTH PLAIN AGFubgB4")).code >= 500
    assert (await client.execute_command(b"VRFY <postmaster>")).code == 252
    client.close()


async def test_a_message_that_is_too_large_is_refused(reception: Reception) -> None:
    """Whether its size is told before or not."""
    id, address = await reception.start()
    large = LETTER + (b"x" * 98 + b"\r\n") * (MAX_SIZE // 100 + 1)
    client = await reception.connect()
    await client.ehlo()
    with pytest.raises(aiosmtplib.SMTPResponseException) as error:
        await client.mail("ann@example.test", options=[f"SIZE={MAX_SIZE + 1}"])
    assert error.value.code == 552
    await client.mail("ann@example.test")
    await client.rcpt(address)
    with pytest.raises(aiosmtplib.SMTPDataError) as refusal:
        await client.data(large)
    assert refusal.value.code == 552
    assert (await reception.told(id)).status == "pending"
    client.close()


@pytest.mark.parametrize("message", [b"\xff\xfe\r\n", b"\r\n", b" x\r\n", b"From: <<<>>>\r\nDKIM-Signature: ;\r\n\r\n"])
async def test_garbage_is_an_answer_and_no_breakdown(reception: Reception, message: bytes) -> None:
    id, address = await reception.start()
    client = await reception.connect(local_hostname="..--")
    await client.ehlo()
    await client.mail("ann@example.test")
    await client.rcpt(address)
    assert (await client.data(message)).code == 250
    told = await reception.told(id)
    assert told.status == "success"
    assert told.dmarc is not None and told.dmarc.status.result == "permerror"
    client.close()


@pytest.mark.parametrize("sender", [b"", b"\xff\xfe@example.test", b"\xc3\xa4@b\xc3\xbccher.test"])
async def test_any_sender_gets_an_answer(reception: Reception, sender: bytes) -> None:
    """None at all, as of notifications, and octets that are no text."""
    id, address = await reception.start()
    client = await reception.connect()
    await client.ehlo()
    for command in (b"EHLO \xff.test", b"MAIL FROM:<" + sender + b">", f"RCPT TO:<{address}>".encode()):
        assert (await client.execute_command(command)).code == 250
    assert (await client.data(LETTER)).code == 250
    told = await reception.told(id)
    assert told.spf is not None and told.spf.status.result in ("none", "permerror")
    client.close()


async def test_only_the_first_message_counts_and_a_repeated_one_is_taken(reception: Reception) -> None:
    """Whoever did not hear the answer brings it again, and must not be told that it failed."""
    id, address = await reception.start()
    await reception.deliver(address)
    first = await reception.told(id)
    MailDomain("example.test", reception.names).publish_spf("+all")
    assert (await reception.deliver(address, sender="other@example.test")).startswith("2.0.0 OK")
    assert await reception.told(id) == first


async def test_a_name_server_that_does_not_know_is_told_as_a_temporary_error(reception: Reception) -> None:
    reception.names.broken = True
    id, address = await reception.start()
    await reception.deliver(address)
    told = await reception.told(id)
    assert told.spf is not None and told.dmarc is not None
    assert (told.spf.status.result, told.dmarc.status.result) == ("temperror", "temperror")


async def test_tls_is_offered_and_not_required(redis_url: str, certificates: Certificates) -> None:
    files = {"smtp_cert_file": certificates.chain, "smtp_key_file": certificates.key}
    async with receiving(redis_url, **files) as reception:
        id, address = await reception.start()
        client = await reception.connect()
        await client.ehlo()
        assert client.supports_extension("starttls")
        await client.starttls(validate_certs=False)
        await client.sendmail("ann@example.test", [address], LETTER)
        assert not client.supports_extension("auth")
        client.close()
        told = await reception.told(id)
        assert told.spf is not None and told.spf.client_ip == "127.0.0.1"
        _, in_the_clear = await reception.start()
        assert (await reception.deliver(in_the_clear)).startswith("2.0.0 OK")


async def test_too_many_connections_at_a_time_are_closed(reception: Reception) -> None:
    held = [socket.create_connection(("127.0.0.1", reception.settings.inbound_port)) for _ in range(MOST_CONNECTIONS)]
    try:
        greetings = [await asyncio.to_thread(one.recv, 100) for one in held]
        assert all(greeting.startswith(b"220 ") for greeting in greetings)
        with pytest.raises(aiosmtplib.SMTPException):
            await (await reception.connect()).ehlo()
    finally:
        for one in held:
            one.close()


async def test_a_test_is_the_accounts_own(reception: Reception) -> None:
    id, address = await reception.start()
    await reception.deliver(address)
    for wrong in ("0" * 32, id.upper(), "", "x" * 5000):
        with pytest.raises(ResourceNotFoundError) as unknown:
            await reception.tests.check(wrong)
        assert unknown.value.error_code == "DeliveryTestNotFound"
    with pytest.raises(ResourceNotFoundError) as foreign:
        await reception.tests.check(id, account="bob")
    assert (foreign.value.error_code, foreign.value.message) == ("DeliveryTestNotFound", unknown.value.message)
    assert (await reception.tests.check(id)).status == "success"


async def test_a_message_that_could_not_be_sent_fails_the_test_with_the_reason(reception: Reception) -> None:
    """One that has left the outbox is on its way."""
    id, _ = await reception.start()
    submissions = reception.world.services.submissions
    (entry,) = (await submissions.list(page=0, page_size=10)).messages
    progress = OutboxProgress(status="error", error=OutboxProgressError(message="the mailbox is full"))
    failed = msgspec.structs.replace(entry, state="failed", progress=progress)
    assert await reception.world.services.deliveries._outbox.transition(failed, since=("queued",))
    told = await reception.told(id)
    assert (told.success, told.status) == (False, "failed")
    assert told.error == "The message could not be sent: the mailbox is full"
    await submissions.delete(entry.queue_id)
    assert (await reception.told(id)).status == "pending"


async def test_a_test_and_its_report_are_forgotten_after_a_day(reception: Reception) -> None:
    id, address = await reception.start()
    await reception.deliver(address)
    services = reception.world.services
    for database, name in (
        (services.databases.control, keys.delivery_test_account(id)),
        (services.databases.data, keys.delivery_test("ann", id)),
        (services.databases.data, keys.delivery_tests_of("ann")),
    ):
        assert timedelta(hours=23).total_seconds() < await database.ttl(name) <= timedelta(hours=24).total_seconds()


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"delivery_test_domain": None}, "GATEWAY_DELIVERY_TEST_DOMAIN"),
        ({"inbound_host": "192.0.2.1"}, "cannot listen"),
    ],
)
async def test_a_receiver_that_could_not_work_does_not_start(members: dict[str, Any], named: str) -> None:
    settings = Settings(delivery_test_domain=DOMAIN, inbound_port=reserve_port())
    with pytest.raises(ConfigurationError, match=named):
        check(msgspec.structs.replace(settings, **members))
