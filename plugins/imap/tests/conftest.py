"""Fixtures: the real servers of `tests.rigs`, and an IMAP server that says what a test tells it to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from gateway.model.server import Server
from gateway.provider import Account, Login
from gateway.testing.context import AccountUnderTest, session_context
from gateway_imap import ImapAccountSettings
from tests.rigs.certificates import Certificates

#: At the end of an answer: the server hangs up there.
HANG_UP = b"<hang up>"
#: Within an answer: the client has to say one more line before the rest.
NEXT_LINE = b"<next line>"
Answers = Mapping[bytes, bytes | Callable[[bytes], bytes]]

_USUAL: dict[bytes, bytes | Callable[[bytes], bytes]] = {
    b"CAPABILITY": b"* CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR UIDPLUS MOVE UNSELECT\r\nTAG OK done\r\n",
    b"LOGIN": b"TAG OK done\r\n",
    b"AUTHENTICATE": b"TAG OK done\r\n",
    b"LIST": b'* LIST () "/" INBOX\r\n* LIST () "/" Archive\r\nTAG OK done\r\n',
    b"LSUB": b"TAG OK done\r\n",
    b"NOOP": b"TAG OK done\r\n",
    b"UNSELECT": b"TAG OK done\r\n",
    b"EXAMINE": b"* 1 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\nTAG OK [READ-ONLY] done\r\n",
    b"SELECT": b"* 1 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\nTAG OK [READ-WRITE] done\r\n",
    b"LOGOUT": b"* BYE\r\nTAG OK done\r\n" + HANG_UP,
}


class ScriptedServer:
    """Answers each command with the octets that stand for it; ``TAG`` is replaced by the command's tag.

    Attributes:
        commands: what clients said, without the tag.
        connections: how many there have been.
    """

    def __init__(self, answers: Answers, greeting: bytes, certificates: Certificates | None) -> None:
        self.answers: dict[bytes, bytes | Callable[[bytes], bytes]] = {**_USUAL, **answers}
        self.commands: list[bytes] = []
        self.connections = 0
        self._greeting = greeting
        self._certificates = certificates
        self._server: asyncio.Server | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def start(self) -> None:
        """Listen on a port of the kernel's choice, with TLS if there are certificates for it."""
        tls = self._certificates.server_context() if self._certificates else None
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)

    def stop(self) -> None:
        """Take no more connections."""
        if self._server is not None:
            self._server.close()

    @property
    def server(self) -> Server:
        """Where it is."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        if self._certificates is None:
            return Server(host="127.0.0.1", port=port, security="plain")
        return Server(host="127.0.0.1", port=port, ca_file=self._certificates.authority)

    async def say(self, words: bytes) -> None:
        """Say something on the newest connection without having been asked."""
        assert self._writer is not None
        await _say(self._writer, words, b"*")
        if words.endswith(HANG_UP):
            self._writer.close()

    def account(self, login: Login | None = None, context: Any = None) -> AccountUnderTest:
        """An account on it."""
        account = Account(id="scripted", user="u@test", email="u@test", settings=ImapAccountSettings(imap=self.server))
        return AccountUnderTest(account, context or session_context(login or Login(user="u@test", password="pw")))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writer = writer
        with contextlib.suppress(OSError, asyncio.CancelledError):
            if await _say(writer, self._greeting, b"*"):
                while line := await reader.readline():
                    tag, _, command = line.rstrip(b"\r\n").partition(b" ")
                    self.commands.append(command or tag)
                    *asked, rest = self._answer(command or tag).split(NEXT_LINE)
                    for words in asked:
                        await _say(writer, words, tag)
                        self.commands.append((await reader.readline()).rstrip(b"\r\n"))
                    if not await _say(writer, rest, tag):
                        break
        writer.close()

    def _answer(self, command: bytes) -> bytes:
        for prefix in sorted(self.answers, key=len, reverse=True):
            if command.upper().startswith(prefix.upper()):
                answer = self.answers[prefix]
                return answer if isinstance(answer, bytes) else answer(command)
        return b"TAG BAD unknown command\r\n"


async def _say(writer: asyncio.StreamWriter, answer: bytes, tag: bytes) -> bool:
    words, end, _ = answer.partition(HANG_UP)
    writer.write(words.replace(b"TAG", tag))
    await writer.drain()
    return not end


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of the gateway."""
    return "asyncio"


@pytest.fixture
async def scripted() -> AsyncIterator[Callable[..., Any]]:
    """Starts scripted servers: ``await scripted({b"NOOP": b"TAG NO no\\r\\n"})``."""
    started: list[ScriptedServer] = []

    async def start(
        answers: Answers | None = None, greeting: bytes = b"* OK hello\r\n", certificates: Certificates | None = None
    ) -> ScriptedServer:
        server = ScriptedServer(answers or {}, greeting, certificates)
        await server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


def pytest_configure(config: pytest.Config) -> None:
    """Make the rigs' fixtures known."""
    config.pluginmanager.import_plugin("tests.rigs.fixtures")
