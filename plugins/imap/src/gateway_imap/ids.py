"""Identifiers.

A message id is base64url of eight octets: the mailbox's number (`gateway.provider.Numbers` of UIDVALIDITY and path) and
the UID. Ids of attachments and texts append to the same eight octets. They are good as long as the message stays where
it is and the mailbox keeps its UIDVALIDITY (RFC 9051 section 2.3.1.1).
"""

from __future__ import annotations

import binascii
import re
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from gateway.errors import InvalidIdentifierError

#: See `gateway.provider.Provider.cursor_kind`.
CURSOR_KIND = "imap"

_EIGHT_OCTETS = struct.Struct(">II")
_PART = re.compile(r"[1-9][0-9]{0,5}(?:\.[1-9][0-9]{0,5}){0,30}")
_TEXT_PARTS = msgspec.msgpack.Decoder(tuple[list[str], list[str], list[str]])


class MessageId(NamedTuple):
    """Number of the mailbox, and the UID in it."""

    mailbox: int
    uid: int

    def encode(self) -> str:
        """Return the API's form."""
        return _encode(_EIGHT_OCTETS.pack(*self))

    def encode_attachment(self, part: str) -> str:
        """Return the id of an attachment, by its part number (RFC 9051 section 6.4.5.1)."""
        return _encode(_EIGHT_OCTETS.pack(*self) + part.encode("ascii"))

    def encode_text(self, plain: Sequence[str], html: Sequence[str]) -> str:
        """Return the id of the body text, by the part numbers it is made of."""
        return _encode(_EIGHT_OCTETS.pack(*self) + msgspec.msgpack.encode([list(plain), list(html), []]))


class TextId(NamedTuple):
    """Where body text is."""

    message: MessageId
    plain: tuple[str, ...]
    html: tuple[str, ...]


def decode_message_id(id: str) -> MessageId:
    """Read the id of a message.

    Raises:
        InvalidIdentifierError: none that this provider issues.
    """
    octets = _decode(id)
    if len(octets) != 8:
        raise _invalid("message", "InvalidMessageId")
    return _message(octets)


def decode_attachment_id(id: str) -> tuple[MessageId, str]:
    """Read the id of an attachment: its message, and the part number.

    Raises:
        InvalidIdentifierError: none that this provider issues.
    """
    octets = _decode(id)
    part = octets[8:].decode("ascii", "replace")
    if len(octets) < 9 or not _PART.fullmatch(part):
        raise _invalid("attachment", "InvalidAttachmentId")
    return _message(octets[:8]), part


def decode_text_id(id: str) -> TextId:
    """Read the id of body text.

    Raises:
        InvalidIdentifierError: none that this provider issues.
    """
    octets = _decode(id)
    try:
        plain, html, _ = _TEXT_PARTS.decode(octets[8:])
    except msgspec.MsgspecError:
        raise _invalid("text", "InvalidTextId") from None
    if not all(_PART.fullmatch(part) for part in (*plain, *html)):
        raise _invalid("text", "InvalidTextId")
    return TextId(_message(octets[:8]), tuple(plain), tuple(html))


def _message(octets: bytes) -> MessageId:
    message = MessageId(*_EIGHT_OCTETS.unpack(octets))
    if not message.mailbox or not message.uid:
        raise _invalid("message", "InvalidMessageId")
    return message


def _encode(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def _decode(id: str) -> bytes:
    try:
        octets = _octets(id)
    except ValueError:
        octets = b""
    if len(octets) < 8:
        raise _invalid("message", "InvalidMessageId")
    return octets


def _octets(text: str) -> bytes:
    """Decode base64url strictly, so that one thing has one id.

    Raises:
        ValueError: not base64url without padding.
    """
    try:
        octets = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("not base64url") from error
    if _encode(octets) != text:
        raise ValueError("not base64url")
    return octets


def _invalid(what: str, code: str) -> InvalidIdentifierError:
    return InvalidIdentifierError(f"this is no {what} id of this account", code=code)
