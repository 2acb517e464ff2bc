"""The SQLite file that holds everything the sandbox remembers.

All access is from the event loop's thread: the statements touch a few rows of a local file, which takes microseconds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.errors import ConfigurationError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS mailboxes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, name TEXT NOT NULL, uid_validity INTEGER NOT NULL,
    uid_next INTEGER NOT NULL DEFAULT 1, modseq INTEGER NOT NULL DEFAULT 1, subscribed INTEGER NOT NULL DEFAULT 1,
    UNIQUE (owner, name)
) STRICT;
CREATE TABLE IF NOT EXISTS contents (id INTEGER PRIMARY KEY, octets BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS messages (
    mailbox_id INTEGER NOT NULL REFERENCES mailboxes (id) ON DELETE CASCADE, uid INTEGER NOT NULL,
    content_id INTEGER NOT NULL REFERENCES contents (id), received TEXT NOT NULL, flags TEXT NOT NULL,
    modseq INTEGER NOT NULL, PRIMARY KEY (mailbox_id, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS messages_by_modseq ON messages (mailbox_id, modseq);
CREATE INDEX IF NOT EXISTS messages_by_content ON messages (content_id);
CREATE TABLE IF NOT EXISTS expunged (
    mailbox_id INTEGER NOT NULL REFERENCES mailboxes (id) ON DELETE CASCADE, uid INTEGER NOT NULL,
    modseq INTEGER NOT NULL, PRIMARY KEY (mailbox_id, modseq, uid)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items (
    id INTEGER PRIMARY KEY AUTOINCREMENT, mailbox_id INTEGER NOT NULL, uid INTEGER NOT NULL,
    properties TEXT NOT NULL DEFAULT '{}', modified TEXT NOT NULL, UNIQUE (mailbox_id, uid),
    FOREIGN KEY (mailbox_id, uid) REFERENCES messages (mailbox_id, uid) ON DELETE CASCADE
) STRICT;
CREATE TABLE IF NOT EXISTS departed (
    mailbox_id INTEGER NOT NULL REFERENCES mailboxes (id) ON DELETE CASCADE, uid INTEGER NOT NULL,
    item_id INTEGER NOT NULL, PRIMARY KEY (mailbox_id, uid)
) STRICT, WITHOUT ROWID;
INSERT INTO items (mailbox_id, uid, modified) SELECT mailbox_id, uid, received FROM messages
    WHERE (mailbox_id, uid) NOT IN (SELECT mailbox_id, uid FROM items);
CREATE TABLE IF NOT EXISTS folder_states (id INTEGER PRIMARY KEY AUTOINCREMENT, state TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS subscriptions (id TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS codes (
    digest TEXT PRIMARY KEY, value BLOB NOT NULL, expires REAL NOT NULL, used INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS refresh_tokens (
    digest TEXT PRIMARY KEY, value BLOB NOT NULL, person TEXT NOT NULL, expires REAL NOT NULL,
    revoked INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS consents (
    person TEXT NOT NULL, client_id TEXT NOT NULL, resource TEXT NOT NULL, scopes TEXT NOT NULL, given REAL NOT NULL,
    PRIMARY KEY (person, client_id, resource)
) STRICT;
CREATE TABLE IF NOT EXISTS token_generations (person TEXT PRIMARY KEY, generation INTEGER NOT NULL) STRICT;
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open the database, create what is missing, and keep every other process out.

    Raises:
        ConfigurationError: another process has it open.
    """
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        # WAL with an exclusive lock needs no shared-memory file, and the operating system frees it after a crash.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.executescript(_SCHEMA)
    except sqlite3.OperationalError as error:
        connection.close()
        if "locked" in str(error):
            raise ConfigurationError("another process runs the sandbox of this data directory") from error
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Do several statements or none of them; inside another transaction it joins that one."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
