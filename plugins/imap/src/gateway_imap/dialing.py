"""Opening a connection: imapclient, without what it does for a log of its own."""

from __future__ import annotations

import imaplib
import socket
from typing import Any

import msgspec
from imapclient import IMAPClient, SocketTimeout

from gateway.model.server import Server
from gateway.smtp.tls import client_context

_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}


class ImapTimeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds to wait for the connection, and for each piece of an answer."""

    connect: float = 15.0
    read: float = 60.0


def connect(server: Server, timeouts: ImapTimeouts) -> IMAPClient:
    """Connect, with TLS if it is on from the start. Raises whatever imaplib, imapclient and the network raise."""
    encrypted = server.security == "tls"
    client = IMAPClient(
        server.host,
        server.port,
        ssl=encrypted,
        ssl_context=client_context(server) if encrypted else None,
        timeout=SocketTimeout(timeouts.connect, timeouts.read),
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
