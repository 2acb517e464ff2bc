"""A submission server that keeps what it takes and says what a test tells it to."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Self

from gateway.model.server import Security, Server
from gateway.provider import Envelope

#: At the end of an answer: the server hangs up there.
HANG_UP = b"<hang up>"
EXTENSIONS = (
    b"SIZE 100000",
    b"8BITMIME",
    b"SMTPUTF8",
    b"ENHANCEDSTATUSCODES",
    b"AUTH PLAIN LOGIN XOAUTH2",
    b"PIPELINING",
)


class SmtpSink:
    """SMTP (RFC 5321) on a port of the kernel's choice.

    Attributes:
        answers: command line prefix (upper case) -> answer without line end, instead of the usual one; b"." is for the
            end of a message. A function gets the whole line.
        received: envelopes and messages taken, dots removed.
        commands: what clients said.
        refused: recipients that are refused.
        connections: how many there have been.
        open: how many there are.
    """

    def __init__(
        self,
        *,
        security: Security = "plain",
        tls: ssl.SSLContext | None = None,
        extensions: tuple[bytes, ...] = EXTENSIONS,
    ) -> None:
        self.answers: dict[bytes, bytes | Callable[[bytes], bytes]] = {}
        self.received: list[tuple[Envelope, bytes]] = []
        self.commands: list[bytes] = []
        self.refused: set[str] = set()
        self.connections = 0
        self.open = 0
        self._security = security
        self._tls = tls
        self._extensions = extensions
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        tls = self._tls if self._security == "tls" else None
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls, limit=2**20)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        self.hang_up()

    @property
    def server(self) -> Server:
        """Where it is; a test adds the authority that it trusts."""
        assert self._server is not None
        return Server(host="localhost", port=self._server.sockets[0].getsockname()[1], security=self._security)

    def hang_up(self) -> None:
        """Cut every connection."""
        for writer in list(self._writers):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await _Dialogue(self, reader, writer).run()
        finally:
            self.open -= 1
            self._writers.discard(writer)
            writer.close()

    def answer(self, line: bytes, usual: bytes) -> bytes:
        """What to say to a command."""
        for prefix in sorted(self.answers, key=len, reverse=True):
            if line.upper().startswith(prefix.upper()):
                answer = self.answers[prefix]
                return answer if isinstance(answer, bytes) else answer(line)
        return usual

    def greeting_lines(self, encrypted: bool) -> bytes:
        """What to say to EHLO."""
        extensions = [*self._extensions]
        if self._security in ("starttls", "opportunistic") and self._tls is not None and not encrypted:
            extensions = [b"STARTTLS", *extensions]
        lines = [b"sink.test", *extensions]
        return b"\r\n".join((b"250 " if line is lines[-1] else b"250-") + line for line in lines)

    @property
    def tls(self) -> ssl.SSLContext | None:
        """What STARTTLS encrypts with."""
        return self._tls


class _Dialogue:
    def __init__(self, sink: SmtpSink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._sink = sink
        self._reader = reader
        self._writer = writer
        self._encrypted = False
        self._from = ""
        self._to: list[str] = []

    async def run(self) -> None:
        if not await self._say(self._sink.answer(b"CONNECT", b"220 sink.test ready")):
            return
        while line := (await self._reader.readline()).rstrip(b"\r\n"):
            self._sink.commands.append(line)
            verb = line.split(b" ")[0].upper()
            answer = self._sink.answer(line, self._usual(verb, line))
            if not await self._say(answer):
                return
            if verb == b"STARTTLS" and answer.startswith(b"220"):
                await self._start_tls()
            elif verb == b"AUTH" and answer.startswith(b"334"):
                self._sink.commands.append((await self._reader.readline()).rstrip(b"\r\n"))
                if not await self._say(self._sink.answer(b"AUTH-RESPONSE", b"235 2.7.0 welcome")):
                    return
            elif verb == b"DATA" and answer.startswith(b"354"):
                if not await self._message():
                    return
            elif verb == b"QUIT":
                return

    async def _start_tls(self) -> None:
        assert self._sink.tls is not None
        transport = self._writer.transport
        try:
            await self._writer.start_tls(self._sink.tls)
        except AttributeError:
            # The client hung up right after the handshake: Python 3.11 then has no transport, here and in `__del__`.
            self._writer._transport = transport  # type: ignore[attr-defined]
            raise ConnectionResetError from None
        self._encrypted = True

    async def _message(self) -> bool:
        content = (await self._reader.readuntil(b"\r\n.\r\n"))[:-3]
        answer = self._sink.answer(b".", b"250 2.0.0 Ok: queued as 1")
        if answer.startswith(b"250"):
            plain = content.replace(b"\r\n..", b"\r\n.")
            plain = plain[1:] if plain.startswith(b"..") else plain
            self._sink.received.append((Envelope(mail_from=self._from, rcpt_to=tuple(self._to)), plain))
        return await self._say(answer)

    async def _say(self, answer: bytes) -> bool:
        words, end, _ = answer.partition(HANG_UP)
        if words:
            self._writer.write(words + b"\r\n")
            await self._writer.drain()
        return not end

    def _usual(self, verb: bytes, line: bytes) -> bytes:
        address = line.partition(b"<")[2].partition(b">")[0].decode(errors="replace")
        if verb == b"EHLO":
            return self._sink.greeting_lines(self._encrypted)
        if verb == b"MAIL":
            self._from, self._to = address, []
        elif verb == b"RCPT":
            if address in self._sink.refused:
                return b"550 5.1.1 <" + address.encode() + b">: no such user"
            self._to.append(address)
        usual = {
            b"AUTH": b"235 2.7.0 welcome",
            b"DATA": b"354 go ahead",
            b"STARTTLS": b"220 2.0.0 ready",
            b"QUIT": b"221 2.0.0 bye",
        }
        return usual.get(verb, b"250 2.0.0 Ok")
