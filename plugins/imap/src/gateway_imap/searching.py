"""Searching a mailbox (RFC 9051 section 6.4.4): a request in IMAP's words; blocking."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from gateway.errors import InvalidIdentifierError, InvalidRequestError, UnsupportedOperationError
from gateway.mime.identity import is_thread_id
from gateway.model.message import SearchQuery, SpecialUse
from gateway.provider import Place
from gateway_imap.connection import Connection
from gateway_imap.finding import find_everywhere, united
from gateway_imap.fingerprints import size_criterion, with_fingerprints
from gateway_imap.gathering import read_entries
from gateway_imap.ids import decode_message_id
from gateway_imap.listing import Page
from gateway_imap.paging import check_validity
from gateway_imap.threads import of_thread, thread_criteria
from gateway_imap.wire import quoted

_NUMBER = r"(?:[1-9][0-9]{0,9}|\*)"
_SET = re.compile(rf"{_NUMBER}(?::{_NUMBER})?(?:,{_NUMBER}(?::{_NUMBER})?)*")
_LARGEST = 2**32 - 1
_HEADER_NAME = re.compile(r"[!-9;-~]+")
_OBJECT_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_GMAIL_ID = re.compile(r"[0-9]{1,20}")
# Ids that are looked for in one command: servers take lines of 8192 octets (RFC 7162 section 4).
_MOST_IDS = 100
_MOST_OCTETS = 4000
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
    uid_validity, ranges = _search(connection, path, name, query, number)
    check_validity(place, uid_validity)
    first, size = place.window(size, lambda uid, including: _newer(ranges, uid if including else uid + 1))
    total = sum(len(span) for span in ranges)
    uids = list(_newest(ranges, first, size))
    entries = read_entries(connection, uids, use=use, mailbox=number(f"{uid_validity}:{path}"))
    return Page(uid_validity, total, min(first, total), entries)


def search_uids(
    connection: Connection, path: str, name: bytes, query: SearchQuery, *, number: Callable[[str], int]
) -> tuple[int, list[int]]:
    """Return UIDVALIDITY and the UIDs of all messages that match, highest first; see `search_page`."""
    uid_validity, ranges = _search(connection, path, name, query, number)
    return uid_validity, [uid for span in reversed(ranges) for uid in reversed(span)]


def _search(
    connection: Connection, path: str, name: bytes, query: SearchQuery, number: Callable[[str], int]
) -> tuple[int, list[range]]:
    criteria = list(_criteria(connection, query))
    selected = connection.refreshed(path, name)
    uids = _uids(query, number(f"{selected.uid_validity}:{path}")) if query.email_ids else {}
    groups = list(_id_groups(connection, query, uids))
    if query.seq is not None:
        criteria.insert(0, _existing(_checked_set(query.seq, "search.seq"), selected.exists or 0))
    found = united(span for group in groups for span in find_everywhere(connection, [*criteria, *group] or [b"ALL"]))
    if query.thread_id is not None and is_thread_id(query.thread_id):
        found = of_thread(connection, query.thread_id, found)
    if not _has_ids(connection):
        if query.email_id is not None:
            found = with_fingerprints(connection, frozenset((query.email_id,)), found)
        if query.email_ids is not None:
            by_uid = [range(uid, uid + 1) for uid in uids.values() if any(uid in span for span in found)]
            found = united([*with_fingerprints(connection, frozenset(query.email_ids), found), *by_uid])
    return selected.uid_validity, found


def _uids(query: SearchQuery, mailbox: int) -> dict[str, int]:
    """Return the UIDs of those `emailIds` that are ids of messages in this mailbox, by id."""
    uids = {}
    for id in query.email_ids or ():
        with contextlib.suppress(InvalidIdentifierError):
            message = decode_message_id(id)
            if message.mailbox == mailbox:
                uids[id] = message.uid
    return uids


def _has_ids(connection: Connection) -> bool:
    """Tell whether the server has ids of messages; where it has none, they are fingerprints."""
    return connection.has("X-GM-EXT-1") or connection.has("OBJECTID")


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
            yield from (key, _text(text, "search." + key.decode("ascii").lower()))
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
        yield from (b"HEADER", quoted(header), _text(value, "search.header"))
    yield from _extensions(connection, query)


def _sets(query: SearchQuery) -> Iterator[bytes]:
    if query.uid is not None:
        yield from (b"UID", _checked_set(query.uid, "search.uid").encode("ascii"))
    for key, octets in ((b"LARGER", query.larger), (b"SMALLER", query.smaller)):
        if octets is not None:
            yield from (key, b"%d" % octets)


def _checked_set(value: str, key: str) -> str:
    """Return a sequence set, or refuse what is none (RFC 9051 section 9: numbers of 32 bits, without zero)."""
    if not _SET.fullmatch(value) or any(int(number) > _LARGEST for number in re.findall(r"\d+", value)):
        raise _invalid(key)
    return value


def _existing(value: str, exists: int) -> bytes:
    """Return the part of a sequence set that there is: servers refuse numbers beyond (RFC 9051 section 9)."""
    spans = []
    for part in value.split(","):
        low, *_, high = sorted(exists if end == "*" else int(end) for end in f"{part}:{part}".split(":"))
        if 1 <= low <= exists:
            spans.append(f"{low}:{min(high, exists)}")
    return ",".join(spans).encode("ascii") or b"NOT ALL"


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
        if not _OBJECT_ID.fullmatch(query.email_id):
            raise _invalid("search.emailId")
        yield from _email_id(connection, query.email_id)
    if query.thread_id is not None and is_thread_id(query.thread_id):
        yield from thread_criteria(query.thread_id)
    elif query.thread_id is not None:
        yield from _object_id(connection, "THREADID", "X-GM-THRID", query.thread_id, "search.threadId")
    if query.gmail_raw is not None:
        _need(connection, "X-GM-EXT-1")
        yield from (b"X-GM-RAW", _text(query.gmail_raw, "search.gmailRaw"))
    if query.labels is not None:
        _need(connection, "X-GM-EXT-1")
        for label in query.labels.has:
            yield from (b"X-GM-LABELS", _text(label, "search.labels"))
        for label in query.labels.not_:
            yield from (b"NOT", b"X-GM-LABELS", _text(label, "search.labels"))


def _email_id(connection: Connection, id: str) -> tuple[bytes, ...]:
    """Return the criterion for the id of a message wherever it is (RFC 8474, Gmail's, or a fingerprint)."""
    if not _has_ids(connection):
        return (size_criterion(id),)
    return _object_id(connection, "EMAILID", "X-GM-MSGID", id, "search.emailId")


def _object_id(connection: Connection, standard: str, gmail: str, id: str, key: str) -> tuple[bytes, bytes]:
    """Return the criterion for an id of RFC 8474, or of Gmail; `key` is where the request has it."""
    if not _OBJECT_ID.fullmatch(id):
        raise _invalid(key)
    if connection.has("X-GM-EXT-1"):
        return gmail.encode("ascii"), id.encode("ascii")
    _need(connection, "OBJECTID")
    return standard.encode("ascii"), id.encode("ascii")


def _id_groups(connection: Connection, query: SearchQuery, uids: Mapping[str, int]) -> Iterator[list[bytes]]:
    """Return criteria for the ids that are looked for, as many at a time as fit into a command; all are one search.

    What can be no id is none that is there.
    """
    if query.email_ids is None:
        yield []
        return
    possible = _GMAIL_ID if connection.has("X-GM-EXT-1") else _OBJECT_ID
    ids = [
        (b"UID", b"%d" % uids[id]) if id in uids else _email_id(connection, id)
        for id in query.email_ids
        if id in uids or possible.fullmatch(id)
    ]
    group: list[tuple[bytes, ...]] = []
    octets = 0
    for words in dict.fromkeys(ids):
        length = len(b" ".join((b"OR", *words, b"")))
        if group and (len(group) == _MOST_IDS or octets + length > _MOST_OCTETS):
            yield _any_of(group)
            group, octets = [], 0
        group.append(words)
        octets += length
    if group:
        yield _any_of(group)


def _any_of(criteria: Sequence[tuple[bytes, ...]]) -> list[bytes]:
    """Join by OR, which takes two."""
    *others, last = criteria
    return [word for words in others for word in (b"OR", *words)] + list(last)


def _text(text: str, key: str) -> bytes:
    """Return an argument that is text; `key` is where the request has it.

    Raises:
        InvalidRequestError: it holds what no string of IMAP may hold (RFC 9051 section 4.3).
    """
    try:
        octets = text.encode("utf-8")
    except UnicodeEncodeError:
        raise _invalid(key) from None
    if b"\0" in octets:
        raise _invalid(key)
    return quoted(octets)


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
