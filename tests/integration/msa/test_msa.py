"""The submission server, with the clients of the standard library and aiosmtplib, and a real Redis."""

from __future__ import annotations

import asyncio
import smtplib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiosmtplib
import msgspec
import pytest

from gateway.errors import ConfigurationError
from gateway.model.submission import OutboxEntry
from gateway.model.token import TokenPermissions, TokenRestrictions
from gateway.msa.server import check, listening
from gateway.settings import Settings
from tests.integration.services.world import World, open_world
from tests.rigs.certificates import Certificates
from tests.rigs.ports import reserve_port
from tests.rigs.redis_server import RedisServer

pytestmark = pytest.mark.anyio

LETTER = b"From: ann@example.test\r\nTo: bob@example.test\r\nSubject: hello\r\n\r\n.dot\r\n..two\r\n\xe4\r\n"
BOB = "bob@example.test"


class Agent:
    """A running server, an account and its token."""

    def __init__(self, world: World, settings: Settings, token: str, certificates: Certificates) -> None:
        self.world = world
        self.settings = settings
        self.token = token
        self.certificates = certificates

    async def connect(
        self, *, user: str | None = "ann", password: str | None = None, **options: Any
    ) -> aiosmtplib.SMTP:
        """Return a connection that is logged in, if there is a user."""
        encrypted = {"tls_context": self.certificates.client_context(), "start_tls": True, **options}
        client = aiosmtplib.SMTP(hostname="localhost", port=self.settings.smtp_port, **encrypted)
        await client.connect()
        if user is not None:
            await client.login(user, password or self.token)
        return client

    async def outbox(self) -> list[OutboxEntry]:
        """What was taken."""
        return list((await self.world.services.submissions.list(page=0, page_size=100)).messages)

    async def message(self, entry: OutboxEntry) -> bytes:
        """The octets that will be sent."""
        found = await self.world.services.deliveries._outbox.message(entry.account, entry.queue_id)
        assert found is not None
        return found.raw


@asynccontextmanager
async def open_agent(world: World, certificates: Certificates, **settings: Any) -> AsyncIterator[Agent]:
    await world.add_account()
    made = await world.services.tokens.issue_unrestricted("old program", ("smtp",), "ann")
    files = {"smtp_cert_file": certificates.chain, "smtp_key_file": certificates.key}
    chosen = Settings(smtp_port=reserve_port(), **{**files, **settings})
    check(chosen)
    async with listening(world.services, chosen):
        yield Agent(world, chosen, made.token, certificates)


@pytest.fixture
async def agent(redis_url: str, certificates: Certificates, anyio_backend: str) -> AsyncIterator[Agent]:
    async with open_world(redis_url) as world, open_agent(world, certificates) as agent:
        yield agent


async def test_a_message_is_in_the_outbox_with_every_octet_when_it_is_answered(agent: Agent) -> None:
    client = await agent.connect()
    errors, reply = await client.sendmail("ann@example.test", [BOB, "hidden@example.test"], LETTER)
    await client.quit()
    (entry,) = await agent.outbox()
    assert (errors, reply) == ({}, f"2.0.0 OK queued as {entry.queue_id}")
    assert (entry.account, entry.source, entry.state) == ("ann", "smtp", "queued")
    assert (entry.envelope.from_, entry.envelope.to) == ("ann@example.test", (BOB, "hidden@example.test"))
    assert (await agent.message(entry)).endswith(LETTER.partition(b"\r\n\r\n")[2])


async def test_control_headers_are_obeyed_and_not_sent(agent: Agent) -> None:
    client = await agent.connect()
    await client.sendmail("ann@example.test", [BOB], b"X-EE-Send-At: 2099-01-01T00:00:00Z\r\n" + LETTER)
    (entry,) = await agent.outbox()
    assert entry.scheduled.year == 2099
    assert b"X-EE" not in await agent.message(entry)
    keyed = b"X-EE-Idempotency-Key: order-7\r\n" + LETTER
    replies = [(await client.sendmail("ann@example.test", [BOB], keyed))[1] for _ in range(2)]
    assert replies[0] == replies[1]
    assert len(await agent.outbox()) == 2
    with pytest.raises(aiosmtplib.SMTPDataError) as refused:
        await client.sendmail("ann@example.test", [BOB], b"X-EE-Delivery-Attempts: many\r\n" + LETTER)
    assert refused.value.code == 554
    assert "X-EE-Delivery-Attempts" in refused.value.message


async def test_login_with_the_standard_librarys_client_over_tls_from_the_beginning(
    redis_url: str, certificates: Certificates
) -> None:
    """And by AUTH LOGIN."""
    port = reserve_port()
    async with open_world(redis_url) as world, open_agent(world, certificates, smtp_tls_port=port) as agent:

        def send() -> None:
            with smtplib.SMTP_SSL("localhost", port, context=certificates.client_context()) as client:
                client.user, client.password = "ann", agent.token
                client.ehlo()
                client.auth("LOGIN", client.auth_login)
                client.sendmail("ann@example.test", BOB, LETTER)

        await asyncio.to_thread(send)
        assert len(await agent.outbox()) == 1


async def test_nothing_is_taken_from_strangers(agent: Agent) -> None:
    """It is no open relay, and takes no password in the clear."""
    client = await agent.connect(user=None)
    with pytest.raises(aiosmtplib.SMTPResponseException) as refused:
        await client.mail("ann@example.test")
    assert refused.value.code == 530
    await client.quit()
    plain = await agent.connect(user=None, start_tls=False)
    assert not plain.supports_extension("auth")
    assert (await plain.execute_command(b"AUTH PLAIN AGFubgB4")).code in (530, 538)
    assert (await plain.execute_command(b"MAIL FROM:<ann@example.test>")).code == 530
    plain.close()


async def narrowed(
    world: World, *, scopes: tuple[Any, ...] = ("smtp",), account: str | None = None, **members: Any
) -> str:
    """Issue a token that may do less; return its value."""
    tokens = world.services.tokens
    made = await tokens.issue_unrestricted("narrow", scopes, account)
    await tokens._tokens.save(msgspec.structs.replace(await tokens.get(made.id), **members))
    return made.token


@pytest.mark.parametrize(
    ("user", "members"),
    [
        pytest.param("ann", {"scopes": ("api",)}, id="other-scope"),
        pytest.param("eve", {"account": "ann"}, id="token-of-another-account"),
        pytest.param("ann", {"permissions": TokenPermissions(actions=("read",))}, id="may-only-read"),
        pytest.param("ann", {"restrictions": TokenRestrictions(addresses=("192.0.2.0/24",))}, id="from-elsewhere"),
    ],
)
async def test_a_token_that_may_not_send_for_the_account_is_no_password(
    agent: Agent, user: str, members: dict[str, Any]
) -> None:
    """The same is asked of it as of those that call the API."""
    token = await narrowed(agent.world, **members)
    with pytest.raises(aiosmtplib.SMTPAuthenticationError) as refused:
        await agent.connect(user=user, password=token)
    assert refused.value.code == 535


async def test_a_connection_that_guesses_is_ended(agent: Agent) -> None:
    client = await agent.connect(user=None)
    await client.ehlo()
    codes = []
    for guess in range(3):
        with pytest.raises((aiosmtplib.SMTPResponseException, aiosmtplib.SMTPServerDisconnected)) as refused:
            await client.auth_plain("ann", f"{guess:064x}")
        codes.append(getattr(refused.value, "code", None))
    assert codes == [535, 535, 421]
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await client.noop()


@pytest.mark.parametrize(
    ("settings", "letter", "code"),
    [
        pytest.param({"smtp_max_size": 2048}, LETTER + b"x" * 4096, 552, id="too-large"),
        pytest.param({}, b"X-EE-Gateway: nowhere\r\n" + LETTER, 554, id="no-such-relay"),
    ],
)
async def test_what_cannot_be_sent_is_refused_at_once(
    redis_url: str, certificates: Certificates, settings: dict[str, Any], letter: bytes, code: int
) -> None:
    async with open_world(redis_url) as world, open_agent(world, certificates, **settings) as agent:
        client = await agent.connect()
        await client.mail("ann@example.test")
        await client.rcpt(BOB)
        with pytest.raises(aiosmtplib.SMTPDataError) as refused:
            await client.data(letter)
        assert refused.value.code == code
        assert await agent.outbox() == []


async def test_without_redis_the_client_is_told_to_come_again(
    durable_redis: RedisServer, certificates: Certificates
) -> None:
    """And what it was told is true: nothing was taken; afterwards the same connection works."""
    async with open_world(durable_redis.url) as world, open_agent(world, certificates) as agent:
        client = await agent.connect()
        durable_redis.kill()
        with pytest.raises(aiosmtplib.SMTPDataError) as refused:
            await client.sendmail("ann@example.test", [BOB], LETTER)
        assert refused.value.code == 451
        durable_redis.start()
        assert await agent.outbox() == []
        await client.sendmail("ann@example.test", [BOB], LETTER)
        assert len(await agent.outbox()) == 1


GARBAGE = (
    b"\x16\x03\x01\x02\x00",
    b"\xff" * 10_000 + b"\r\n",
    b"EHLO x\r\nAUTH PLAIN %%%\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
)


async def test_garbage_ends_no_server(agent: Agent) -> None:
    for garbage in GARBAGE:
        reader, writer = await asyncio.open_connection("127.0.0.1", agent.settings.smtp_port)
        writer.write(garbage)
        writer.write_eof()
        assert (await reader.read()).startswith(b"220 ")
        writer.close()
    client = await agent.connect()
    assert (await client.noop()).code == 250


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(lambda _: {"smtp_host": "0.0.0.0"}, id="passwords-in-the-clear"),
        pytest.param(lambda _: {"smtp_tls_port": 4650}, id="tls-without-certificate"),
        pytest.param(lambda files: {"smtp_cert_file": files.chain}, id="no-key"),
        pytest.param(lambda files: {"smtp_cert_file": files.key, "smtp_key_file": files.key}, id="no-certificate"),
        pytest.param(lambda files: {"smtp_cert_file": Path("/nowhere"), "smtp_key_file": files.key}, id="no-file"),
    ],
)
def test_a_server_that_cannot_be_trusted_does_not_start(
    certificates: Certificates, settings: Callable[[Certificates], dict[str, Any]]
) -> None:
    with pytest.raises(ConfigurationError):
        check(Settings(**{"smtp_port": reserve_port(), **settings(certificates)}))


def test_a_port_that_is_taken_is_told_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigurationError, match="cannot listen"):
        check(Settings(smtp_port=taken.getsockname()[1]))
