"""Listing a mailbox page by page; blocking, one round trip when the session had it selected before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from gateway.model.message import MessageEntry, SpecialUse
from gateway_imap.connection import Connection
from gateway_imap.entries import message_entry, updated_entry
from gateway_imap.errors import response_code
from gateway_imap.fetch_parser import Attributes
from gateway_imap.ids import MessageId
from gateway_imap.reading import fetched_rows, listed_items
from gateway_imap.selected import Selected
from gateway_imap.wire import Reply

#: Messages of the longest page that a session remembers.
_REMEMBERED = 100


class Page(NamedTuple):
    """A page of a listing.

    Attributes:
        uid_validity: of the mailbox.
        total: messages in the listing.
        first: messages above the page.
        entries: newest first.
    """

    uid_validity: int
    total: int
    first: int
    entries: tuple[MessageEntry, ...]


class LastPage:
    """The page that a session listed last, for when the same one is asked for again.

    Under its UID a message stays what it is, but for flags, labels and thread (RFC 9051 section 2.3.1.1): the server
    need not tell the rest once more. One page only, so that a warm session stays small.
    """

    def __init__(self) -> None:
        self._place: tuple[object, ...] = ()
        self._entries: dict[int, MessageEntry] = {}

    def at(self, *place: object) -> dict[int, MessageEntry]:
        """Return UID -> entry if the page is the one at `place`, else nothing."""
        return self._entries if place == self._place else {}

    def keep(self, entries: Sequence[MessageEntry], *place: object) -> None:
        """Remember a page if it is small."""
        small = len(entries) <= _REMEMBERED
        self._entries = {entry.uid: entry for entry in entries if entry.uid is not None} if small else {}
        self._place = place


def read_page(
    connection: Connection,
    path: str,
    name: bytes,
    *,
    first: int,
    size: int,
    use: SpecialUse | None,
    number: Callable[[str], int],
    last: LastPage,
) -> Page:
    """Return the `size` newest messages after the `first` newest; exact, because sequence numbers have no gaps.

    Sequence numbers as the session knows them are tried first, with a NOOP behind that tells whether they were right.

    Args:
        connection: logged in.
        path: of the mailbox.
        name: the argument that names it to the server.
        first: messages to leave out.
        size: messages to return.
        use: what the mailbox is for.
        number: numbers a name durably, see `gateway.provider.Numbers`.
        last: what the session listed before.
    """
    selected, current = connection.selected, False
    if selected is None or selected.path != path or not _span(selected, first, size):
        selected, current = connection.refreshed(path, name), True
    for _ in range(3):
        total, span = selected.exists or 0, _span(selected, first, size)
        if not span:
            return Page(selected.uid_validity, total, min(first, total), ())
        place = (selected.uid_validity, path, use, span)
        known = {} if current else last.at(*place)
        items = _changing_items(connection) if known else listed_items(connection)
        reply = _fetch_span(connection, span, items, current=current)
        rows = fetched_rows(reply, span)
        if reply.status == "OK" and (current or _stood(reply, selected, total, known, rows)):
            break
        if current or selected.exists is None:
            selected = connection.refreshed(path, name)
        current = True
    entries = _entries(rows, known, number(f"{selected.uid_validity}:{path}"), use)
    if len(rows) == len(span) and (known or all("ENVELOPE" in row for row in rows)):
        last.keep(entries, *place)
    return Page(selected.uid_validity, total, first, entries)


def _span(selected: Selected, first: int, size: int) -> range:
    """Return the sequence numbers of a page; none if it is empty, or the number of messages unknown."""
    newest = (selected.exists or 0) - first
    return range(max(1, newest - size + 1), newest + 1)


def _fetch_span(connection: Connection, span: range, items: bytes, *, current: bool) -> Reply:
    """Fetch by sequence numbers; unless they are current, look after it whether they were.

    Raises:
        GatewayError: refused, other than because another session expunged some of the messages (RFC 5530).
    """
    numbers = b"%d:%d" % (span[0], span[-1])
    if current:
        reply = connection.command(b"FETCH", numbers, items, tolerate=True)
    else:
        reply = connection.fetch_and_look(numbers, items)
    if reply.status != "OK" and response_code(reply.text)[0] != "EXPUNGEISSUED":
        raise connection.refusal(reply)
    return reply


def _stood(
    reply: Reply, selected: Selected, total: int, known: Mapping[int, MessageEntry], rows: Sequence[Attributes]
) -> bool:
    """Tell whether the sequence numbers meant what they were taken for."""
    if selected.exists != total or reply.lines("EXPUNGE"):
        return False
    return not known or known.keys() == {row["UID"] for row in rows}


def _entries(
    rows: Sequence[Attributes], known: Mapping[int, MessageEntry], mailbox: int, use: SpecialUse | None
) -> tuple[MessageEntry, ...]:
    if known:
        return tuple(updated_entry(known[row["UID"]], row) for row in rows)
    return tuple(message_entry(MessageId(mailbox, row["UID"]), row, use) for row in rows)


def _changing_items(connection: Connection) -> bytes:
    """Return what can change of a message that keeps its UID."""
    items = "UID FLAGS"
    if connection.has("X-GM-EXT-1"):
        items += " X-GM-THRID X-GM-LABELS"
    elif connection.has("OBJECTID"):
        items += " THREADID"
    return f"({items})".encode("ascii")
