"""Read a message whose octets are at hand into the structs of the API."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import Any

from gateway.errors import InvalidIdentifierError, NotFoundError
from gateway.mime.addresses import parse_addresses, parse_date
from gateway.mime.auto_reply import is_auto_reply
from gateway.mime.body_text import body_text
from gateway.mime.content_type import described_type
from gateway.mime.decode import ENCODED, decode_header, decode_transfer, transfer_decoder, unfold
from gateway.mime.identity import email_id_of, thread_id_of
from gateway.mime.structure import MAX_TEXTS, Part, leaves, structure
from gateway.model.message import (
    Address,
    Attachment,
    EncodedSize,
    MessageDetail,
    MessageEntry,
    MessageText,
    TextInfo,
    TextType,
)
from gateway.provider import AttachmentStream

__all__ = ["ParsedMessage", "flag_fields", "open_part", "parse_message"]

CHUNK = 64 * 1024
_PART_ID = re.compile(r"[1-9][0-9]{0,5}(\.[1-9][0-9]{0,5})*")


def parse_message(raw: bytes) -> ParsedMessage:
    """Read a message; one that is not well-formed is read as far as possible."""
    return ParsedMessage(raw)


def open_part(raw: bytes, part_id: str) -> AttachmentStream:
    """Open one part of a message by its number, decoded.

    Raises:
        InvalidIdentifierError: not a part number.
        NotFoundError: the message has no such part.
    """
    return ParsedMessage(raw).open(part_id)


def flag_fields(flags: Sequence[str]) -> dict[str, Any]:
    """Return the members of `MessageEntry` and `MessageDetail` that follow from the flags (RFC 9051 section 2.3.2)."""
    low = {flag.lower() for flag in flags}
    return {
        "flags": tuple(flags),
        "unseen": "\\seen" not in low,
        "flagged": "\\flagged" in low,
        "answered": "\\answered" in low,
        "draft": "\\draft" in low,
    }


class ParsedMessage:
    """A message taken apart.

    Attributes:
        raw: its octets.
        root: the tree of its parts.
        body: its leaves that are body text.
    """

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.root = structure(raw)
        self.body = tuple(islice((part for part in leaves(self.root) if _is_text(part)), MAX_TEXTS))

    @cached_property
    def headers(self) -> dict[str, tuple[str, ...]]:
        """Every header: lower-case name -> decoded values, in order."""
        found: dict[str, list[str]] = {}
        for name, value in self.root.fields:
            found.setdefault(name, []).append(decode_header(value))
        return {name: tuple(values) for name, values in found.items()}

    def addresses(self, name: str) -> tuple[Address, ...]:
        """Return the addresses of a header, e.g. "from"."""
        return parse_addresses([value for key, value in self.root.fields if key == name])

    @property
    def date(self) -> datetime | None:
        """The Date header, aware UTC."""
        return parse_date(self.root.field("date"))

    def _identifier(self, name: str) -> str | None:
        return unfold(self.root.field(name) or b"") or None

    # --- text

    def _texts(self, kind: str) -> Iterator[Part]:
        return (part for part in self.body if part.content_type == f"text/{kind}")

    def encoded_size(self) -> EncodedSize:
        """Return the octets of the body texts as transferred."""
        plain, html = (sum(part.end - part.start for part in self._texts(kind)) for kind in ("plain", "html"))
        return EncodedSize(plain=plain or None, html=html or None)

    def text(self, text_type: TextType = "*", max_bytes: int | None = None, *, id: str | None = None) -> MessageText:
        """Return the body text.

        Args:
            text_type: which text.
            max_bytes: at most this many decoded octets of each kind.
            id: the `text.id` of the listing, to repeat it.
        """
        found: dict[str, str | None] = {"plain": None, "html": None}
        cut = False
        for kind in found if text_type == "*" else (text_type,):
            parts = list(self._texts(kind))
            if parts:
                found[kind], was_cut = self._joined(parts, max_bytes)
                cut = cut or was_cut
        return MessageText(
            id=id, plain=found["plain"], html=found["html"], has_more=cut, encoded_size=self.encoded_size()
        )

    def _joined(self, parts: list[Part], max_bytes: int | None) -> tuple[str, bool]:
        texts: list[str] = []
        left, cut = max_bytes, False
        for part in parts:
            octets = decode_transfer(self.raw[part.start : part.end], part.encoding)
            text, cut = body_text(octets, part.content_type, part.parameters, most=left)
            texts.append(text)
            if cut:
                break
            left = None if left is None else left - len(octets)
        return "\n".join(texts), cut

    # --- attachments

    def attachments(self, identify: Callable[[str], str] = str) -> tuple[Attachment, ...]:
        """Return every part that is not body text.

        Args:
            identify: makes an attachment's id out of a part number.
        """
        texts = {part.id for part in self.body}
        return tuple(
            Attachment(
                id=identify(part.id),
                content_type=part.content_type,
                encoded_size=part.end - part.start,
                embedded=part.parent_type == "multipart/related",
                inline=part.disposition == "inline",
                content_id=part.content_id,
                filename=part.filename,
                method=part.parameters.get("method") if part.content_type == "text/calendar" else None,
                encoded_in_message=part.encoding in ENCODED,
            )
            for part in leaves(self.root)
            if part.id not in texts
        )

    def open(self, part_id: str) -> AttachmentStream:
        """Open one part by its number, decoded. Raises as `open_part`."""
        if not _PART_ID.fullmatch(part_id):
            raise InvalidIdentifierError("not the number of a part")
        part = next((part for part in leaves(self.root) if part.id == part_id), None)
        if part is None:
            raise NotFoundError("the message has no such part")
        return AttachmentStream(
            content_type=described_type(part.content_type, part.parameters),
            filename=part.filename,
            disposition="inline" if part.disposition == "inline" else "attachment",
            size=None if part.encoding in ENCODED else part.end - part.start,
            chunks=self._decoded(part),
        )

    async def _decoded(self, part: Part) -> AsyncIterator[bytes]:
        decoder = transfer_decoder(part.encoding)
        for start in range(part.start, part.end, CHUNK):
            yield decoder.feed(self.raw[start : min(start + CHUNK, part.end)])
        yield decoder.finish()

    # --- the structs of the API

    def _shown(self, flags: Sequence[str], attachment_id: Callable[[str], str]) -> dict[str, Any]:
        message_id, in_reply_to = self._identifier("message-id"), self._identifier("in-reply-to")
        return {
            "email_id": email_id_of(message_id, len(self.raw), self._identifier("date")),
            "thread_id": thread_id_of(message_id, self._identifier("references"), in_reply_to),
            "size": len(self.raw),
            "subject": next(iter(self.headers.get("subject", ())), None),
            "from_": next(iter(self.addresses("from")), None),
            "reply_to": self.addresses("reply-to"),
            "to": self.addresses("to"),
            "cc": self.addresses("cc"),
            "message_id": message_id,
            "in_reply_to": in_reply_to,
            "attachments": self.attachments(attachment_id),
            "is_auto_reply": is_auto_reply(self.headers),
            **flag_fields(flags),
        }

    def entry(
        self,
        id: str,
        *,
        path: str | None = None,
        flags: Sequence[str] = (),
        received: datetime | None = None,
        attachment_id: Callable[[str], str] = str,
    ) -> MessageEntry:
        """Return the message as it stands in a listing.

        Args:
            id: its id, also that of its text.
            path: its mailbox.
            flags: its flags.
            received: when it arrived; the Date header when that is not known.
            attachment_id: makes an attachment's id out of a part number.
        """
        return MessageEntry(
            id=id,
            path=path,
            date=received or self.date,
            text=TextInfo(id=id, encoded_size=self.encoded_size()),
            **self._shown(flags, attachment_id),
        )

    def detail(
        self,
        id: str,
        *,
        path: str | None = None,
        flags: Sequence[str] = (),
        received: datetime | None = None,
        attachment_id: Callable[[str], str] = str,
        text_type: TextType | None = None,
        max_bytes: int | None = None,
    ) -> MessageDetail:
        """Return the message in full; the arguments are those of `entry` and `text`."""
        return MessageDetail(
            id=id,
            path=path,
            date=received or self.date,
            sender=next(iter(self.addresses("sender")), None),
            bcc=self.addresses("bcc"),
            headers=self.headers,
            text=(
                MessageText(id=id, encoded_size=self.encoded_size())
                if text_type is None
                else self.text(text_type, max_bytes, id=id)
            ),
            **self._shown(flags, attachment_id),
        )


def _is_text(part: Part) -> bool:
    """Body text is a plain or HTML part that the sender neither named nor attached."""
    return (
        part.content_type in ("text/plain", "text/html") and part.disposition != "attachment" and part.filename is None
    )
