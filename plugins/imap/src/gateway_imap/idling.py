"""Watching a mailbox by IDLE (RFC 2177), without waiting and without a thread.

Everything that the server says is read here, not by imaplib, whose buffer may hold back what it told, and which cannot
go on after half a line. The sign of life is to leave IDLE and begin anew, so the server's limit of half an hour is not
reached as long as somebody asks for one; a NOOP in between brings out what a server forgot to tell.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Iterator
from enum import Enum, auto

from gateway.provider import SocketWatch
from gateway_imap.connection import Connection
from gateway_imap.dialing import Lent
from gateway_imap.errors import FAILURES, OutOfStepError
from gateway_imap.selected import Selected

# Octets that are read at a time: a TLS record has no more.
_CHUNK = 16_384
_LONGEST_RESPONSE = 1_000_000
# Seconds to wait for the end of IDLE, if the server answered the last question for a sign of life, and if not.
_FAREWELL = 10.0
_FAREWELL_UNANSWERED = 1.0

_FETCH = re.compile(rb"\* \d+ FETCH ", re.IGNORECASE)
_LITERAL = re.compile(rb"\{(\d{1,9})\}$")
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class _Phase(Enum):
    BEGINNING = auto()
    IDLE = auto()
    ENDING = auto()
    OVER = auto()
    GIVEN_BACK = auto()


def begin(connection: Connection, path: str, name: bytes) -> IdleWatch | None:
    """Watch a mailbox; None if the server cannot do that. Blocking.

    Args:
        connection: logged in.
        path: of the mailbox.
        name: the argument that names it to the server.

    Raises:
        NotFoundError: there is no such mailbox.
    """
    selected = connection.selected
    if selected is None or selected.path != path or selected.writable:
        selected, _ = connection.examine(path, name)
    lent = connection.lend() if connection.has("IDLE") else None
    return None if lent is None else IdleWatch(connection, selected, lent)


class IdleWatch(SocketWatch):
    """A connection in IDLE; what it hears goes to the selected mailbox. See `begin`."""

    def __init__(self, connection: Connection, selected: Selected, lent: Lent) -> None:
        self._connection = connection
        self._transcript = connection.transcript
        self._selected = selected
        self._tag, self._socket, ahead = lent
        self._fileno = self._socket.fileno()
        self._in = bytearray(ahead)
        self._out = bytearray()
        self._phase = _Phase.IDLE
        self._rounds = 0
        self._dead = False
        self._closed = False

    def fileno(self) -> int:
        """See `SocketWatch.fileno`."""
        return self._fileno

    def poll(self) -> bool:
        """See `SocketWatch.poll`; it goes on to be true until somebody asks for changes."""
        if not self._dead and self._phase is not _Phase.GIVEN_BACK:
            try:
                self._receive()
                for response in self._responses():
                    self._take(response)
                self._send()
            except FAILURES:
                self._dead = True
        return self._selected.stirred

    def probe(self) -> None:
        """See `SocketWatch.probe`."""
        if self._phase is _Phase.IDLE and not self._dead:
            self._leave()

    @property
    def answered(self) -> bool:
        """See `SocketWatch.answered`."""
        return self._phase is _Phase.IDLE

    @property
    def dead(self) -> bool:
        """See `SocketWatch.dead`."""
        return self._dead

    async def close(self) -> None:
        """See `SocketWatch.close`; a server that does not let go in time has lost its connection."""
        if self._closed:
            return
        self._closed = True
        try:
            async with asyncio.timeout(_FAREWELL if self.answered else _FAREWELL_UNANSWERED):
                await self._finish()
        except TimeoutError:
            self._dead = True
        except asyncio.CancelledError:
            self._connection.abort()
            raise
        if self._dead:
            self._connection.abort()
        elif self._connection.alive:
            self._phase = _Phase.GIVEN_BACK
            self._connection.take_back()

    # --- reading ------------------------------------------------------------------------------------------------------

    def _receive(self) -> None:
        """Read until there is no more, also of what TLS has decrypted already."""
        while not self._dead:
            try:
                octets = self._socket.recv(_CHUNK)
            except _NOT_NOW:
                return
            self._dead = not octets
            self._in += octets
            if len(self._in) > _LONGEST_RESPONSE + _CHUNK:
                # What is complete is taken before the next look.
                return

    def _responses(self) -> Iterator[bytes]:
        while end := self._end_of_response():
            response = bytes(self._in[: end - 2])
            del self._in[:end]
            yield response
        if len(self._in) > _LONGEST_RESPONSE:
            raise OutOfStepError("a response without an end")

    def _end_of_response(self) -> int:
        """Return where the first response ends; 0 as long as it is not complete."""
        start = 0
        with_literals = _FETCH.match(self._in) is not None
        while (end := self._in.find(b"\r\n", start)) >= 0:
            literal = _LITERAL.search(self._in, start, end) if with_literals else None
            if literal is None:
                return end + 2
            start = end + 2 + int(literal[1])
        return 0

    def _take(self, response: bytes) -> None:
        """Take in a response.

        Raises:
            imaplib.IMAP4.error, ValueError: it is none that may come now.
        """
        if self._transcript is not None:
            self._transcript.heard(response.partition(b"\r\n")[0])
        tag, _, rest = response.partition(b" ")
        if tag == b"*":
            if rest[:3].upper() == b"BYE":
                self._dead = True
            else:
                self._selected.hear_line(response)
        elif tag == b"+" and self._phase is _Phase.BEGINNING:
            self._phase = _Phase.IDLE
            if self._closed:
                self._leave()
        elif tag == self._tag and self._phase is _Phase.ENDING:
            self._phase = _Phase.OVER
            if not self._closed:
                self._begin_anew()
        elif tag != self._noop_tag:
            raise OutOfStepError("IDLE ended without being asked to, or nonsense")

    # --- speaking -----------------------------------------------------------------------------------------------------

    @property
    def _noop_tag(self) -> bytes:
        return b"NOOP%d" % self._rounds

    def _begin_anew(self) -> None:
        self._rounds += 1
        self._tag = b"IDLE%d" % self._rounds
        self._phase = _Phase.BEGINNING
        self._say(b"%b NOOP\r\n%b IDLE\r\n" % (self._noop_tag, self._tag))

    def _leave(self) -> None:
        self._phase = _Phase.ENDING
        self._say(b"DONE\r\n")

    def _say(self, octets: bytes) -> None:
        self._out += octets
        if self._transcript is not None:
            self._transcript.sent(octets)
        try:
            self._send()
        except OSError:
            self._dead = True

    def _send(self) -> None:
        while self._out:
            try:
                sent = self._socket.send(self._out)
            except _NOT_NOW:
                return
            del self._out[:sent]

    # --- the end ------------------------------------------------------------------------------------------------------

    async def _finish(self) -> None:
        """Wait until IDLE is over, and the server in the middle of nothing."""
        if self._phase is _Phase.IDLE:
            self._leave()
        while self._connection.alive and not self._dead and (self._phase is not _Phase.OVER or self._in):
            await self._readable()
            self.poll()

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._fileno, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self._fileno)
