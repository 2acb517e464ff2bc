"""IMAP through proxies and from an address: a real Dovecot, and a server that says little."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from gateway.errors import ConnectError
from gateway.model.server import Security, Server
from gateway.provider import Account, Login, PageRequest, Route, SessionContext
from gateway.testing.context import FixedCredentials, MemoryNumbers
from gateway_imap import open_session
from tests.rigs.certificates import Certificates
from tests.rigs.dovecot import GUEST_PASSWORD, Dovecot
from tests.rigs.proxies import SmallProxy

pytestmark = pytest.mark.anyio
Start = Callable[..., Awaitable[Any]]
MESSAGE = b"From: a@example.org\r\nSubject: small\r\n\r\nHello.\r\n"


@pytest.fixture
async def proxy() -> AsyncIterator[SmallProxy]:
    """A proxy with a login."""
    async with SmallProxy(login=("gate", "s3cret")) as server:
        yield server


def session(server: Server, user: str, route: Route) -> Any:
    """A session whose connections to the IMAP server take a route."""
    context = SessionContext(
        credentials=FixedCredentials(Login(user=user, password=GUEST_PASSWORD)),
        numbers=MemoryNumbers(),
        routes={"imap": route},
    )
    return open_session(account=Account(id="a", user=user, email=user), context=context, imap=server, smtp=None)


@pytest.mark.parametrize("security", ["tls", "starttls"])
@pytest.mark.parametrize("scheme", ["socks5", "http"])
async def test_a_mailbox_is_read_written_and_watched_through_a_proxy(
    dovecot: Dovecot, certificates: Certificates, proxy: SmallProxy, scheme: str, security: Security
) -> None:
    """TLS is with the server, not with the proxy; the greeting of a server without TLS is not lost."""
    user = dovecot.new_user()
    port = dovecot.ports.imaps if security == "tls" else dovecot.ports.imap
    server = Server(host="localhost", port=port, security=security, ca_file=certificates.authority)
    async with session(server, user, Route(proxy=proxy.url(scheme, "gate:s3cret"))) as opened:
        await opened.append("INBOX", MESSAGE * 2000)
        page = await opened.messages("INBOX", PageRequest())
        assert page.total == 1
        assert len(b"".join([chunk async for chunk in opened.source(page.messages[0].id)])) == len(MESSAGE) * 2000
        watch = await opened.watch("INBOX")
        await watch.close()
    assert proxy.asked == [(scheme, "localhost", port)]


async def test_an_untrusted_server_behind_a_proxy_is_not_logged_in_to(dovecot: Dovecot, proxy: SmallProxy) -> None:
    """Whoever runs the proxy could be the server."""
    server = Server(host="localhost", port=dovecot.ports.imaps)
    async with session(server, dovecot.new_user(), Route(proxy=proxy.url("socks5", "gate:s3cret"))) as opened:
        with pytest.raises(ConnectError) as refused:
            await opened.check()
    assert refused.value.native_code == "CERTIFICATE"


async def test_a_proxy_that_refuses_says_so_and_not_its_login(dovecot: Dovecot, proxy: SmallProxy) -> None:
    """The account's error is read by people."""
    server = Server(host="localhost", port=dovecot.ports.imaps)
    async with session(server, dovecot.new_user(), Route(proxy=proxy.url("http", "gate:wr0ng"))) as opened:
        with pytest.raises(ConnectError) as refused:
            await opened.check()
    assert (refused.value.error_code, refused.value.native_code) == ("ProxyRefused", "EPROXY")
    assert "407" in refused.value.message
    assert "wr0ng" not in f"{refused.value!r}{refused.value.record()}"


async def test_connections_come_from_the_address_that_was_asked_for(scripted: Start) -> None:
    """The server sees it; one that is not this machine's is told."""
    server = await scripted({})
    async with session(server.server, "u@test", Route(local_address="127.0.0.9")) as opened:
        await opened.mailboxes()
        assert server._writer.get_extra_info("peername")[0] == "127.0.0.9"
    async with session(server.server, "u@test", Route(local_address="192.0.2.1")) as opened:
        with pytest.raises(ConnectError) as refused:
            await opened.mailboxes()
    assert refused.value.native_code == "EADDRNOTAVAIL"


@pytest.mark.parametrize("offered", [True, False])
async def test_servers_are_told_of_the_client_where_they_take_it(scripted: Start, offered: bool) -> None:
    """RFC 2971; some servers open no mailbox for a client that says nothing of itself."""
    capability = b"* CAPABILITY IMAP4rev1 AUTH=PLAIN" + b" ID" * offered + b"\r\nTAG OK done\r\n"
    server = await scripted({b"CAPABILITY": capability, b"ID": b"* ID NIL\r\nTAG OK done\r\n"})
    route = Route(client=(("name", 'Gate "way"'), ("support-url", "https://gw.example.test")))
    async with session(server.server, "u@test", route) as opened:
        await opened.check()
    told = [command for command in server.commands if command.startswith(b"ID ")]
    assert told == [b'ID ("name" "Gate \\"way\\"" "support-url" "https://gw.example.test")'] * offered
