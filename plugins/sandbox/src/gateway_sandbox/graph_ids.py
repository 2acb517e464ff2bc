"""Ids as Graph has them: long, case-sensitive, and different for the same message when immutable ones are asked for.

https://learn.microsoft.com/graph/outlook-immutable-id
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from enum import IntEnum

import msgspec

_LAYOUT = struct.Struct(">BQQ8s")
#: Real ids begin with the same letters in a whole mailbox; base64 of the layout follows.
_PREFIXES = {1: "AAMkAGI2TAAA", 2: "AAkALgAAAAAAHYQDEapmEc2byACqAC-EWg0A", 3: "AQMkADAwATAA", 4: "AAMkAGI2TABGAAA"}


class Kind(IntEnum):
    """What an id is of."""

    MESSAGE = 1
    IMMUTABLE = 2
    FOLDER = 3
    ATTACHMENT = 4


class MalformedIdError(Exception):
    """Not an id of this mailbox."""


class Identifier(msgspec.Struct, frozen=True, kw_only=True):
    """An id taken apart: the number of a folder or an item, and where a mutable id says the item is."""

    kind: Kind
    number: int
    place: int = 0


def encode(owner: str, identifier: Identifier) -> str:
    """Return an id of somebody's mailbox."""
    packed = _LAYOUT.pack(identifier.kind, identifier.number, identifier.place, _check(owner, identifier))
    return _PREFIXES[identifier.kind] + base64.urlsafe_b64encode(packed + b"\0\0\0").decode() + "="


def decode(owner: str, text: str) -> Identifier:
    """Take an id apart.

    Raises:
        MalformedIdError: it was changed, cut, or belongs to another mailbox.
    """
    for kind, prefix in _PREFIXES.items():
        if text.startswith(prefix) and text.endswith("="):
            try:
                packed = base64.urlsafe_b64decode(text[len(prefix) : -1])
                _, number, place, check = _LAYOUT.unpack(packed[: _LAYOUT.size])
            except (binascii.Error, struct.error, ValueError) as error:
                raise MalformedIdError from error
            identifier = Identifier(kind=Kind(kind), number=number, place=place)
            if check == _check(owner, identifier) and text == encode(owner, identifier):
                return identifier
    raise MalformedIdError


def message(owner: str, item_id: int, mailbox_id: int, *, immutable: bool) -> str:
    """Return the id of a message; one that is not immutable changes when the message moves."""
    if immutable:
        return encode(owner, Identifier(kind=Kind.IMMUTABLE, number=item_id))
    return encode(owner, Identifier(kind=Kind.MESSAGE, number=item_id, place=mailbox_id))


def folder(owner: str, mailbox_id: int) -> str:
    """Return the id of a folder; 0 is the root."""
    return encode(owner, Identifier(kind=Kind.FOLDER, number=mailbox_id))


def attachment(owner: str, item_id: int, content: bytes, ordinal: int) -> str:
    """Return the id of an attachment, which stays the same while other attachments come and go."""
    number = int.from_bytes(hashlib.sha256(content + ordinal.to_bytes(4)).digest()[:8])
    return encode(owner, Identifier(kind=Kind.ATTACHMENT, number=number, place=item_id))


def _check(owner: str, identifier: Identifier) -> bytes:
    text = f"{owner} {identifier.kind} {identifier.number} {identifier.place}"
    return hashlib.sha256(text.encode()).digest()[:8]
