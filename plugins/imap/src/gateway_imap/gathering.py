"""Many messages as a listing shows them; blocking, one round trip.

Each becomes an entry as soon as it has arrived: five hundred of them in parsed form at once fit into no cache, and take
half as much time again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from imapclient.exceptions import ProtocolError

from gateway.model.message import MessageEntry, SpecialUse
from gateway_imap.connection import Connection
from gateway_imap.entries import message_entry, reflagged_entry
from gateway_imap.errors import response_code
from gateway_imap.fetch_parser import Attributes, Record, broken_uid, grouped, parse_fetch
from gateway_imap.ids import MessageId
from gateway_imap.reading import UNASKED, listed_items
from gateway_imap.wire import Reply, fetch_record

_WHOLE = frozenset({"UID", "FLAGS", "ENVELOPE", "BODYSTRUCTURE"})


def read_entries(
    connection: Connection, uids: Sequence[int], *, use: SpecialUse | None, mailbox: int
) -> tuple[MessageEntry, ...]:
    """Return messages of the selected mailbox in the order of their UIDs; those that are gone are left out."""
    if not uids:
        return ()
    for _ in range(2):
        gathered = _Gathered(lambda row: message_entry(MessageId(mailbox, row["UID"]), row, use))
        reply = _fetch(connection, uids, gathered)
        if not reply.lines("EXPUNGE") and not reply.lines("VANISHED"):
            break
        # Of one that others expunged servers may tell empty attributes (RFC 2180 section 4.1.2).
    found = {entry.uid: entry for entry in gathered.entries()}
    return tuple(found[uid] for uid in uids if uid in found)


def _fetch(connection: Connection, uids: Sequence[int], gathered: _Gathered) -> Reply:
    def take(line: bytes) -> bool:
        record = fetch_record(line)
        if record is None:
            return False
        connection.hear("FETCH", record)
        gathered.add([record])
        return True

    reply = connection.command(b"UID FETCH", uid_set(uids), listed_items(connection), tolerate=True, take=take)
    if reply.status != "OK" and response_code(reply.text)[0] not in ("EXPUNGEISSUED", "NONEXISTENT"):
        raise connection.refusal(reply)
    for records in grouped(reply.lines("FETCH")):
        gathered.add(records)
    return reply


def uid_set(uids: Sequence[int]) -> bytes:
    """Return the shortest set for these UIDs (RFC 9051 section 9, sequence-set): lines have limits."""
    pieces: list[str] = []
    runs = groupby(enumerate(sorted(set(uids))), key=lambda pair: pair[1] - pair[0])
    for _, run in runs:
        first, *rest = (uid for _, uid in run)
        pieces.append(f"{first}:{rest[-1]}" if rest else str(first))
    return ",".join(pieces).encode("ascii")


class _Gathered:
    """What FETCH responses tell of messages; one that cannot be read does not spoil the others."""

    def __init__(self, make: Callable[[Attributes], MessageEntry]) -> None:
        self._make = make
        self._entries: dict[int, MessageEntry] = {}
        self._pieces: dict[int, Attributes] = {}

    def add(self, records: list[Record]) -> None:
        """Take in a response, in imaplib's form."""
        try:
            for number, row in parse_fetch(records):
                if row.keys() >= _WHOLE and isinstance(row["UID"], int):
                    self._entries[number] = self._make(row)
                    self._pieces.pop(number, None)
                else:
                    # Flags of any message may come in between, and a message in more than one piece.
                    self._pieces[number] = self._pieces.get(number, {}) | row
        except (ProtocolError, ValueError):
            uid = broken_uid(records[0])
            if uid is not None:
                self._entries[-uid] = self._make({"UID": uid})

    def entries(self) -> list[MessageEntry]:
        """Return everything that is known by now."""
        for number, row in self._pieces.items():
            entry = self._entries.get(number)
            if entry is not None:
                self._entries[number] = reflagged_entry(entry, row) if "FLAGS" in row else entry
            elif isinstance(row.get("UID"), int) and ("FLAGS" not in row or row.keys() - UNASKED):
                self._entries[number] = self._make(row)
        return list(self._entries.values())
