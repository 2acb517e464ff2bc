"""Messages by their fingerprints, on servers that have no ids of their own (RFC 8474); blocking."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.mime.identity import email_id_size
from gateway_imap.connection import Connection
from gateway_imap.entries import own_email_id
from gateway_imap.matching import matching


def size_criterion(id: str) -> bytes:
    """Return what a message of this id fulfils (RFC 9051 section 6.4.4); others may, too."""
    size = email_id_size(id)
    if size is None:
        return b"NOT ALL"
    return b"(LARGER %d SMALLER %d)" % (size - 1, size + 1) if size else b"SMALLER 1"


def with_fingerprints(connection: Connection, ids: frozenset[str], found: Iterable[range]) -> list[range]:
    """Return those of the UIDs found in the selected mailbox whose messages have one of the ids.

    Raises:
        GatewayError: the server does not tell what they are.
    """
    return matching(connection, found, b"(UID RFC822.SIZE ENVELOPE)", lambda row: own_email_id(row) in ids)
