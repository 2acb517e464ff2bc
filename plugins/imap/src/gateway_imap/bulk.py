"""Changing many messages of one mailbox, a set of UIDs at a time; blocking.

What became of each message is told whatever happens: a refusal concerns the messages of one command, a connection that
breaks leaves those of the command in doubt and all later ones undone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.errors import (
    AccountError,
    ConnectError,
    GatewayError,
    InvalidIdentifierError,
    NotFoundError,
    PermanentError,
    TransientError,
)
from gateway.model.bulk import Sorted
from gateway_imap.changing import Placed, remove
from gateway_imap.connection import Connection
from gateway_imap.entries import visible_flags
from gateway_imap.fetch_parser import parse_fetch
from gateway_imap.finding import find
from gateway_imap.ids import MessageId, decode_message_id
from gateway_imap.reading import Target, open_mailbox
from gateway_imap.uid_sets import UidSet, expanded, uid_sets
from gateway_imap.wire import Reply

# After these no later command would do better.
_ENDS = (TransientError, AccountError)


@dataclass(slots=True)
class Outcome:
    """What became of UIDs; see `gateway.model.bulk.Sorted`."""

    done: dict[int, Placed | None] = field(default_factory=dict)
    failed: dict[int, GatewayError] = field(default_factory=dict)
    unknown: list[int] = field(default_factory=list)


Step = Callable[[UidSet, Outcome], None]


def update_many(
    connection: Connection, target: Target, uids: Sequence[int], commands: Sequence[tuple[bytes, list[bytes]]]
) -> Outcome:
    """Change flags.

    Args:
        connection: to the server.
        target: one of the messages.
        uids: of all of them.
        commands: see `gateway_imap.changing.flag_steps`.

    Raises:
        NotFoundError: the mailbox is gone.
    """

    def step(chosen: UidSet, outcome: Outcome) -> None:
        for item, names in commands:
            connection.command(b"UID STORE", chosen.octets, item + b".SILENT", b"(" + b" ".join(names) + b")")
        flags = _flags(connection, chosen)
        done = [uid for uid, found in flags.items() if _are_stored(found, commands)]
        outcome.done.update(dict.fromkeys(done))
        refused = PermanentError("the IMAP server does not keep all of these flags", code="FlagsNotStored")
        outcome.failed.update(dict.fromkeys(flags.keys() - done, refused))
        outcome.failed.update(dict.fromkeys(set(chosen.uids) - flags.keys(), _gone()))

    return _each(connection, target, uids, step)


def _flags(connection: Connection, chosen: UidSet) -> dict[int, frozenset[bytes]]:
    """Return the flags of the messages that are there, in lower case, by UID."""
    reply = connection.command(b"UID FETCH", chosen.octets, b"(UID FLAGS)")
    found: dict[int, frozenset[bytes]] = {}
    for _, row in parse_fetch(reply.lines("FETCH")):
        uid = row.get("UID")
        if isinstance(uid, int) and "FLAGS" in row:
            found[uid] = frozenset(flag.lower().encode() for flag in visible_flags(row["FLAGS"]))
    return {uid: found[uid] for uid in chosen.uids if uid in found}


def _are_stored(flags: frozenset[bytes], commands: Sequence[tuple[bytes, list[bytes]]]) -> bool:
    """Tell whether flags are as STORE had to make them: servers ignore some (RFC 9051 section 7.1, PERMANENTFLAGS)."""
    return all(
        flags.isdisjoint(map(bytes.lower, names))
        if item.startswith(b"-")
        else flags.issuperset(map(bytes.lower, names))
        for item, names in commands
    )


def delete_many(connection: Connection, target: Target, uids: Sequence[int]) -> Outcome:
    """Delete messages for good; one that others have deleted meanwhile is done. See `update_many`."""

    def step(chosen: UidSet, outcome: Outcome) -> None:
        remove(connection, chosen.uids)
        there = _still_there(connection, chosen)
        outcome.done.update(dict.fromkeys(uid for uid in chosen.uids if uid not in there))
        outcome.failed.update(dict.fromkeys(there, PermanentError("the IMAP server did not expunge the message")))

    return _each(connection, target, uids, step)


def move_many(connection: Connection, target: Target, uids: Sequence[int], destination: bytes) -> Outcome:
    """Move messages (RFC 6851), or copy them and expunge the originals. See `update_many`.

    Raises:
        NotFoundError: a mailbox is gone.
    """

    def step(chosen: UidSet, outcome: Outcome) -> None:
        if connection.has("MOVE"):
            _move(connection, chosen, destination, outcome)
        else:
            _copy_and_remove(connection, chosen, destination, outcome)

    return _each(connection, target, uids, step)


def _each(connection: Connection, target: Target, uids: Sequence[int], step: Step) -> Outcome:
    before = connection.selected
    if open_mailbox(connection, target, writable=True) is before:
        connection.command(b"NOOP")
    outcome = Outcome()
    ended: GatewayError | None = None
    for chosen in uid_sets(uids):
        if ended is not None:
            outcome.failed.update(dict.fromkeys(chosen.uids, ended))
            continue
        try:
            step(chosen, outcome)
        except ConnectError as error:
            ended = error
            outcome.unknown += [uid for uid in chosen.uids if uid not in outcome.done]
        except GatewayError as error:
            if isinstance(error, NotFoundError) and not outcome.done and not outcome.unknown:
                raise
            _refused(connection, chosen, outcome, error)
            ended = error if isinstance(error, _ENDS) or not connection.alive else None
    return outcome


def _refused(connection: Connection, chosen: UidSet, outcome: Outcome, error: GatewayError) -> None:
    """Take in a refusal; one that came with the end of the connection (BYE) leaves open what was done before."""
    left = [uid for uid in chosen.uids if uid not in outcome.done and uid not in outcome.failed]
    if connection.alive:
        outcome.failed.update(dict.fromkeys(left, error))
    else:
        outcome.unknown += left


def _move(connection: Connection, chosen: UidSet, destination: bytes, outcome: Outcome) -> None:
    reply = connection.command(b"UID MOVE", chosen.octets, destination, tolerate=True)
    refused = None if reply.status == "OK" else connection.refusal(reply)
    if isinstance(refused, NotFoundError):
        raise refused
    moved = _copied(reply)
    outcome.done.update({uid: moved[uid] for uid in chosen.uids if uid in moved})
    rest = [uid for uid in chosen.uids if uid not in moved]
    if not rest:
        return
    # RFC 6851 section 3.3: a NO may come after some were moved.
    there = _still_there(connection, chosen)
    reason = refused if isinstance(refused, GatewayError) else PermanentError("the IMAP server did not move it")
    for uid in rest:
        if uid in there:
            outcome.failed[uid] = reason
        elif refused is not None:
            outcome.unknown.append(uid)
        elif moved:
            outcome.failed[uid] = _gone()
        else:
            outcome.done[uid] = None


def _copy_and_remove(connection: Connection, chosen: UidSet, destination: bytes, outcome: Outcome) -> None:
    """Copy and expunge; RFC 9051 section 6.4.7: COPY copies all or none."""
    there = _still_there(connection, chosen)
    outcome.failed.update(dict.fromkeys(set(chosen.uids) - there, _gone()))
    if not there:
        return
    copied = _copied(connection.command(b"UID COPY", chosen.octets, destination))
    try:
        remove(connection, sorted(there))
    except PermanentError:
        # It may be in both mailboxes now.
        outcome.unknown += sorted(there)
        return
    outcome.done.update({uid: copied.get(uid) for uid in chosen.uids if uid in there})


def _copied(reply: Reply) -> dict[int, Placed]:
    """Return where messages are now, as far as the server tells (COPYUID, RFC 4315 section 3)."""
    words = (reply.code("COPYUID") or b"").split()
    if len(words) != 3:
        return {}
    try:
        validity, before, after = int(words[0]), expanded(words[1]), expanded(words[2])
    except ValueError:
        return {}
    if len(before) != len(after):
        return {}
    return {old: Placed(validity, new) for old, new in zip(before, after, strict=True)}


def _still_there(connection: Connection, chosen: UidSet) -> set[int]:
    return {uid for span in find(connection, [b"UID", chosen.octets]) for uid in span}


def _gone() -> NotFoundError:
    return NotFoundError("there is no such message", code="MessageNotFound")


def one_mailbox(ids: Sequence[str]) -> list[MessageId]:
    """Read ids of messages of one mailbox.

    Raises:
        InvalidIdentifierError: they are not, or cannot be this provider's.
    """
    chosen = [decode_message_id(id) for id in ids]
    if len({message.mailbox for message in chosen}) > 1:
        raise InvalidIdentifierError("the messages are not in one mailbox")
    return chosen


def uids_of(chosen: Sequence[MessageId]) -> list[int]:
    """Return the UIDs of messages."""
    return [message.uid for message in chosen]


def by_id(mailbox: int, outcome: Outcome, destination: int | None) -> Sorted:
    """Return what became of UIDs of a mailbox in terms of ids."""

    def id_of(uid: int) -> str:
        return MessageId(mailbox, uid).encode()

    def placed_id(place: Placed | None) -> str | None:
        return None if place is None or destination is None else MessageId(destination, place.uid).encode()

    return Sorted(
        done={id_of(uid): placed_id(place) for uid, place in outcome.done.items()},
        failed={id_of(uid): error for uid, error in outcome.failed.items()},
        unknown=tuple(map(id_of, outcome.unknown)),
    )
