"""Messages as Exchange sees them: items that keep their identity, with properties that IMAP does not know."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import Any

import msgspec


class Properties(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What only Graph sets.

    Attributes:
        flag: of a followupFlag what IMAP's ``\\Flagged`` cannot say: that it is complete, and its dates.
        importance: where it differs from what the message says.
        extended: single-value extended properties by id.
        answers: the item that a draft replies to or forwards, and the verb that it gets when the draft is sent.
    """

    categories: tuple[str, ...] = ()
    flag: dict[str, Any] = {}
    importance: str | None = None
    inference_classification: str | None = None
    extended: dict[str, str] = {}
    answers: tuple[int, str] | None = None


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A message; `id` stays the same when it moves. `received` is IMAP's internal date."""

    id: int
    mailbox_id: int
    uid: int
    content_id: int
    received: datetime
    flags: frozenset[str]
    modseq: int
    modified: datetime
    properties: Properties


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """An item that has left a mailbox, and with which modification sequence."""

    item_id: int
    uid: int
    modseq: int


class Items:
    """Reads items; `mailstore.MailStore` writes them."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def find(self, owner: str, item_id: int) -> Item | None:
        """Return an item of somebody, wherever it is, or None when it is gone."""
        row = self._database.execute(f"{_SELECT} WHERE i.id = ? AND b.owner = ?", (item_id, owner)).fetchone()
        return None if row is None else _item(row)

    def at(self, mailbox_id: int, uid: int) -> Item | None:
        """Return the item of a message, or None when it is gone."""
        row = self._database.execute(f"{_SELECT} WHERE m.mailbox_id = ? AND m.uid = ?", (mailbox_id, uid)).fetchone()
        return None if row is None else _item(row)

    def of_owner(self, owner: str) -> list[Item]:
        """Return all items of somebody, in no order."""
        return [_item(row) for row in self._database.execute(f"{_SELECT} WHERE b.owner = ?", (owner,))]

    def of_mailbox(self, mailbox_id: int, since: tuple[int, int] = (0, 0), limit: int = -1) -> list[Item]:
        """Return the first items of a mailbox that changed after another, in the order of changes.

        Args:
            mailbox_id: which one.
            since: modification sequence and UID of that other change.
            limit: how many; -1 for all.
        """
        rows = self._database.execute(
            f"{_SELECT} WHERE m.mailbox_id = ? AND m.modseq >= ? AND (m.modseq, m.uid) > (?, ?)"
            " ORDER BY m.modseq, m.uid LIMIT ?",
            (mailbox_id, since[0], *since, limit),
        )
        return [_item(row) for row in rows]

    def newest(self, owner: str, mailbox_id: int | None, limit: int, offset: int) -> list[Item]:
        """Return a page of somebody's items, or of those of one mailbox, the last received first."""
        rows = self._database.execute(
            f"{_SELECT} WHERE b.owner = ?1 AND (?2 IS NULL OR m.mailbox_id = ?2)"
            " ORDER BY julianday(m.received) DESC, i.id DESC LIMIT ?3 OFFSET ?4",
            (owner, mailbox_id, limit, offset),
        )
        return [_item(row) for row in rows]

    def departed(self, mailbox_id: int, since: int) -> list[Removal]:
        """Return what has left a mailbox after a modification sequence and has not come back."""
        rows = self._database.execute(
            "SELECT d.item_id, e.uid, e.modseq FROM expunged e JOIN departed d USING (mailbox_id, uid)"
            " WHERE e.mailbox_id = ?1 AND e.modseq > ?2"
            " AND d.item_id NOT IN (SELECT id FROM items WHERE mailbox_id = ?1) ORDER BY e.modseq, e.uid",
            (mailbox_id, since),
        )
        return [Removal(item_id=row[0], uid=row[1], modseq=row[2]) for row in rows]

    def counts(self, owner: str) -> dict[int, tuple[int, int]]:
        """Return the number of messages, and of unread ones, of each mailbox that has any."""
        rows = self._database.execute(
            "SELECT m.mailbox_id, count(*), sum(instr(m.flags, '\\Seen') = 0) FROM messages m"
            " JOIN mailboxes b ON b.id = m.mailbox_id WHERE b.owner = ? GROUP BY m.mailbox_id",
            (owner,),
        )
        return {row[0]: (row[1], row[2]) for row in rows}

    def octets(self, content_id: int) -> bytes:
        """Return the octets of a message (RFC 5322).

        Raises:
            KeyError: they are gone.
        """
        row = self._database.execute("SELECT octets FROM contents WHERE id = ?", (content_id,)).fetchone()
        if row is None:
            raise KeyError(content_id)
        octets: bytes = row[0]
        return octets


_SELECT = (
    "SELECT i.id, m.mailbox_id, m.uid, m.content_id, m.received, m.flags, m.modseq, i.modified, i.properties"
    " FROM messages m JOIN items i ON i.mailbox_id = m.mailbox_id AND i.uid = m.uid"
    " JOIN mailboxes b ON b.id = m.mailbox_id"
)
_NOTHING = Properties()


def _item(row: tuple[int, int, int, int, str, str, int, str, str]) -> Item:
    properties = _NOTHING if row[8] == "{}" else msgspec.json.decode(row[8], type=Properties)
    return Item(
        id=row[0],
        mailbox_id=row[1],
        uid=row[2],
        content_id=row[3],
        received=datetime.fromisoformat(row[4]),
        flags=frozenset(row[5].split()),
        modseq=row[6],
        modified=datetime.fromisoformat(row[7]),
        properties=properties,
    )
