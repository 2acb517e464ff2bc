"""The first minute of an Exchange Online IMAP session, in front of Dovecot's Exchange personality.

Until login it answers by itself, in the words of public transcripts of outlook.office365.com; after login octets pass
unchanged. Differences from Dovecot that clients fell over: the greeting carries no capabilities, the list before login
has LOGINDISABLED and the one after it does not, a refused token is a bare NO without the JSON challenge of RFC 7628,
and a good token may open nothing.
"""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

GREETING = b"* OK The Microsoft Exchange IMAP4 service is ready. [UgBJAEcA]\r\n"
TOKEN_EXPIRED = b"* BYE Session invalidated - AccessTokenExpired\r\n"
_CAPABILITIES = (
    b"* CAPABILITY IMAP4 IMAP4rev1 LOGINDISABLED AUTH=XOAUTH2 SASL-IR UIDPLUS MOVE ID UNSELECT CHILDREN IDLE "
    b"NAMESPACE LITERAL+\r\n"
)
_ID = b'* ID ("name" "Microsoft.Exchange.Imap4.Imap4Server" "version" "15.20")\r\n'
_BYE = b"* BYE Microsoft Exchange Server IMAP4 server signing off.\r\n"
_LINE_LIMIT = 2**20


@dataclass
class Behaviour:
    """What goes wrong, switchable while the front runs.

    Attributes:
        unavailable: accounts that sign in and are then told that they are not connected: IMAP switched off for the
            mailbox, no right to it, or throttled.
        login_delay: seconds before a login is answered.
        refusal: a line to say instead of the greeting before hanging up, such as a throttling BYE.
    """

    unavailable: set[str] = field(default_factory=set)
    login_delay: float = 0.0
    refusal: bytes | None = None


class ExchangeFront:
    """An IMAP server over TLS that hands its sessions on to `upstream`."""

    def __init__(
        self, upstream: tuple[str, int], upstream_tls: ssl.SSLContext, server_tls: ssl.SSLContext, port: int
    ) -> None:
        """Prepare to listen on `port` of 127.0.0.1; `upstream` is the host and TLS port of the Exchange personality."""
        self.behaviour = Behaviour()
        self.logins = 0
        self._upstream = upstream
        self._upstream_tls = upstream_tls
        self._server_tls = server_tls
        self._port = port
        self._server: asyncio.Server | None = None
        self._sessions: dict[asyncio.StreamWriter, str] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self._port, ssl=self._server_tls, limit=_LINE_LIMIT
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        await self.end_sessions()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the IMAP server."""
        return "localhost", self._port

    async def end_sessions(self, user: str | None = None, text: bytes = TOKEN_EXPIRED) -> None:
        """Say `text` to every session (of one user) and hang up, as Exchange does when a session's token expires."""
        for writer, owner in list(self._sessions.items()):
            if user in (None, owner):
                writer.write(text)
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_writer: asyncio.StreamWriter | None = None
        try:
            if self.behaviour.refusal is not None:
                writer.write(self.behaviour.refusal)
                return
            up_reader, up_writer = await asyncio.open_connection(
                *self._upstream, ssl=self._upstream_tls, server_hostname="localhost", limit=_LINE_LIMIT
            )
            await up_reader.readline()
            login = _Login(self.behaviour, reader, writer, up_reader, up_writer)
            user = await login.run()
            if user is None:
                return
            self.logins += 1
            self._sessions[writer] = user
            if user in self.behaviour.unavailable:
                await _refuse_everything(reader, writer)
            else:
                await _join(reader, writer, up_reader, up_writer)
        except (OSError, asyncio.IncompleteReadError, ValueError):
            # Either end went away, or a line exceeded the limit: the session is over like any other.
            return
        finally:
            self._sessions.pop(writer, None)
            for end in (writer, up_writer):
                if end is not None:
                    end.close()


@dataclass
class _Login:
    """The not-authenticated state (RFC 9051 section 3.1) of one session."""

    behaviour: Behaviour
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    up_reader: asyncio.StreamReader
    up_writer: asyncio.StreamWriter

    async def run(self) -> str | None:
        """Answer commands until somebody has logged in; None when the client left first."""
        self.writer.write(GREETING)
        while line := await self.reader.readline():
            tag, command, *arguments = [*line.strip().split(b" "), b"", b""]
            if command.upper() == b"AUTHENTICATE":
                user = await self._authenticate(tag, arguments)
                if user is not None:
                    return user
            elif command.upper() == b"LOGOUT":
                self.writer.write(_BYE + tag + b" OK LOGOUT completed.\r\n")
                return None
            else:
                self.writer.write(_plain_answer(tag, command.upper()))
        return None

    async def _authenticate(self, tag: bytes, arguments: list[bytes]) -> str | None:
        mechanism, response = arguments[0].upper(), arguments[1]
        if mechanism == b"XOAUTH2" and not response:
            self.writer.write(b"+ \r\n")
            response = (await self.reader.readline()).strip()
        await asyncio.sleep(self.behaviour.login_delay)
        user = _user_of(response) if mechanism == b"XOAUTH2" else None
        if user is None or not await self._upstream_accepts(response):
            self.writer.write(tag + b" NO AUTHENTICATE failed.\r\n")
            return None
        self.writer.write(tag + b" OK AUTHENTICATE completed.\r\n")
        return user

    async def _upstream_accepts(self, response: bytes) -> bool:
        self.up_writer.write(b"front AUTHENTICATE XOAUTH2 " + response + b"\r\n")
        while line := await self.up_reader.readline():
            if line.startswith(b"+"):
                self.up_writer.write(b"\r\n")  # the challenge that explains the refusal, which Exchange does not send
            elif line.startswith(b"front "):
                return line.startswith(b"front OK")
        raise ConnectionResetError("upstream hung up during login")


def _plain_answer(tag: bytes, command: bytes) -> bytes:
    """The answer to a command that changes nothing before login."""
    if command == b"CAPABILITY":
        return _CAPABILITIES + tag + b" OK CAPABILITY completed.\r\n"
    if command == b"ID":
        return _ID + tag + b" OK ID completed.\r\n"
    if command == b"NOOP":
        return tag + b" OK NOOP completed.\r\n"
    if command == b"LOGIN":
        return tag + b" NO LOGIN failed.\r\n"
    return tag + b" BAD Command received in Invalid state.\r\n"


def _user_of(response: bytes) -> str | None:
    """Who the XOAUTH2 initial response is for, or None when it is none."""
    try:
        match = re.match(
            rb"user=([^\x01]+)\x01auth=Bearer [^\x01]+\x01\x01$", base64.b64decode(response, validate=True)
        )
    except ValueError:
        return None
    return match[1].decode(errors="replace").lower() if match else None


async def _refuse_everything(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        tag, command = [*line.strip().split(b" "), b""][:2]
        if command.upper() == b"LOGOUT":
            writer.write(_BYE + tag + b" OK LOGOUT completed.\r\n")
            return
        writer.write(tag + b" BAD User is authenticated but not connected.\r\n")


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    up_reader: asyncio.StreamReader,
    up_writer: asyncio.StreamWriter,
) -> None:
    """Copy both directions until one of them ends."""
    copies = [asyncio.create_task(_copy(reader, up_writer)), asyncio.create_task(_copy(up_reader, writer))]
    try:
        done, _ = await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        for copy in done:
            copy.result()
    finally:
        for copy in copies:
            copy.cancel()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65_536):
        writer.write(piece)
        await writer.drain()
