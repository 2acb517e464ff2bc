"""BODYSTRUCTURE (RFC 9051 section 7.5.2): which parts are body text, which are attachments."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from gateway.mime.decode import ENCODED, decode_header, decode_parameters, unfold
from gateway.mime.structure import MAX_TEXTS
from gateway.model.message import Attachment, EncodedSize, TextInfo
from gateway_imap.ids import MessageId

#: Multiparts deeper than this are shown as one attachment, whose size the server does not tell.
_DEEPEST = 30
# Octets that the numbers of texts may take in the id of all of them: the API takes ids of 4096 characters.
_ROOM = 3000


class Part(NamedTuple):
    """One leaf of a message's structure; `subject` is that of an attached message."""

    number: str
    content_type: str
    parameters: dict[str, str]
    content_id: str | None
    encoding: str
    size: int
    disposition: str | None
    filename: str | None
    related: bool
    subject: str | None = None


class Structure(NamedTuple):
    """The parts of a message, in order."""

    plain: tuple[Part, ...]
    html: tuple[Part, ...]
    others: tuple[Part, ...]

    def part(self, number: str) -> Part | None:
        """Return the part with this number."""
        return next((part for part in (*self.plain, *self.html, *self.others) if part.number == number), None)

    def text_info(self, message: MessageId) -> TextInfo | None:
        """Return where the body text is; None when there is none."""
        if not self.plain and not self.html:
            return None
        return TextInfo(
            id=message.encode_text([part.number for part in self.plain], [part.number for part in self.html]),
            encoded_size=self.encoded_size(),
        )

    def encoded_size(self) -> EncodedSize:
        """Return the octets of the text before decoding."""
        return EncodedSize(
            plain=sum(part.size for part in self.plain) if self.plain else None,
            html=sum(part.size for part in self.html) if self.html else None,
        )

    def attachments(self, message: MessageId) -> tuple[Attachment, ...]:
        """Return everything that is not body text."""
        return tuple(
            Attachment(
                id=message.encode_attachment(part.number),
                content_type=part.content_type,
                encoded_size=part.size,
                embedded=part.related and part.content_id is not None,
                inline=part.disposition == "inline",
                content_id=part.content_id,
                filename=part.filename,
                method=part.parameters.get("method") if part.content_type == "text/calendar" else None,
                encoded_in_message=part.encoding in ENCODED,
            )
            for part in self.others
        )


EMPTY = Structure((), (), ())


def read_structure(body: Any) -> Structure:
    """Sort the parts of a BODYSTRUCTURE value; what makes no sense is left out."""
    parts: list[Part] = []
    _collect(parts, body, "", False, 0)
    plain: list[Part] = []
    html: list[Part] = []
    others: list[Part] = []
    room = _ROOM
    for part in parts:
        taken = len(part.number) + 2
        if not _is_text(part) or len(plain) + len(html) >= MAX_TEXTS or taken > room:
            others.append(part)
            continue
        room -= taken
        if part.content_type == "text/plain":
            plain.append(part)
        else:
            html.append(part)
    return Structure(tuple(plain), tuple(html), tuple(others))


def _is_text(part: Part) -> bool:
    """Body text is a plain or HTML part that the sender neither named nor attached."""
    return (
        part.content_type in ("text/plain", "text/html") and part.disposition != "attachment" and part.filename is None
    )


def _collect(parts: list[Part], body: Any, number: str, related: bool, depth: int) -> None:
    """Append the leaves of a structure, numbered as RFC 9051 section 6.4.5.1 says."""
    if not isinstance(body, list) or not body:
        return
    if not isinstance(body[0], list):
        parts.append(_leaf(body, number or "1", related))
        return
    count = 0
    while count < len(body) and isinstance(body[count], list):
        count += 1
    subtype = body[count] if count < len(body) else None
    if depth >= _DEEPEST:
        content_type = _content_type("multipart", str(subtype or "mixed"))
        parts.append(Part(number, content_type, {}, None, "7bit", 0, None, None, related))
        return
    related = related or (isinstance(subtype, str) and subtype.lower() == "related")
    for position, child in enumerate(body[:count], 1):
        _collect(parts, child, f"{number}.{position}" if number else str(position), related, depth + 1)


def _leaf(body: list[Any], number: str, related: bool) -> Part:
    if len(body) < 12:
        body = [*body, *[None] * (12 - len(body))]
    main, sub, pairs, content_id, _, encoding, size = body[:7]
    content_type = _content_type(str(main or "application"), str(sub or "octet-stream"))
    parameters = _parameters(pairs)
    # After the seven basic fields: lines of text; envelope, structure and lines of a message; then MD5, disposition.
    subject = None
    if content_type.startswith("text/"):
        disposition = body[9]
    elif content_type in ("message/rfc822", "message/global"):
        disposition = body[11]
        if isinstance(body[7], list) and len(body[7]) > 1 and isinstance(body[7][1], str):
            subject = decode_header(body[7][1]) or None
    else:
        disposition = body[8]
    kind, filename = None, None
    if isinstance(disposition, list) and disposition and isinstance(disposition[0], str):
        kind = disposition[0].lower()
        filename = _parameters(disposition[1]).get("filename") if len(disposition) > 1 else None
    return Part(
        number,
        content_type,
        parameters,
        unfold(content_id) if isinstance(content_id, str) else None,
        encoding.lower() if isinstance(encoding, str) else "7bit",
        size if isinstance(size, int) else 0,
        kind,
        filename or parameters.get("name") or None,
        related,
        subject,
    )


@lru_cache(maxsize=1024)
def _content_type(main: str, sub: str) -> str:
    return f"{main}/{sub}".lower()


def _parameters(value: Any) -> dict[str, str]:
    if not isinstance(value, list):
        return {}
    if len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str):
        name, content = value
        if "*" not in name and "=?" not in content and content.isprintable():
            return {name.lower(): content}
    return _decoded_parameters(tuple(item if isinstance(item, (str, int)) else "" for item in value))


@lru_cache(maxsize=2048)
def _decoded_parameters(items: tuple[str | int, ...]) -> dict[str, str]:
    return decode_parameters((str(name), str(content)) for name, content in zip(items[::2], items[1::2], strict=False))
