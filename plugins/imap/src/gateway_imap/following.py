"""A selected mailbox without history: what the server tells by the way is remembered instead (RFC 9051 section 7).

Responses speak of sequence numbers, which shift with every EXPUNGE; a map of UIDs that is kept in step makes messages
of them. It takes six octets a message.
"""

from __future__ import annotations

import secrets
from array import array
from bisect import bisect_left
from collections.abc import Iterator

from imapclient.exceptions import ProtocolError

from gateway_imap.fetch_parser import Record
from gateway_imap.flag_lines import Flags, Told, read_flag_line, read_told

# What is remembered for those who ask from an older state.
_LONGEST_LOG = 20_000
_MOST_FLAG_SETS = 65_535


class Follower:
    """UID and flags of every message, and which of them something happened to, in order.

    Attributes:
        broken: what the server told does not fit together: ask for everything again.
    """

    def __init__(self, exists: int) -> None:
        """Begin with messages of which nothing is known yet."""
        self.broken = False
        self._name = secrets.token_hex(8)
        self._uids = array("I", bytes(4 * exists))
        self._sets = array("H", bytes(2 * exists))
        self._numbers: dict[Flags, int] = {}
        self._flags: list[Flags] = [()]
        self._log = array("I")
        self._dropped = 0
        self._literals: list[Record] = []

    # --- asking -------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """What happened up to now, in a word that `since` understands."""
        return f"{self._name}.{self._dropped + len(self._log)}"

    @property
    def highest_uid(self) -> int:
        """The UID of the newest message; 0 if there is none, or it is not known."""
        return self._uids[-1] if self._uids else 0

    def since(self, state: str) -> tuple[dict[int, Flags], list[int]] | None:
        """Return UIDs and flags of what may have changed since a state, and the UIDs that are gone.

        None when the state is another follower's, or too old.
        """
        name, _, told = state.partition(".")
        start = int(told) - self._dropped if told.isdigit() else -1
        if name != self._name or not 0 <= start <= len(self._log):
            return None
        changed, gone = {}, []
        for uid in set(self._log[start:]):
            index = self._index(uid)
            if index is None:
                gone.append(uid)
            else:
                changed[uid] = self._flags[self._sets[index]]
        return changed, gone

    def everything(self) -> Iterator[tuple[int, Flags]]:
        """Yield UID and flags of every message that is known."""
        flags = self._flags
        return ((uid, flags[kind]) for uid, kind in zip(self._uids, self._sets, strict=True) if uid and kind)

    def forget(self) -> None:
        """Answer no older state than the present one."""
        self._dropped += len(self._log)
        del self._log[:]

    def unknown(self) -> range:
        """Return the sequence numbers between which messages are of which UID or flags are not known."""
        if 0 not in self._sets:
            return range(0)
        last = len(self._sets)
        while self._sets[last - 1]:
            last -= 1
        return range(self._sets.index(0) + 1, last + 1)

    # --- hearing ------------------------------------------------------------------------------------------------------

    def take(self, line: bytes) -> bool:
        """Hear a line if it is a FETCH response of the usual form; see `Connection.command`."""
        found = read_flag_line(line)
        if found is None:
            return False
        self._enter(found)
        return True

    def hear(self, kind: str, record: Record) -> None:
        """Hear an untagged response as imaplib has it.

        Raises:
            ValueError: it is none.
        """
        if kind == "FETCH":
            self._literals.append(record)
            if not isinstance(record, tuple):
                records, self._literals = self._literals, []
                try:
                    self._enter(read_told(records))
                except (ProtocolError, ValueError):
                    self.broken = True
        elif isinstance(record, bytes) and kind == "EXISTS":
            self._grow(int(record))
        elif isinstance(record, bytes) and kind == "EXPUNGE":
            self._expunge(int(record))
        elif isinstance(record, bytes) and kind == "VANISHED" and not record.upper().startswith(b"(EARLIER)"):
            for first, last in uid_ranges(record):
                self._vanish(first, last)

    def _grow(self, exists: int) -> None:
        more = exists - len(self._uids)
        if more < 0:
            self.broken = True
        else:
            self._uids.frombytes(bytes(4 * more))
            self._sets.frombytes(bytes(2 * more))

    def _expunge(self, number: int) -> None:
        if not 0 < number <= len(self._uids):
            self.broken = True
        else:
            self._remove(number - 1)

    def _vanish(self, first: int, last: int) -> None:
        """Remove what has these UIDs; of messages whose UID is not known yet nobody can tell whether they have."""
        if 0 in self._uids:
            self.broken = True
            return
        start, end = bisect_left(self._uids, first), bisect_left(self._uids, last + 1)
        for index in reversed(range(start, end)):
            self._remove(index)

    def _remove(self, index: int) -> None:
        uid = self._uids.pop(index)
        self._sets.pop(index)
        if uid:
            self._happened(uid)

    def _enter(self, found: Told) -> None:
        index = found.number - 1
        if not 0 <= index < len(self._uids):
            self.broken = True
            return
        uid = self._uids[index]
        if found.uid is not None and uid != found.uid:
            if uid or not self._fits(index, found.uid):
                self.broken = True
                return
            uid = self._uids[index] = found.uid
        if uid and found.flags is not None:
            kind = self._number(found.flags)
            if kind != self._sets[index]:
                self._sets[index] = kind
                self._happened(uid)

    def _fits(self, index: int, uid: int) -> bool:
        """Tell whether UIDs go on ascending with this one (RFC 9051 section 2.3.1.1)."""
        after = self._uids[index + 1] if index + 1 < len(self._uids) else 0
        return (index == 0 or self._uids[index - 1] < uid) and (not after or uid < after)

    def _number(self, flags: Flags) -> int:
        number = self._numbers.get(flags)
        if number is None:
            if len(self._flags) > _MOST_FLAG_SETS:
                self.broken = True
                return 0
            number = self._numbers[flags] = len(self._flags)
            self._flags.append(flags)
        return number

    def _index(self, uid: int) -> int | None:
        index = bisect_left(self._uids, uid)
        return index if index < len(self._uids) and self._uids[index] == uid else None

    def _happened(self, uid: int) -> None:
        self._log.append(uid)
        if len(self._log) > _LONGEST_LOG + len(self._uids):
            half = len(self._log) // 2
            del self._log[:half]
            self._dropped += half


def uid_ranges(octets: bytes) -> Iterator[tuple[int, int]]:
    """Yield first and last UID of each range of a set (RFC 9051 section 9, sequence-set).

    Raises:
        ValueError: none.
    """
    for piece in octets.split(b","):
        first, _, last = piece.partition(b":")
        ends = int(first), int(last or first)
        yield min(ends), max(ends)
