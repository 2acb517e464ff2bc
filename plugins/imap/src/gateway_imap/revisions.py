"""Which mailboxes something happened in: their modification sequences (RFC 7162); blocking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway_imap.connection import Connection
from gateway_imap.fetch_parser import grouped, parse_values
from gateway_imap.wire import Reply, quoted

_NUMBERS = ("UIDVALIDITY", "UIDNEXT", "MESSAGES", "HIGHESTMODSEQ")
_ITEMS = f"({' '.join(_NUMBERS)})".encode("ascii")


def read_revisions(connection: Connection, names: Iterable[bytes]) -> dict[bytes, str]:
    """Return for each mailbox a token that differs when its messages or their flags do, if the server tells cheaply.

    Args:
        connection: logged in.
        names: of the mailboxes, as the server calls them.
    """
    if not connection.has("CONDSTORE"):
        # Without modification sequences nothing cheap tells of a changed flag.
        return {}
    if connection.has("LIST-STATUS"):
        return dict(_tokens(connection.command(b"LIST", b'""', b'"*"', b"RETURN (STATUS " + _ITEMS + b")")))
    replies = (connection.command(b"STATUS", quoted(name), _ITEMS, tolerate=True) for name in names)
    return {name: token for reply in replies for name, token in _tokens(reply)}


def _tokens(reply: Reply) -> Iterator[tuple[bytes, str]]:
    for records in grouped(reply.lines("STATUS")):
        name, items, *_ = [*parse_values(records), None, None]
        if not isinstance(items, list):
            continue
        told = {str(key).upper(): value for key, value in zip(items[::2], items[1::2], strict=False)}
        # A mailbox that keeps no modification sequences tells 0.
        if all(isinstance(told.get(key), int) for key in _NUMBERS) and told["HIGHESTMODSEQ"]:
            yield str(name).encode("utf-8"), ".".join(str(told[key]) for key in _NUMBERS)
