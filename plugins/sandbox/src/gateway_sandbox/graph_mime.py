"""A stored message (RFC 5322, MIME) taken apart into what Graph shows of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.parser import BytesHeaderParser

import msgspec

from gateway.mime.addresses import parse_addresses, parse_date
from gateway.mime.decode import decode_header, decode_text
from gateway.mime.html_text import html_to_text
from gateway.model.message import Address
from gateway_sandbox import graph_ids
from gateway_sandbox.lenient import LENIENT, head_of

_PREVIEW = 255
_LARGE = 1024 * 1024
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
    """What the octets of a message say."""

    header: EmailMessage
    text: str | None
    html: str | None
    attachments: tuple[Attached, ...]

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
        values = self._values(name)
        return " ".join(decode_header(values[0]).split()) if values else None

    def addresses(self, name: str) -> list[Address]:
        """Return the mailboxes of an address field."""
        return list(parse_addresses(self._values(name)))

    def sent(self) -> datetime | None:
        """Return the time of the Date field, in UTC."""
        return parse_date(next(iter(self._values("date")), None))

    def headers(self) -> list[tuple[str, str]]:
        """Return all header fields: name and decoded value."""
        return [(readable(name), decode_header(_octets_of(value))) for name, value in self.header.raw_items()]

    def _values(self, name: str) -> list[bytes]:
        return [_octets_of(value) for key, value in self.header.raw_items() if key.lower() == name]


class Parser:
    """Parses messages and remembers the last ones, 64 MB or one, by mailbox and UID: what these name never changes.

    The last large body is remembered by its octets, too: a message that was sent is in Sent Items and in each Inbox
    with another header, and all clients wait while 100 MB of it are parsed.
    """

    def __init__(self, capacity: int = 64 * 1024 * 1024) -> None:
        self._capacity = capacity
        self._octets = 0
        self._known: dict[tuple[int, int], tuple[Parsed, int]] = {}
        self._large: tuple[bytes, Parsed] | None = None

    def parsed(self, key: tuple[int, int], read: Callable[[], bytes]) -> Parsed:
        """Return a message taken apart; `read` gets its octets when it was not parsed before."""
        if key in self._known:
            return self._known[key][0]
        octets = read()
        parsed = parse(octets) if len(octets) < _LARGE else self._parse_large(octets)
        self._known[key] = parsed, len(octets)
        self._octets += len(octets)
        while self._octets > self._capacity and len(self._known) > 1:
            _, size = self._known.pop(next(iter(self._known)))
            self._octets -= size
        return parsed

    def _parse_large(self, octets: bytes) -> Parsed:
        header = parse_header(octets).header
        digest = _digest_of_body(header, octets)
        known = self._large[1] if self._large is not None and self._large[0] == digest else parse(octets)
        # Without the header that it was parsed with, which holds the whole message.
        parsed = msgspec.structs.replace(known, header=header)
        self._large = digest, parsed
        return parsed


def _digest_of_body(header: EmailMessage, octets: bytes) -> bytes:
    """Return a digest of all that decides what the body of a message says."""
    about = [(name, value) for name, value in header.raw_items() if name.lower().startswith("content-")]
    digest = hashlib.sha256(repr((about, header.get_payload())).encode())
    digest.update(memoryview(octets)[len(head_of(octets)) :])
    return digest.digest()


def parse_header(octets: bytes) -> Parsed:
    """Take only the header of a message apart."""
    header = BytesHeaderParser(policy=LENIENT).parsebytes(head_of(octets))
    return Parsed(header=header, text="", html=None, attachments=())


def parse(octets: bytes) -> Parsed:
    """Take a message apart; one whose parts are in each other too deep has its header only."""
    try:
        return _taken_apart(message_from_bytes(octets, policy=LENIENT))
    except RecursionError:
        return parse_header(octets)


def _taken_apart(message: EmailMessage) -> Parsed:
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
    return decode_text(octets, part.get_content_charset()).replace("\r\n", "\n")


def id_of(owner: str, item_id: int, attached: Attached) -> str:
    """Return the id of an attachment."""
    return graph_ids.attachment(owner, item_id, attached.name.encode() + attached.content, attached.ordinal)


def _attached(part: EmailMessage, number: int) -> Attached:
    item = part.get_content_type() == "message/rfc822"
    content_id = readable(str(part["content-id"])).strip(" <>\r\n") if part["content-id"] is not None else None
    name = part.get_filename()
    if item:
        inner = part.get_payload(0) if part.is_multipart() else EmailMessage()
        content = inner.as_bytes(policy=LENIENT) if isinstance(inner, EmailMessage) else b""
        name = name or (parse(content).field("subject") if content else None) or "message"
    else:
        content = _octets(part)
    return Attached(
        name=readable(name or f"ATT{number:05d}"),
        media_type=readable(part.get_content_type()),
        content=content,
        inline=content_id is not None and part.get_content_disposition() != "attachment",
        content_id=content_id,
        item=item,
    )


def _octets(part: EmailMessage) -> bytes:
    payload = part.get_payload(decode=True)
    if isinstance(payload, bytes):
        return payload
    return b"\r\n".join(
        piece.as_bytes(policy=LENIENT) for piece in part.get_payload() if isinstance(piece, EmailMessage)
    )


def readable(text: str) -> str:
    """Return text whose octets beyond ASCII were not encoded; no other text can be put into JSON."""
    return decode_text(_octets_of(text))


def _octets_of(text: str) -> bytes:
    """Return the octets that the email package has read a text from."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # Half a surrogate pair, which UTF-7 can say.
        return text.encode("utf-8", "replace")
