"""Searching a mailbox (RFC 9051 section 6.4.4, ESEARCH of RFC 4731); blocking."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from gateway.errors import InvalidRequestError, UnsupportedOperationError
from gateway.model.message import SearchQuery, SpecialUse
from gateway.provider import Place
from gateway_imap.connection import Connection
from gateway_imap.gathering import read_entries
from gateway_imap.listing import Page
from gateway_imap.paging import check_validity
from gateway_imap.wire import Reply, quoted

_SET = re.compile(r"(?:\d{1,10}|\*)(?::(?:\d{1,10}|\*))?(?:,(?:\d{1,10}|\*)(?::(?:\d{1,10}|\*))?)*")
_HEADER_NAME = re.compile(r"[!-9;-~]+")
_OBJECT_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_ESEARCH_ALL = re.compile(rb"\bALL ([0-9:,]+)")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def search_page(
    connection: Connection,
    path: str,
    name: bytes,
    query: SearchQuery,
    place: Place,
    *,
    size: int,
    use: SpecialUse | None,
    number: Callable[[str], int],
) -> Page:
    """Return messages that match, newest (highest UID) first; see `paging.read_place` for the arguments.

    Raises:
        CursorExpiredError: the mailbox was made anew since the cursor was given out.
        NotFoundError: there is no such mailbox.
        UnsupportedOperationError: the server lacks an extension that a criterion needs.
        InvalidRequestError: a criterion cannot be written in IMAP.
    """
    uid_validity, ranges = _search(connection, path, name, query)
    check_validity(place, uid_validity)
    first, size = place.window(size, lambda uid, including: _newer(ranges, uid if including else uid + 1))
    total = sum(len(span) for span in ranges)
    uids = list(_newest(ranges, first, size))
    entries = read_entries(connection, uids, use=use, mailbox=number(f"{uid_validity}:{path}"))
    return Page(uid_validity, total, min(first, total), entries)


def search_uids(connection: Connection, path: str, name: bytes, query: SearchQuery) -> tuple[int, list[int]]:
    """Return UIDVALIDITY and the UIDs of all messages that match, highest first; raises like `search_page`."""
    uid_validity, ranges = _search(connection, path, name, query)
    return uid_validity, [uid for span in reversed(ranges) for uid in reversed(span)]


def _search(connection: Connection, path: str, name: bytes, query: SearchQuery) -> tuple[int, list[range]]:
    criteria = list(_criteria(connection, query)) or [b"ALL"]
    selected = connection.refreshed(path, name)
    if not all(criterion.isascii() for criterion in criteria):
        criteria = [b"CHARSET", b"UTF-8", *criteria]
    return selected.uid_validity, find(connection, criteria)


def find(connection: Connection, criteria: Iterable[bytes]) -> list[range]:
    """Return the UIDs of the selected mailbox that match, ascending."""
    extended = (b"RETURN (ALL)",) if connection.has("ESEARCH") else ()
    return _ranges(connection.command(b"UID SEARCH", *extended, *criteria))


def _ranges(reply: Reply) -> list[range]:
    """Return the UIDs found, ascending."""
    for line in reply.lines("ESEARCH"):
        found = _ESEARCH_ALL.search(line) if isinstance(line, bytes) else None
        if found is not None:
            ends = (part.partition(b":") for part in found[1].split(b","))
            spans = [sorted((int(low), int(high or low))) for low, _, high in ends]
            return sorted((range(low, high + 1) for low, high in spans), key=lambda span: span.start)
    words = (word for line in reply.lines("SEARCH") if isinstance(line, bytes) for word in line.split())
    return [range(uid, uid + 1) for uid in sorted({int(word) for word in words if word.isdigit()})]


def _newer(ranges: Iterable[range], uid: int) -> int:
    """Count the UIDs from this one on."""
    return sum(max(0, span.stop - max(uid, span.start)) for span in ranges)


def _newest(ranges: Iterable[range], first: int, size: int) -> Iterator[int]:
    if not size:
        return
    for span in reversed(list(ranges)):
        if first >= len(span):
            first -= len(span)
            continue
        part = span[::-1][first : first + size]
        first, size = 0, size - len(part)
        yield from part
        if not size:
            return


def _criteria(connection: Connection, query: SearchQuery) -> Iterator[bytes]:
    if query.email_ids is not None:
        yield from _any_of([_object_id(connection, "EMAILID", "X-GM-MSGID", id) for id in query.email_ids])
        return
    yield from _sets(query)
    yield from _flags(query)
    for key, text in (
        (b"FROM", query.from_),
        (b"TO", query.to),
        (b"CC", query.cc),
        (b"BCC", query.bcc),
        (b"BODY", query.body),
        (b"SUBJECT", query.subject),
    ):
        if text is not None:
            yield from (key, quoted(text))
    for key, moment in (
        (b"BEFORE", query.before),
        (b"SINCE", query.since),
        (b"SENTBEFORE", query.sent_before),
        (b"SENTSINCE", query.sent_since),
    ):
        if moment is not None:
            yield from (key, _date(moment))
    for header, value in (query.header or {}).items():
        if not _HEADER_NAME.fullmatch(header):
            raise _invalid("search.header")
        yield from (b"HEADER", quoted(header), quoted(value))
    yield from _extensions(connection, query)


def _sets(query: SearchQuery) -> Iterator[bytes]:
    for key, value in ((b"", query.seq), (b"UID", query.uid)):
        if value is not None:
            if not _SET.fullmatch(value):
                raise _invalid("search.uid" if key else "search.seq")
            yield from (key, value.encode("ascii")) if key else (value.encode("ascii"),)
    for key, octets in ((b"LARGER", query.larger), (b"SMALLER", query.smaller)):
        if octets is not None:
            yield from (key, b"%d" % octets)


def _flags(query: SearchQuery) -> Iterator[bytes]:
    for key, wanted in (
        (b"ANSWERED", query.answered),
        (b"DELETED", query.deleted),
        (b"DRAFT", query.draft),
        (b"FLAGGED", query.flagged),
        (b"SEEN", query.seen),
        (b"SEEN", None if query.unseen is None else not query.unseen),
    ):
        if wanted is not None:
            yield key if wanted else b"UN" + key


def _extensions(connection: Connection, query: SearchQuery) -> Iterator[bytes]:
    if query.modseq is not None:
        _need(connection, "CONDSTORE")
        yield from (b"MODSEQ", b"%d" % query.modseq)
    if query.email_id is not None:
        yield from _object_id(connection, "EMAILID", "X-GM-MSGID", query.email_id)
    if query.thread_id is not None:
        yield from _object_id(connection, "THREADID", "X-GM-THRID", query.thread_id)
    if query.gmail_raw is not None:
        _need(connection, "X-GM-EXT-1")
        yield from (b"X-GM-RAW", quoted(query.gmail_raw))
    if query.labels is not None:
        _need(connection, "X-GM-EXT-1")
        for label in query.labels.has:
            yield from (b"X-GM-LABELS", quoted(label))
        for label in query.labels.not_:
            yield from (b"NOT", b"X-GM-LABELS", quoted(label))


def _object_id(connection: Connection, standard: str, gmail: str, id: str) -> tuple[bytes, bytes]:
    """Return the criterion for an id of RFC 8474, or of Gmail."""
    if not _OBJECT_ID.fullmatch(id):
        raise _invalid("search.emailId")
    if connection.has("X-GM-EXT-1"):
        return gmail.encode("ascii"), id.encode("ascii")
    _need(connection, "OBJECTID")
    return standard.encode("ascii"), id.encode("ascii")


def _any_of(criteria: list[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """Join by OR, which takes two; none at all match nothing."""
    if not criteria:
        yield from (b"NOT", b"ALL")
    for position, criterion in enumerate(criteria):
        if position < len(criteria) - 1:
            yield b"OR"
        yield from criterion


def _need(connection: Connection, capability: str) -> None:
    if not connection.has(capability):
        raise UnsupportedOperationError(
            f"the IMAP server lacks {capability}, which this search needs", code="MissingServerExtension"
        )


def _date(moment: datetime) -> bytes:
    utc = moment.astimezone(UTC)
    return f"{utc.day}-{_MONTHS[utc.month - 1]}-{utc.year:04}".encode("ascii")


def _invalid(key: str) -> InvalidRequestError:
    return InvalidRequestError(
        "a search criterion cannot be written in IMAP", fields=[{"message": "not allowed in IMAP", "key": key}]
    )
