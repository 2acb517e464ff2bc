"""Ids of messages on servers that have none of their own (RFC 8474): the same wherever a message is moved or copied.

An id is made of what no move changes: Message-ID, octets, and the date of the header. The octets can be read from it,
so that it can be searched for: the server finds the messages of that size, and their fingerprints tell which it is.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import Any

from gateway_imap.fetch_parser import Attributes

_DIGEST, _SIZE = 15, 6
# What numbers in a search can express on every server (RFC 3501 section 9).
_LARGEST = 2**32 - 2


def fingerprint(message_id: Any, size: Any, date: Any) -> str | None:
    """Return the id of a message by what FETCH told of it.

    A message without Message-ID has none, because drafts would be taken for each other.
    """
    if not isinstance(message_id, str) or not isinstance(size, int) or size > _LARGEST:
        return None
    octets = f"{message_id.strip()}\n{size}\n{date}".encode("utf-8", "replace")
    digest = blake2b(octets, digest_size=_DIGEST).digest()
    return urlsafe_b64encode(digest + size.to_bytes(_SIZE)).decode("ascii")


def criterion(id: str) -> bytes:
    """Return what a message of this id fulfils (RFC 9051 section 6.4.4); others may, too."""
    try:
        octets = urlsafe_b64decode(id)
    except (binascii.Error, ValueError):
        octets = b""
    size = int.from_bytes(octets[_DIGEST:])
    if len(octets) != _DIGEST + _SIZE or size > _LARGEST:
        return b"NOT ALL"
    return b"(LARGER %d SMALLER %d)" % (size - 1, size + 1) if size else b"SMALLER 1"


def fingerprint_of(row: Attributes) -> str | None:
    """Return the id by ENVELOPE and RFC822.SIZE."""
    envelope = row.get("ENVELOPE")
    if not isinstance(envelope, list) or len(envelope) < 10:
        return None
    return fingerprint(envelope[9], row.get("RFC822.SIZE"), envelope[0])
