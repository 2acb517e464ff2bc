"""Mailboxes and messages, in IMAP's terms (RFC 9051 section 2.3), with a modification sequence per mailbox.

Beside its UID each message has an item: the identity that outlives a move, and what IMAP does not know (`items`).
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from datetime import datetime

import msgspec

from gateway.provider import Clock
from gateway_sandbox.database import transaction

INBOX = "INBOX"
DELIMITER = "/"


class Mailbox(msgspec.Struct, frozen=True, kw_only=True):
    """A mailbox; `modseq` rises with each change of its messages."""

    id: int
    owner: str
    name: str
    uid_validity: int
    uid_next: int
    modseq: int
    subscribed: bool


class StoredMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a message without reading it. `received` is its internal date."""

    uid: int
    received: datetime
    flags: frozenset[str]


class MailStore:
    """All mail of the sandbox. Whoever watches a mailbox is told, at once and without details, that it changed."""

    def __init__(self, database: sqlite3.Connection, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._watchers: dict[int, set[Callable[[], None]]] = defaultdict(set)
        self._watchers_of_all: list[Callable[[int], None]] = []

    def watch(self, mailbox_id: int, changed: Callable[[], None]) -> None:
        """Call `changed` after each change of a mailbox's messages."""
        self._watchers[mailbox_id].add(changed)

    def watch_all(self, changed: Callable[[int], None]) -> None:
        """Call `changed` with the id of a mailbox after each change of its messages."""
        self._watchers_of_all.append(changed)

    # --- mailboxes -------------------------------------------------------------------------------------------------

    def mailboxes(self, owner: str) -> list[Mailbox]:
        """Return the mailboxes of an address by name."""
        rows = self._database.execute(f"{_SELECT_MAILBOX} WHERE owner = ? ORDER BY name", (owner,))
        return [_mailbox(row) for row in rows]

    def mailbox(self, owner: str, name: str) -> Mailbox:
        """Return one mailbox.

        Raises:
            KeyError: there is none of that name.
        """
        name = INBOX if name.upper() == INBOX else name
        row = self._database.execute(f"{_SELECT_MAILBOX} WHERE owner = ? AND name = ?", (owner, name)).fetchone()
        if row is None:
            raise KeyError(name)
        return _mailbox(row)

    def mailbox_by_id(self, identifier: int) -> Mailbox | None:
        """Return a mailbox as it is now, or None when it was deleted."""
        row = self._database.execute(f"{_SELECT_MAILBOX} WHERE id = ?", (identifier,)).fetchone()
        return None if row is None else _mailbox(row)

    def create_mailbox(self, owner: str, name: str) -> Mailbox:
        """Create a mailbox; its UIDVALIDITY is higher than any before it.

        Raises:
            ValueError: there is one of that name.
        """
        try:
            with transaction(self._database):
                self._database.execute(
                    "INSERT INTO mailboxes (owner, name, uid_validity) VALUES (?, ?, ?)",
                    (owner, name, self._next_uid_validity()),
                )
        except sqlite3.IntegrityError as error:
            raise ValueError(name) from error
        return self.mailbox(owner, name)

    def delete_mailbox(self, mailbox: Mailbox) -> None:
        """Delete a mailbox with its messages."""
        with transaction(self._database):
            self._database.execute("DELETE FROM mailboxes WHERE id = ?", (mailbox.id,))
            self._database.execute("DELETE FROM contents WHERE id NOT IN (SELECT content_id FROM messages)")
        self._tell(mailbox.id)

    def rename_mailbox(self, mailbox: Mailbox, name: str) -> None:
        """Rename a mailbox and those below it.

        Raises:
            ValueError: the new name is taken.
        """
        below = mailbox.name + DELIMITER
        try:
            self._database.execute(
                "UPDATE mailboxes SET name = ? || substr(name, ?)"
                " WHERE owner = ? AND (name = ? OR substr(name, 1, ?) = ?)",
                (name, len(mailbox.name) + 1, mailbox.owner, mailbox.name, len(below), below),
            )
        except sqlite3.IntegrityError as error:
            raise ValueError(name) from error

    def set_subscribed(self, mailbox: Mailbox, subscribed: bool) -> None:
        """Subscribe to a mailbox, or not (RFC 9051 section 6.3.7)."""
        self._database.execute("UPDATE mailboxes SET subscribed = ? WHERE id = ?", (subscribed, mailbox.id))

    # --- messages --------------------------------------------------------------------------------------------------

    def messages(self, mailbox_id: int, since: int = 0) -> list[StoredMessage]:
        """Return the messages that are new or changed after a modification sequence, by UID."""
        rows = self._database.execute(
            "SELECT uid, received, flags FROM messages WHERE mailbox_id = ? AND modseq > ? ORDER BY uid",
            (mailbox_id, since),
        )
        return [
            StoredMessage(uid=uid, received=datetime.fromisoformat(received), flags=frozenset(flags.split()))
            for uid, received, flags in rows
        ]

    def expunged(self, mailbox_id: int, since: int) -> list[int]:
        """Return the UIDs that were expunged after a modification sequence."""
        rows = self._database.execute(
            "SELECT uid FROM expunged WHERE mailbox_id = ? AND modseq > ?", (mailbox_id, since)
        )
        return [row[0] for row in rows]

    def message(self, mailbox_id: int, uid: int) -> StoredMessage | None:
        """Return one message, or None when it is gone."""
        row = self._database.execute(
            "SELECT received, flags FROM messages WHERE mailbox_id = ? AND uid = ?", (mailbox_id, uid)
        ).fetchone()
        if row is None:
            return None
        return StoredMessage(uid=uid, received=datetime.fromisoformat(row[0]), flags=frozenset(row[1].split()))

    def content(self, mailbox_id: int, uid: int) -> bytes | None:
        """Return the octets of a message (RFC 5322), or None when it is gone."""
        row = self._database.execute(
            "SELECT octets FROM contents JOIN messages ON content_id = id WHERE mailbox_id = ? AND uid = ?",
            (mailbox_id, uid),
        ).fetchone()
        return None if row is None else row[0]

    def append(
        self, mailbox_id: int, content: bytes, *, received: datetime | None = None, flags: Collection[str] = ()
    ) -> int:
        """Put a message into a mailbox and return its UID."""
        when = received if received is not None else self._clock()
        with transaction(self._database):
            cursor = self._database.execute("INSERT INTO contents (octets) VALUES (?)", (content,))
            uid = self._insert(mailbox_id, cursor.lastrowid or 0, when.isoformat(), " ".join(sorted(flags)), "{}")
        self._tell(mailbox_id)
        return uid

    def copy(self, mailbox_id: int, uid: int, destination_id: int) -> int | None:
        """Copy a message and return the UID of the copy, or None when it is gone."""
        with transaction(self._database):
            row = self._database.execute(
                "SELECT content_id, received, flags, properties FROM messages JOIN items USING (mailbox_id, uid)"
                " WHERE mailbox_id = ? AND uid = ?",
                (mailbox_id, uid),
            ).fetchone()
            if row is None:
                return None
            copied = self._insert(destination_id, *row)
        self._tell(destination_id)
        return copied

    def move(self, mailbox_id: int, uid: int, destination_id: int) -> int | None:
        """Move a message and return its new UID, or None when it is gone (RFC 6851)."""
        with transaction(self._database):
            moved = self.copy(mailbox_id, uid, destination_id)
            if moved is not None:
                self._hand_over_item((mailbox_id, uid), (destination_id, moved))
                self.expunge(mailbox_id, [uid])
        return moved

    def replace(self, mailbox_id: int, uid: int, content: bytes, received: datetime | None = None) -> int:
        """Give a message other octets and return its new UID: to IMAP it is another one (RFC 9051 section 2.3.1.1).

        Args:
            mailbox_id: where it is.
            uid: which one.
            content: the octets.
            received: the new internal date, if it changes too.

        Raises:
            KeyError: it is gone.
        """
        with transaction(self._database):
            row = self._database.execute(
                "SELECT received, flags, properties FROM messages JOIN items USING (mailbox_id, uid)"
                " WHERE mailbox_id = ? AND uid = ?",
                (mailbox_id, uid),
            ).fetchone()
            if row is None:
                raise KeyError(uid)
            when = row[0] if received is None else received.isoformat()
            cursor = self._database.execute("INSERT INTO contents (octets) VALUES (?)", (content,))
            new = self._insert(mailbox_id, cursor.lastrowid or 0, when, row[1], row[2])
            self._hand_over_item((mailbox_id, uid), (mailbox_id, new))
            self.expunge(mailbox_id, [uid])
        return new

    def set_flags(self, mailbox_id: int, uid: int, flags: Collection[str], properties: str | None = None) -> None:
        """Replace the flags of a message, and the properties of its item if any are given."""
        with transaction(self._database):
            modseq = self._next_modseq(mailbox_id)
            self._database.execute(
                "UPDATE messages SET flags = ?, modseq = ? WHERE mailbox_id = ? AND uid = ?",
                (" ".join(sorted(flags)), modseq, mailbox_id, uid),
            )
            self._database.execute(
                "UPDATE items SET properties = coalesce(?, properties), modified = ? WHERE mailbox_id = ? AND uid = ?",
                (properties, self._clock().isoformat(), mailbox_id, uid),
            )
        self._tell(mailbox_id)

    def expunge(self, mailbox_id: int, uids: Iterable[int]) -> None:
        """Remove messages for good."""
        with transaction(self._database):
            modseq = self._next_modseq(mailbox_id)
            for uid in uids:
                self._database.execute(
                    "INSERT OR IGNORE INTO departed SELECT mailbox_id, uid, id FROM items"
                    " WHERE mailbox_id = ? AND uid = ?",
                    (mailbox_id, uid),
                )
                deleted = self._database.execute(
                    "DELETE FROM messages WHERE mailbox_id = ? AND uid = ? RETURNING content_id", (mailbox_id, uid)
                ).fetchall()
                if not deleted:
                    continue
                self._database.execute("INSERT INTO expunged VALUES (?, ?, ?)", (mailbox_id, uid, modseq))
                self._database.execute(
                    "DELETE FROM contents WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM messages WHERE content_id = ?1)",
                    deleted[0],
                )
        self._tell(mailbox_id)

    def _hand_over_item(self, source: tuple[int, int], destination: tuple[int, int]) -> None:
        """Make the item of one message (mailbox and UID) that of another, which takes its place."""
        self._database.execute("DELETE FROM items WHERE mailbox_id = ? AND uid = ?", destination)
        self._database.execute(
            "INSERT INTO departed SELECT mailbox_id, uid, id FROM items WHERE mailbox_id = ? AND uid = ?", source
        )
        self._database.execute(
            "UPDATE items SET mailbox_id = ?, uid = ?, modified = ? WHERE mailbox_id = ? AND uid = ?",
            (*destination, self._clock().isoformat(), *source),
        )

    def _insert(self, mailbox_id: int, content_id: int, received: str, flags: str, properties: str) -> int:
        modseq = self._next_modseq(mailbox_id)
        row = self._database.execute(
            "UPDATE mailboxes SET uid_next = uid_next + 1 WHERE id = ? RETURNING uid_next - 1", (mailbox_id,)
        ).fetchone()
        uid: int = row[0]
        self._database.execute(
            "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)", (mailbox_id, uid, content_id, received, flags, modseq)
        )
        self._database.execute(
            "INSERT INTO items (mailbox_id, uid, properties, modified) VALUES (?, ?, ?, ?)",
            (mailbox_id, uid, properties, self._clock().isoformat()),
        )
        return uid

    def _next_uid_validity(self) -> int:
        # The time makes it differ from that of an earlier data directory, the counter from one deleted a moment ago.
        row = self._database.execute(
            "INSERT INTO facts VALUES ('uid_validity', ?1) ON CONFLICT DO UPDATE"
            " SET value = max(CAST(value AS INTEGER) + 1, ?1) RETURNING CAST(value AS INTEGER)",
            (int(self._clock().timestamp()),),
        ).fetchone()
        uid_validity: int = row[0]
        return uid_validity

    def _next_modseq(self, mailbox_id: int) -> int:
        row = self._database.execute(
            "UPDATE mailboxes SET modseq = modseq + 1 WHERE id = ? RETURNING modseq", (mailbox_id,)
        ).fetchone()
        modseq: int = row[0]
        return modseq

    def _tell(self, mailbox_id: int) -> None:
        for changed in self._watchers.get(mailbox_id, ()):
            changed()
        for changed_of_all in self._watchers_of_all:
            changed_of_all(mailbox_id)


_SELECT_MAILBOX = "SELECT id, owner, name, uid_validity, uid_next, modseq, subscribed FROM mailboxes"


def _mailbox(row: tuple[int, str, str, int, int, int, int]) -> Mailbox:
    identifier, owner, name, uid_validity, uid_next, modseq, subscribed = row
    return Mailbox(
        id=identifier,
        owner=owner,
        name=name,
        uid_validity=uid_validity,
        uid_next=uid_next,
        modseq=modseq,
        subscribed=bool(subscribed),
    )
