"""What happened in a mailbox since a state; blocking.

Three ways, the first that can be gone:

1. With QRESYNC (RFC 7162) the server keeps the history: one round trip, and a state is a modification sequence.
2. Without, a session that has had the mailbox selected since it gave out the state has heard everything
   (`gateway_imap.following`): a NOOP, and one more round trip if there is new mail.
3. Else every message is told, and whoever asks compares.

A state is "<way>:<UIDVALIDITY>:<UIDNEXT>:<mark>"; any of them can be asked with on any server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from gateway.errors import CursorExpiredError, MailboxResetError
from gateway.model.message import MessageEntry, SpecialUse
from gateway.provider import Changes, MessageState
from gateway_imap.connection import Connection
from gateway_imap.errors import OutOfStepError, connection_error, response_code
from gateway_imap.fetch_parser import grouped, parse_fetch
from gateway_imap.flag_lines import Flags, Told, read_flag_line, told
from gateway_imap.following import Follower, uid_ranges
from gateway_imap.gathering import read_entries
from gateway_imap.ids import MessageId
from gateway_imap.selected import Selected
from gateway_imap.wire import Reply

_HISTORY, _FOLLOWED = "v", "f"
_STATE = re.compile(r"([vf]):([0-9]{1,10}):([0-9]{1,10}):([0-9a-f.]{1,40})")
_UID_FLAGS = b"(UID FLAGS)"
# More UIDs that are gone than this are a server's short memory; telling what is there is cheaper.
_MOST_REMOVED = 20_000


class State(NamedTuple):
    """How far somebody knows a mailbox: a modification sequence, or what a `Follower` calls it."""

    way: str
    uid_validity: int
    uid_next: int
    mark: str

    def encode(self) -> str:
        """Return the API's form."""
        return ":".join(map(str, self))


class Found(NamedTuple):
    """What happened, by UID, and the state after it; labels only where there are any."""

    state: State
    changed: dict[int, Flags]
    removed: Sequence[int] = ()
    complete: bool = False
    labels: Mapping[int, tuple[str, ...]] = MappingProxyType({})


def read_changes(
    connection: Connection, path: str, name: bytes, since: str | None, *, number: Callable[[str], int]
) -> Changes:
    """Return what happened in a mailbox.

    Args:
        connection: logged in.
        path: of the mailbox.
        name: the argument that names it to the server.
        since: a state, None for every message there is.
        number: numbers a name durably, see `gateway.provider.Numbers`.

    Raises:
        NotFoundError: there is no such mailbox.
        CursorExpiredError: not a state.
        MailboxResetError: the mailbox was made anew.
    """
    state = None if since is None else _decode(since)
    found = None
    if connection.has("QRESYNC") and connection.has("ENABLE"):
        connection.enable(b"QRESYNC")
        found = _from_history(connection, path, name, state)
    if found is None:
        # Gmail does not tell when labels change, which are part of its listings.
        follow = not connection.has("X-GM-EXT-1")
        found = _from_following(connection, path, name, state) if follow else _listed(connection, path, name, state)
    mailbox = number(f"{found.state.uid_validity}:{path}")
    return Changes(
        state=found.state.encode(),
        changed=tuple(
            MessageState(
                id=MessageId(mailbox, uid).encode(), position=uid, flags=flags, labels=found.labels.get(uid, ())
            )
            for uid, flags in sorted(found.changed.items())
        ),
        removed=tuple(MessageId(mailbox, uid).encode() for uid in found.removed),
        complete=found.complete,
        uid_validity=found.state.uid_validity or None,
    )


def _message_states(found: Found, mailbox: int) -> Iterator[MessageState]:
    for uid, flags in sorted(found.changed.items()):
        labels = found.labels.get(uid, ())
        yield MessageState(id=MessageId(mailbox, uid).encode(), position=uid, flags=flags, labels=labels)


def read_changed(
    connection: Connection,
    path: str,
    name: bytes,
    ids: Iterable[MessageId],
    *,
    use: SpecialUse | None,
    number: Callable[[str], int],
) -> tuple[MessageEntry, ...]:
    """Return messages as a listing shows them; those that are gone are left out. Arguments as of `read_changes`.

    Raises:
        NotFoundError: there is no such mailbox.
    """
    kept = connection.selected is not None and connection.selected.path == path
    mailbox = number(f"{connection.select(path, name).uid_validity}:{path}")
    uids = sorted({id.uid for id in ids if id.mailbox == mailbox})
    found = read_entries(connection, uids, use=use, mailbox=mailbox)
    if kept and len(found) < len(uids):
        # They may have arrived since this session last looked (RFC 9051 section 7.4.1: EXISTS comes first).
        connection.command(b"NOOP")
        known = {entry.uid for entry in found}
        found += read_entries(connection, [uid for uid in uids if uid not in known], use=use, mailbox=mailbox)
    return found


def _decode(state: str) -> State:
    found = _STATE.fullmatch(state)
    if found is None:
        raise CursorExpiredError("not a state of an IMAP mailbox")
    return State(found[1], int(found[2]), int(found[3]), found[4])


def _same_mailbox(selected: Selected, state: State | None) -> None:
    if state is not None and state.uid_validity != selected.uid_validity:
        raise MailboxResetError(
            "the mailbox was made anew",
            uid_validity=selected.uid_validity,
            previous_uid_validity=state.uid_validity,
        )


# --- from the server's history ----------------------------------------------------------------------------------------


def _from_history(connection: Connection, path: str, name: bytes, state: State | None) -> Found | None:
    """Ask for what happened since a modification sequence; None when this mailbox has none (NOMODSEQ)."""
    if state is None or state.way != _HISTORY or not state.mark.isdigit() or not int(state.mark):
        found = _listed(connection, path, name, state)
        return found if found.state.way == _HISTORY else None
    if _nothing_new(connection, path, state):
        return Found(state, {})
    heard = _Heard()
    parameter = b"(QRESYNC (%d %d))" % (state.uid_validity, int(state.mark))
    selected, reply = connection.examine(path, name, parameter, take=heard.take)
    selected.stirred = False
    _same_mailbox(selected, state)
    if not selected.highest_modseq:
        return None
    heard.add(reply)
    vanished = [(first, min(last, state.uid_next - 1)) for first, last in heard.vanished]
    if sum(last - first + 1 for first, last in vanished) > _MOST_REMOVED:
        return _listed(connection, path, name, state)
    return Found(
        _state_of(selected, heard.flags, state.uid_next),
        heard.flags,
        [uid for first, last in vanished for uid in range(first, last + 1) if uid not in heard.flags],
    )


def _nothing_new(connection: Connection, path: str, state: State) -> bool:
    """Tell whether the mailbox is selected, the state is of then, and the server has told nothing since, nor now."""
    selected = connection.selected
    if selected is None or selected.path != path or selected.writable or selected.stirred:
        return False
    if (selected.uid_validity, str(selected.highest_modseq)) != (state.uid_validity, state.mark):
        return False
    connection.command(b"NOOP")
    return not selected.stirred


def _state_of(selected: Selected, told: Iterable[int], known: int = 0) -> State:
    """Return the state after a mailbox was selected; what arrived in the meantime may have been told already."""
    uid_next = max(selected.uid_next or 0, known, max(told, default=0) + 1)
    if selected.highest_modseq:
        return State(_HISTORY, selected.uid_validity, uid_next, str(selected.highest_modseq))
    return State(_FOLLOWED, selected.uid_validity, uid_next, "0")


class _Heard:
    """Collects what FETCH and VANISHED (RFC 7162 section 3.2.10) tell.

    Attributes:
        flags: by UID.
        labels: by UID, of those that have some.
        vanished: first and last UID of each range.
    """

    def __init__(self) -> None:
        self.flags: dict[int, Flags] = {}
        self.labels: dict[int, tuple[str, ...]] = {}
        self.vanished: list[tuple[int, int]] = []

    def take(self, line: bytes) -> bool:
        """See `Connection.command`."""
        found = read_flag_line(line)
        if found is not None:
            self._enter(found)
        return found is not None

    def add(self, reply: Reply) -> None:
        """Add what was not taken."""
        for records in grouped(reply.lines("FETCH")):
            for number, row in parse_fetch(records):
                self._enter(told(number, row))
        for line in reply.lines("VANISHED"):
            if isinstance(line, bytes):
                self.vanished += uid_ranges(line.split(b" ")[-1])

    def _enter(self, found: Told) -> None:
        if found.uid is not None and found.flags is not None:
            self.flags[found.uid] = found.flags
            if found.labels:
                self.labels[found.uid] = found.labels


# --- everything -------------------------------------------------------------------------------------------------------


def _listed(connection: Connection, path: str, name: bytes, state: State | None) -> Found:
    """Tell every message; the state is of before, so that what happens meanwhile is told again later."""
    selected, _ = connection.examine(path, name)
    selected.stirred = False
    _same_mailbox(selected, state)
    heard = _Heard() if selected.exists == 0 else _every_message(connection)
    return Found(_state_of(selected, heard.flags), heard.flags, complete=True, labels=heard.labels)


def _every_message(connection: Connection) -> _Heard:
    items = b"(UID FLAGS X-GM-LABELS)" if connection.has("X-GM-EXT-1") else _UID_FLAGS
    for _ in range(3):
        heard = _Heard()
        reply = connection.command(b"UID FETCH", b"1:*", items, tolerate=True, take=heard.take)
        heard.add(reply)
        if reply.status == "OK":
            return heard
        if response_code(reply.text)[0] != "EXPUNGEISSUED":
            break
        # Others expunged messages meanwhile; those that were not told yet must not be taken for expunged, too.
        connection.command(b"NOOP")
    raise connection.refusal(reply)


# --- from what was heard ----------------------------------------------------------------------------------------------


def _from_following(connection: Connection, path: str, name: bytes, state: State | None) -> Found:
    for _ in range(2):
        selected, follower = _followed(connection, path, name)
        _same_mailbox(selected, state)
        if _learn(connection, follower):
            selected.stirred = False
            found = None if state is None else follower.since(state.mark)
            changed, removed = found or (dict(follower.everything()), [])
            if found is None:
                follower.forget()
            uid_next = max(selected.uid_next or 0, follower.highest_uid + 1)
            after = State(_FOLLOWED, selected.uid_validity, uid_next, follower.state)
            return Found(after, changed, removed, complete=found is None)
        connection.deselect()
    # The server contradicts itself, or keeps quiet about a message; there is nothing to follow here.
    return _listed(connection, path, name, state)


def _followed(connection: Connection, path: str, name: bytes) -> tuple[Selected, Follower]:
    """Return the selected mailbox, with what was heard in it up to now.

    Only one that is open for reading: of changes that a session makes itself it may hear nothing (``.SILENT``).
    """
    selected = connection.selected
    if selected is not None and selected.path == path and not selected.writable and selected.follower is not None:
        connection.command(b"NOOP")
        return selected, selected.follower
    selected, _ = connection.examine(path, name)
    if selected.exists is None:
        raise connection_error(OutOfStepError("EXAMINE did not tell the number of messages"))
    selected.follower = Follower(selected.exists)
    return selected, selected.follower


def _learn(connection: Connection, follower: Follower) -> bool:
    """Ask what is not known of messages; False when it cannot be found out.

    By sequence numbers: until such a command is answered, they do not shift (RFC 9051 section 7.5.1).
    """
    for _ in range(3):
        unknown = follower.unknown()
        if follower.broken or not unknown:
            break
        numbers = b"%d:%d" % (unknown[0], unknown[-1])
        reply = connection.command(b"FETCH", numbers, _UID_FLAGS, tolerate=True, take=follower.take)
        if reply.status != "OK":
            if response_code(reply.text)[0] != "EXPUNGEISSUED":
                raise connection.refusal(reply)
            connection.command(b"NOOP")
    return not follower.broken and not follower.unknown()
