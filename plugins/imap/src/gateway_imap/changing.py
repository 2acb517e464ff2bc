"""Changing messages; blocking."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from gateway.errors import ConnectError, OutcomeUnknownError
from gateway.provider import check_flags
from gateway_imap.connection import Connection
from gateway_imap.entries import visible_flags
from gateway_imap.fetch_parser import parse_fetch, parse_values
from gateway_imap.finding import find_everywhere
from gateway_imap.reading import Target, fetch_one, open_message
from gateway_imap.uid_sets import uid_sets
from gateway_imap.wire import Literal, Reply, StreamedLiteral

_UID_PAIR = re.compile(rb"(\d+) (\S+) (\S+)")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Placed(NamedTuple):
    """Where a message is now, as far as the server tells (RFC 4315)."""

    uid_validity: int
    uid: int


def update_flags(
    connection: Connection,
    target: Target,
    *,
    replace: Sequence[str] | None,
    add: Sequence[str],
    remove: Sequence[str],
) -> tuple[str, ...]:
    """Change flags and return those the message has then.

    Raises:
        InvalidRequestError: no flag can have this name.
        NotFoundError: there is no such message.
    """
    commands = flag_steps(replace=replace, add=add, remove=remove)
    open_message(connection, target, writable=True)
    flags: tuple[str, ...] | None = None
    for item, names in commands:
        flags = _store(connection, target, item, names)
    if flags is None:
        flags = visible_flags(fetch_one(connection, target, b"(UID FLAGS)").get("FLAGS"))
    return flags


def flag_steps(
    *, replace: Sequence[str] | None, add: Sequence[str], remove: Sequence[str]
) -> list[tuple[bytes, list[bytes]]]:
    """Return what to STORE, in order: the item and its flags.

    Raises:
        InvalidRequestError: no flag can have this name.
    """
    steps = [(b"FLAGS", replace)] if replace is not None else [(b"+FLAGS", add), (b"-FLAGS", remove)]
    return [(item, [_flag(name) for name in names]) for item, names in steps if names or replace is not None]


def _store(connection: Connection, target: Target, item: bytes, names: Sequence[bytes]) -> tuple[str, ...] | None:
    """Change flags; None when the server did not tell the result."""
    listed = b"(" + b" ".join(names) + b")"
    reply = connection.command(b"UID STORE", b"%d" % target.id.uid, item, listed)
    for _, row in parse_fetch(reply.lines("FETCH")):
        if row.get("UID") == target.id.uid and "FLAGS" in row:
            return visible_flags(row["FLAGS"])
    return None


def _flag(name: str) -> bytes:
    check_flags((name,))
    return name.encode("ascii")


def move(connection: Connection, target: Target, destination: bytes) -> Placed | None:
    """Move a message (RFC 6851), or copy it and expunge the original.

    Raises:
        NotFoundError: there is no such message or mailbox.
        OutcomeUnknownError: the connection broke in between.
    """
    if not connection.has("MOVE"):
        placed = _place(connection, target, b"UID COPY", destination, writable=True)
        with _no_repetition():
            _remove(connection, target)
        return placed
    return _place(connection, target, b"UID MOVE", destination, writable=True)


def copy(connection: Connection, target: Target, destination: bytes) -> Placed | None:
    """Copy a message.

    Raises:
        NotFoundError: there is no such message or mailbox.
        OutcomeUnknownError: the connection broke in between.
    """
    return _place(connection, target, b"UID COPY", destination, writable=False)


def _place(
    connection: Connection, target: Target, command: bytes, destination: bytes, *, writable: bool
) -> Placed | None:
    open_message(connection, target, writable=writable)
    with _no_repetition():
        reply = connection.command(command, b"%d" % target.id.uid, destination)
    return _copied(reply, target.id.uid)


def _copied(reply: Reply, uid: int) -> Placed | None:
    found = _UID_PAIR.fullmatch(reply.code("COPYUID") or b"")
    if found is None or found[2] != b"%d" % uid or not found[3].isdigit():
        return None
    return Placed(int(found[1]), int(found[3]))


def delete(connection: Connection, target: Target) -> None:
    """Delete a message for good.

    Raises:
        NotFoundError: there is no such message.
    """
    open_message(connection, target, writable=True)
    _remove(connection, target)


def _remove(connection: Connection, target: Target) -> None:
    remove(connection, [target.id.uid])


def remove(connection: Connection, uids: Sequence[int]) -> None:
    """Expunge messages of the selected mailbox, and no others."""
    for chosen in uid_sets(uids):
        connection.command(b"UID STORE", chosen.octets, b"+FLAGS.SILENT", b"(\\Deleted)")
        if connection.has("UIDPLUS"):
            connection.command(b"UID EXPUNGE", chosen.octets)
        else:
            _expunge_alone(connection, chosen.uids)


def _expunge_alone(connection: Connection, uids: Sequence[int]) -> None:
    """Expunge messages without taking along what somebody else marked as deleted."""
    marked = {uid for span in find_everywhere(connection, [b"DELETED"]) for uid in span}
    others = list(uid_sets(marked - set(uids)))
    for other in others:
        connection.command(b"UID STORE", other.octets, b"-FLAGS.SILENT", b"(\\Deleted)")
    connection.command(b"EXPUNGE")
    for other in others:
        connection.command(b"UID STORE", other.octets, b"+FLAGS.SILENT", b"(\\Deleted)")


def append(
    connection: Connection,
    destination: bytes,
    message: Literal | StreamedLiteral,
    *,
    flags: Sequence[str],
    date: datetime | None,
) -> Placed | None:
    """Store a message octet for octet.

    Raises:
        NotFoundError: there is no such mailbox.
        MessageTooLargeError: over the server's limit.
        OutcomeUnknownError: the connection broke in between.
    """
    arguments = [b"(" + b" ".join(map(_flag, flags)) + b")"] if flags else []
    if date is not None:
        arguments.append(_date(date))
    with _no_repetition():
        reply = connection.command(b"APPEND", destination, *arguments, message)
    words = (reply.code("APPENDUID") or b"").split()
    return Placed(int(words[0]), int(words[1])) if len(words) == 2 and all(map(bytes.isdigit, words)) else None


def _date(moment: datetime) -> bytes:
    utc = moment.astimezone(UTC)
    return f'"{utc.day:02}-{_MONTHS[utc.month - 1]}-{utc.year:04} {utc:%H:%M:%S} +0000"'.encode("ascii")


def read_quota(connection: Connection) -> tuple[int, int] | None:
    """Return octets used and allowed (RFC 9208), None when there is no limit on storage."""
    if not connection.has("QUOTA"):
        return None
    reply = connection.command(b"GETQUOTAROOT", b"INBOX", tolerate=True)
    for line in reply.lines("QUOTA"):
        values = parse_values([line])
        resources = values[1] if len(values) > 1 and isinstance(values[1], list) else []
        for name, usage, limit in zip(resources[::3], resources[1::3], resources[2::3], strict=False):
            if str(name).upper() == "STORAGE" and isinstance(usage, int) and isinstance(limit, int):
                return usage * 1024, limit * 1024
    return None


@contextlib.contextmanager
def _no_repetition() -> Iterator[None]:
    """Mark a broken connection as an open question: doing it again might do it twice."""
    try:
        yield
    except ConnectError as error:
        raise OutcomeUnknownError(
            "the connection broke before the server confirmed the change", native_code=error.native_code
        ) from error
