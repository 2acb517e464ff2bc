"""Identifiers and states.

A message's id is Graph's immutable id, also that of its text: it stays when the message moves. Ids of attachments hold
both ids, states of changes hold the folder and Graph's token.
"""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple

import msgspec

from gateway.errors import CursorExpiredError, InvalidIdentifierError

#: Of the cursors of listings.
CURSOR_KIND = "graph"

_ID = re.compile(r"[A-Za-z0-9_=-]{1,1024}")
_PAIR = msgspec.msgpack.Decoder(tuple[str, str])


class AttachmentId(NamedTuple):
    """An attachment of a message."""

    message: str
    attachment: str

    def encode(self) -> str:
        """Return the API's form."""
        return _encode(msgspec.msgpack.encode(tuple(self)))


class DeltaState(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Where a folder's changes are asked from.

    Attributes:
        folder: its id.
        option: the query option that the token belongs to.
        complete: the answers so far are the beginning of a complete list.
    """

    folder: str
    option: str
    token: str
    complete: bool = False

    def encode(self) -> str:
        """Return the contract's form."""
        return _encode(msgspec.msgpack.encode(self))


#: Fingerprints of folders: of the id to those of the name and of the folder above.
KnownFolders = dict[bytes, tuple[bytes, bytes]]


class FoldersState(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Where the changes of all folders are asked from, and what was known of them."""

    token: str
    known: KnownFolders

    def encode(self) -> str:
        """Return the contract's form."""
        return _encode(msgspec.msgpack.encode(self))


def may_be_id(id: str) -> bool:
    """Tell whether an id may be one of Graph's."""
    return _ID.fullmatch(id) is not None


def checked_id(id: str) -> str:
    """Return an id that may be one of Graph's.

    Raises:
        InvalidIdentifierError: it cannot be.
    """
    if not may_be_id(id):
        raise InvalidIdentifierError("not an id of a message")
    return id


def decode_attachment_id(id: str) -> AttachmentId:
    """Read the id of an attachment.

    Raises:
        InvalidIdentifierError: it is none.
    """
    try:
        found = AttachmentId(*_PAIR.decode(_decode(id)))
    except (ValueError, msgspec.DecodeError):
        raise InvalidIdentifierError("not an id of an attachment") from None
    return AttachmentId(checked_id(found.message), checked_id(found.attachment))


def decode_state(text: str) -> DeltaState:
    """Read a state.

    Raises:
        CursorExpiredError: it is none.
    """
    try:
        state = msgspec.msgpack.decode(_decode(text), type=DeltaState)
    except (ValueError, msgspec.DecodeError):
        raise CursorExpiredError("not a state of this mailbox") from None
    if state.option not in ("$deltatoken", "$skiptoken"):
        raise CursorExpiredError("not a state of this mailbox")
    return state


def decode_folders_state(text: str) -> FoldersState | None:
    """Read a state of all folders; None when it is none."""
    try:
        return msgspec.msgpack.decode(_decode(text), type=FoldersState)
    except (ValueError, msgspec.DecodeError):
        return None


def _encode(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("not base64url") from error
