"""A stored message (RFC 5322, MIME) taken apart into what Graph shows of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.errors import MessageError
from email.headerregistry import Address, AddressHeader
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from gateway.mime.addresses import parse_addresses
from gateway.mime.html_text import html_to_text
from gateway_sandbox import graph_ids

_PREVIEW = 255
_TAG = re.compile(r"<html", re.IGNORECASE)


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """An attachment: a file, or (`item`) a message.

    Attributes:
        content: decoded octets; of an attached message its source.
        ordinal: how many before it are the same.
    """

    name: str
    media_type: str
    content: bytes
    inline: bool
    content_id: str | None
    item: bool
    ordinal: int = 0


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """What the octets of a message say; `known` are the header fields that were asked for before."""

    header: EmailMessage
    text: str | None
    html: str | None
    attachments: tuple[Attached, ...]
    known: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def has_attachments(self) -> bool:
        """Whether any attachment is not shown in the body."""
        return any(not attached.inline for attached in self.attachments)

    @property
    def plain(self) -> str:
        """The body as text."""
        return self.text if self.text is not None else html_to_text(self.html or "")

    @property
    def preview(self) -> str:
        """The first 255 characters of the text."""
        return self.plain.strip()[:_PREVIEW]

    def page(self) -> str:
        """Return the body as HTML."""
        if self.html is not None:
            return self.html if _TAG.search(self.html) else f"<html><head></head><body>{self.html}</body></html>"
        escaped = (self.text or "").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return f"<html><head></head><body><pre>{escaped}</pre></body></html>"

    def field(self, name: str) -> str | None:
        """Return a header field unfolded, or None."""
        value = self._value(name)
        return None if value is None else " ".join(readable(str(value)).split())

    def addresses(self, name: str) -> list[Address]:
        """Return the mailboxes of an address field."""
        value = self._value(name)
        found = list(value.addresses) if isinstance(value, AddressHeader) else []
        # The email package takes each encoded word of a name for a word of its own (against RFC 2047 section 6.2).
        raw = [
            field.encode("utf-8", "surrogateescape") for key, field in self.header.raw_items() if key.lower() == name
        ]
        named = parse_addresses(raw)
        if [address.addr_spec for address in found] != [address.address for address in named]:
            return found
        return [
            Address(display_name=other.name, username=address.username, domain=address.domain)
            for address, other in zip(found, named, strict=True)
        ]

    def _value(self, name: str) -> Any:
        # The email package parses a field each time it is asked for.
        if name not in self.known:
            try:
                self.known[name] = self.header[name]
            except (ValueError, IndexError, AttributeError):
                # It fails on some fields that no grammar allows.
                self.known[name] = None
        return self.known[name]

    def sent(self) -> datetime | None:
        """Return the time of the Date field, in UTC."""
        try:
            value = parsedate_to_datetime(self.field("date") or "")
        except ValueError:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Parser:
    """Parses messages and remembers the last ones, 64 MB or one, by mailbox and UID: what these name never changes."""

    def __init__(self, capacity: int = 64 * 1024 * 1024) -> None:
        self._capacity = capacity
        self._octets = 0
        self._known: dict[tuple[int, int], tuple[Parsed, int]] = {}

    def parsed(self, key: tuple[int, int], read: Callable[[], bytes]) -> Parsed:
        """Return a message taken apart; `read` gets its octets when it was not parsed before."""
        if key in self._known:
            return self._known[key][0]
        octets = read()
        parsed = parse(octets)
        self._known[key] = parsed, len(octets)
        self._octets += len(octets)
        while self._octets > self._capacity and len(self._known) > 1:
            _, size = self._known.pop(next(iter(self._known)))
            self._octets -= size
        return parsed


def parse(octets: bytes) -> Parsed:
    """Take a message apart."""
    message = message_from_bytes(octets, policy=policy.default)
    text: str | None = None
    html: str | None = None
    attachments: list[Attached] = []
    for part in leaves(message):
        kind = part.get_content_type()
        if kind == "text/plain" and text is None and html is None and not is_attachment(part):
            text = decoded_text(part)
        elif kind == "text/html" and html is None and not is_attachment(part):
            html = decoded_text(part)
        else:
            attached = _attached(part, len(attachments))
            same = sum((other.name, other.content) == (attached.name, attached.content) for other in attachments)
            attachments.append(msgspec.structs.replace(attached, ordinal=same))
    return Parsed(header=message, text=text, html=html, attachments=tuple(attachments))


def leaves(message: EmailMessage) -> Iterator[EmailMessage]:
    """Yield the parts that hold something; an attached message is one part."""
    if message.get_content_maintype() == "multipart" and message.is_multipart():
        for part in message.get_payload():
            if isinstance(part, EmailMessage):
                yield from leaves(part)
    else:
        yield message


def is_attachment(part: EmailMessage) -> bool:
    """Return whether a part is not shown as body."""
    return part.get_content_disposition() == "attachment" or part.get_filename() is not None


def decoded_text(part: EmailMessage) -> str:
    """Return the text of a part in any character set, with line feeds."""
    octets = part.get_payload(decode=True)
    if not isinstance(octets, bytes):
        return ""
    try:
        text = octets.decode(part.get_content_charset() or "utf-8", "replace")
    except LookupError:
        text = octets.decode("utf-8", "replace")
    return text.replace("\r\n", "\n")


def id_of(owner: str, item_id: int, attached: Attached) -> str:
    """Return the id of an attachment."""
    return graph_ids.attachment(owner, item_id, attached.name.encode() + attached.content, attached.ordinal)


def _attached(part: EmailMessage, number: int) -> Attached:
    item = part.get_content_type() == "message/rfc822"
    content_id = str(part["content-id"]).strip(" <>\r\n") if part["content-id"] is not None else None
    name = part.get_filename()
    if item:
        inner = part.get_payload(0) if part.is_multipart() else EmailMessage()
        content = inner.as_bytes(policy=policy.SMTP) if isinstance(inner, EmailMessage) else b""
        name = name or (str(inner["subject"]) if isinstance(inner, EmailMessage) and inner["subject"] else "message")
    else:
        content = _octets(part)
    return Attached(
        name=name or f"ATT{number:05d}",
        media_type=part.get_content_type(),
        content=content,
        inline=content_id is not None and part.get_content_disposition() != "attachment",
        content_id=content_id,
        item=item,
    )


def _octets(part: EmailMessage) -> bytes:
    payload = part.get_payload(decode=True)
    if isinstance(payload, bytes):
        return payload
    try:
        return b"\r\n".join(piece.as_bytes() for piece in part.get_payload() if isinstance(piece, EmailMessage))
    except (MessageError, TypeError):
        return b""


def readable(text: str) -> str:
    """Return text whose octets beyond ASCII were not encoded; no other text can be put into JSON."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
