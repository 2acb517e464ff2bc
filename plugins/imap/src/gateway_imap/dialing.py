"""Opening a connection: imapclient, without what it does for a log of its own."""

from __future__ import annotations

import imaplib
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from imapclient import IMAPClient, SocketTimeout
from imapclient.imap4 import IMAP4WithTimeout

from gateway.model.server import Server
from gateway.provider import DIRECT, Route
from gateway.smtp.dial import dial_blocking
from gateway.smtp.tls import client_context

_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}


class ImapTimeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds to wait for the connection, and for each piece of an answer."""

    connect: float = 15.0
    read: float = 60.0


class Lent(NamedTuple):
    """The socket of a connection in IDLE, non-blocking: for somebody who reads it without waiting.

    Attributes:
        tag: of the IDLE that has begun.
        socket: what to read and write.
        ahead: what was read already.
    """

    tag: bytes
    socket: socket.socket
    ahead: bytes


class _Dialed(IMAP4WithTimeout):  # type: ignore[misc]
    """A connection over a socket that somebody else connects."""

    def __init__(self, host: str, port: int, dial: Callable[[], socket.socket]) -> None:
        self._dial = dial
        super().__init__(host, port, None)

    def _create_socket(self, timeout: float | None = None) -> socket.socket:
        return self._dial()


class _RoutedClient(IMAPClient):  # type: ignore[misc]
    """imapclient, which always connects by itself, on a way of its own."""

    def __init__(self, server: Server, timeouts: ImapTimeouts, route: Route) -> None:
        self._server, self._connecting, self._route = server, timeouts.connect, route
        super().__init__(
            server.host,
            server.port,
            ssl=server.security == "tls",
            timeout=SocketTimeout(timeouts.connect, timeouts.read),
        )

    def _create_IMAP4(self) -> IMAP4WithTimeout:  # noqa: N802 - imapclient's name
        return _Dialed(self._server.host, self._server.port, self._dialed)

    def _dialed(self) -> socket.socket:
        server = self._server
        connected = dial_blocking(server.host, server.port, self._route, timeout=self._connecting)
        if server.security != "tls":
            return connected
        try:
            return client_context(server).wrap_socket(connected, server_hostname=server.host)
        except BaseException:
            connected.close()
            raise


def connect(server: Server, timeouts: ImapTimeouts, route: Route = DIRECT) -> IMAPClient:
    """Connect, with TLS if it is on from the start. Raises whatever imaplib, imapclient and the network raise.

    Raises:
        ConnectError: the route cannot be taken, see `gateway.smtp.dial`.
    """
    encrypted = server.security == "tls"
    client = (
        IMAPClient(
            server.host,
            server.port,
            ssl=encrypted,
            ssl_context=client_context(server) if encrypted else None,
            timeout=SocketTimeout(timeouts.connect, timeouts.read),
        )
        if route.direct
        else _RoutedClient(server, timeouts, route)
    )
    # imapclient sets 5: it would format every line, mail included, and pass it to the logger.
    client._imap.debug = 0  # noqa: SLF001
    connected = client.socket()
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option, value in _KEEPALIVE.items():
        if hasattr(socket, option):
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return client


def read_line(imap: Any) -> bytes:
    """Read a line as imaplib does, without the copy of it that imaplib formats for a log of its own."""
    line: bytes = imap.readline()
    if not line.endswith(b"\r\n"):
        raise imap.abort("a line without an end" if line else "the connection has ended")
    return line[:-2]


def goodbye_greeting(error: Exception) -> bytes | None:
    """Return what a server said that ends the session in its greeting; imaplib raises the line itself."""
    line = error.args[0] if isinstance(error, imaplib.IMAP4.error) and error.args else None
    return line[6:] if isinstance(line, bytes) and line[:6].upper() == b"* BYE " else None
