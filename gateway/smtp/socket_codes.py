"""Names for what the network reports: those of POSIX and of resolvers, which clients of the wire API know."""

from __future__ import annotations

import errno
import socket
import ssl

TIMED_OUT = "ETIMEDOUT"

_RESOLVER = {socket.EAI_AGAIN: "EAI_AGAIN"}


def socket_code(error: BaseException) -> str | None:
    """Return the name of a network error, e.g. "ECONNREFUSED" or "ENOTFOUND"; None when nothing is known of it."""
    if isinstance(error, TimeoutError):
        return TIMED_OUT
    if isinstance(error, socket.gaierror):
        return _RESOLVER.get(error.errno or 0, "ENOTFOUND")
    if isinstance(error, ssl.SSLEOFError):
        return "ECONNRESET"
    if isinstance(error, ssl.SSLError):
        return "ETLS"
    if isinstance(error, OSError) and error.errno is not None:
        return errno.errorcode.get(error.errno)
    return None if error.__cause__ is None else socket_code(error.__cause__)
