"""Submission through a proxy and from an address, against a real proxy and a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import msgspec
import pytest

from gateway.errors import ConnectError, MessageRefusedError
from gateway.http.egress import refusal
from gateway.model.account_errors import NetworkRouting
from gateway.model.server import Security, Server
from gateway.provider import Envelope, Login, Route
from gateway.settings import Egress
from gateway.smtp import SmtpConnection, Timeouts
from gateway.smtp.dial import dial_blocking
from tests.rigs.certificates import Certificates
from tests.rigs.ports import reserve_port
from tests.rigs.proxies import SmallProxy
from tests.unit.smtp.smtp_sink import SmtpSink

pytestmark = pytest.mark.anyio

MESSAGE = b"From: a@x.test\r\nSubject: x\r\n\r\ntext"
ENVELOPE = Envelope(mail_from="a@x.test", rcpt_to=("b@y.test",))
LOGIN = ("us er", "p@ss:w/rd")
QUOTED = "us%20er:p%40ss%3Aw%2Frd"


@pytest.fixture
async def sink() -> AsyncIterator[SmtpSink]:
    """A submission server without TLS."""
    async with SmtpSink() as server:
        yield server


@pytest.fixture
async def proxy() -> AsyncIterator[SmallProxy]:
    """A proxy that lets everybody in."""
    async with SmallProxy() as server:
        yield server


def sender(sink: SmtpSink, route: Route, seconds: float = 5.0) -> SmtpConnection:
    """A connection to the sink by a route."""

    async def login(_: Login | None) -> Login:
        return Login(user="a@x.test", password="secret")

    return SmtpConnection(
        sink.server, login, route=route, timeouts=Timeouts(connect=seconds, command=seconds, message=seconds)
    )


@pytest.mark.parametrize(
    ("scheme", "protocol"),
    [
        ("socks", "socks5"),
        ("socks5", "socks5"),
        ("socks5h", "socks5"),
        ("socks4", "socks4"),
        ("http", "http"),
    ],
)
async def test_mail_goes_through_each_kind_of_proxy(
    sink: SmtpSink, proxy: SmallProxy, scheme: str, protocol: str
) -> None:
    """The greeting that arrives together with the proxy's answer is not lost, and the connection is kept."""
    connection = sender(sink, Route(proxy=proxy.url(scheme), ehlo_name="gw.test"))
    for _ in range(2):
        receipt = await connection.submit(MESSAGE, ENVELOPE)
        assert receipt.network_routing == NetworkRouting(
            local_address="127.0.0.1", name="gw.test", proxy=proxy.url(scheme)
        )
    assert len(sink.received) == 2
    assert b"EHLO gw.test" in sink.commands
    host = "127.0.0.1" if protocol == "socks4" else "localhost"
    assert proxy.asked == [(protocol, host, sink.server.port)]
    await connection.close()


async def test_names_are_looked_up_by_the_proxy(sink: SmtpSink, proxy: SmallProxy) -> None:
    """It may know names that are not known here, and nobody here learns where mail goes."""
    for scheme, protocol in (("socks5", "socks5"), ("socks4a", "socks4a"), ("http", "http")):
        connected = await asyncio.to_thread(
            dial_blocking, "localhost", sink.server.port, Route(proxy=proxy.url(scheme)), timeout=5
        )
        connected.close()
        assert proxy.asked[-1] == (protocol, "localhost", sink.server.port)


@pytest.mark.parametrize("scheme", ["socks5", "http"])
async def test_the_login_of_a_proxy_is_given_and_never_told(sink: SmtpSink, scheme: str) -> None:
    """Neither where it works nor where it is refused."""
    async with SmallProxy(login=LOGIN) as proxy:
        receipt = await sender(sink, Route(proxy=proxy.url(scheme, QUOTED))).submit(MESSAGE, ENVELOPE)
        assert receipt.network_routing is not None
        assert receipt.network_routing.proxy == proxy.url(scheme, "******")
        wrong = sender(sink, Route(proxy=proxy.url(scheme, "somebody:wr0ng")))
        with pytest.raises(ConnectError) as refused:
            await wrong.submit(MESSAGE, ENVELOPE)
    assert refused.value.error_code == "ProxyRefused"
    assert refused.value.remedy is not None
    assert refused.value.remedy.who == "operator"
    assert "wr0ng" not in f"{refused.value!r}{refused.value.record()}"
    assert len(sink.received) == 1


@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_tls_with_the_server_goes_through_the_proxy(
    certificates: Certificates, proxy: SmallProxy, security: Security
) -> None:
    """The proxy carries octets; whom they are for is still proven by the server's certificate."""
    async with SmtpSink(security=security, tls=certificates.server_context()) as sink:
        server = msgspec.structs.replace(sink.server, ca_file=certificates.authority)
        for scheme in ("socks5", "http"):
            trusted = SmtpConnection(server, None, route=Route(proxy=proxy.url(scheme)))
            await trusted.submit(MESSAGE, ENVELOPE)
            await trusted.close()
        assert len(sink.received) == 2
        assert (await failure(sender(sink, Route(proxy=proxy.url("http"))))).native_code == "CERTIFICATE"


async def failure(connection: SmtpConnection) -> ConnectError:
    """How a submission fails; the route is told, nothing of the proxy's login is."""
    with pytest.raises(ConnectError) as failed:
        await connection.submit(MESSAGE, ENVELOPE)
    assert "s3cret" not in f"{failed.value!r}{failed.value.record()}"
    routing = failed.value.details["network_routing"]
    assert isinstance(routing, NetworkRouting)
    return failed.value


@pytest.mark.parametrize("scheme", ["socks5", "socks4", "http"])
async def test_a_proxy_that_refuses_hangs_up_or_is_silent_is_told_apart(
    sink: SmtpSink, proxy: SmallProxy, scheme: str
) -> None:
    """Whoever reads of it looks at the proxy, not at the mail server."""
    route = Route(proxy=proxy.url(scheme, "u:s3cret" if scheme == "socks4" else ""))
    proxy.refusing = True
    refused = await failure(sender(sink, route))
    assert (refused.error_code, refused.native_code) == ("ProxyRefused", "EPROXY")
    assert refused.remedy is not None
    assert refused.remedy.retryable
    proxy.silent = True
    silent = await failure(sender(sink, route, seconds=0.3))
    assert (silent.message, silent.native_code) == ("the proxy did not answer in time", "ETIMEDOUT")
    gone = Route(proxy=f"{scheme}://u:s3cret@127.0.0.1:{reserve_port()}")
    unreachable = await failure(sender(sink, gone))
    assert (unreachable.error_code, unreachable.native_code) == ("ProxyUnreachable", "ECONNREFUSED")
    nowhere = Route(proxy=f"{scheme}://u:s3cret@nowhere.invalid")
    assert (await failure(sender(sink, nowhere, seconds=30))).error_code == "ProxyUnreachable"
    assert sink.connections == 0


@pytest.mark.parametrize("scheme", ["socks5", "socks4", "http"])
async def test_a_server_that_is_not_a_proxy_is_told_apart(sink: SmtpSink, scheme: str) -> None:
    """A port that was mixed up: it answers, but in another language."""
    route = Route(proxy=f"{scheme}://127.0.0.1:{sink.server.port}")
    assert (await failure(sender(sink, route, seconds=2))).error_code in ("ProxyRefused", "ProxyUnreachable")
    assert sink.received == []


@pytest.mark.parametrize("scheme", ["socks5", "http"])
async def test_egress_rules_hold_for_proxies(sink: SmtpSink, proxy: SmallProxy, scheme: str) -> None:
    """Whoever may submit could otherwise reach what the gateway's own network keeps to itself, name or address."""
    for host in ("127.0.0.1", "localhost", "169.254.169.254"):
        route = Route(proxy=f"{scheme}://{host}:{proxy.port}", refusal=partial(refusal, egress=Egress()))
        error = await failure(sender(sink, route))
        assert error.error_code == "EgressRefused"
        assert error.remedy is not None
        assert "GATEWAY_EGRESS" in error.remedy.steps[0]
    assert proxy.asked == []
    allowed = Route(proxy=proxy.url(scheme), refusal=partial(refusal, egress=Egress(private=True)))
    await sender(sink, allowed).submit(MESSAGE, ENVELOPE)
    assert len(proxy.asked) == 1


@pytest.mark.parametrize("through", [None, "socks5", "socks4", "http"])
async def test_connections_come_from_the_address_that_was_asked_for(
    sink: SmtpSink, proxy: SmallProxy, through: str | None
) -> None:
    """All of 127.0.0.0/8 is this machine; a server, or a proxy, may let only one of its addresses in."""
    url = None if through is None else proxy.url(through)
    receipt = await sender(sink, Route(local_address="127.0.0.7", proxy=url)).submit(MESSAGE, ENVELOPE)
    assert receipt.network_routing == NetworkRouting(
        local_address="127.0.0.7", requested_local_address="127.0.0.7", proxy=url
    )
    assert b"EHLO [127.0.0.7]" in sink.commands


@pytest.mark.parametrize("through", [None, "socks5", "http"])
@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
async def test_an_address_of_another_machine_is_told_as_such(
    sink: SmtpSink, proxy: SmallProxy, through: str | None, address: str
) -> None:
    """The operator moved the gateway, or mistyped."""
    url = None if through is None else proxy.url(through)
    error = await failure(sender(sink, Route(local_address=address, proxy=url)))
    assert error.details["network_routing"].requested_local_address == address
    assert sink.connections == 0
    if address == "192.0.2.1":
        assert error.native_code == "EADDRNOTAVAIL"
        assert error.remedy is not None
        assert error.remedy.who == "operator"


async def test_a_server_that_cannot_be_reached_from_an_address_is_no_fault_of_the_address(sink: SmtpSink) -> None:
    """The code is the network's, as without a route."""
    connection = SmtpConnection(
        Server(host="127.0.0.1", port=reserve_port(), security="plain"), None, route=Route(local_address="127.0.0.7")
    )
    error = await failure(connection)
    assert (error.error_code, error.native_code) == ("ConnectionError", "ECONNREFUSED")


async def test_refusals_of_the_server_tell_the_way_too(sink: SmtpSink, proxy: SmallProxy) -> None:
    """Whether a server refuses mail may depend on where it comes from."""
    sink.refused = {"b@y.test"}
    with pytest.raises(MessageRefusedError) as refused:
        await sender(sink, Route(proxy=proxy.url("http"))).submit(MESSAGE, ENVELOPE)
    assert refused.value.details["network_routing"].proxy == proxy.url("http")
    with pytest.raises(MessageRefusedError) as direct:
        await sender(sink, Route(ehlo_name="gw.test")).submit(MESSAGE, ENVELOPE)
    assert "network_routing" not in direct.value.details


async def test_whoever_gives_up_leaves_no_connection_behind(sink: SmtpSink, proxy: SmallProxy) -> None:
    """A worker that stops cancels what it is doing."""
    proxy.silent = True
    for scheme in ("socks5", "http"):
        waiting = asyncio.ensure_future(sender(sink, Route(proxy=proxy.url(scheme))).submit(MESSAGE, ENVELOPE))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
