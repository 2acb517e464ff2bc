"""A message as those who judge it read it: its first octets, its first parts, its first text."""

from __future__ import annotations

from functools import cached_property
from itertools import islice

from gateway.mime.body_text import body_text
from gateway.mime.decode import decode_transfer, unfold
from gateway.mime.html_text import html_to_text
from gateway.mime.parse import ParsedMessage
from gateway.mime.structure import Part, leaves

#: Octets of a message that are looked at. Reports put what counts first, and the copy of the original last.
SOURCE_LIMIT = 256 * 1024

_PARTS = 32
_TEXT = 32 * 1024
_PART = 64 * 1024


class Letter:
    """A message within bounds.

    Attributes:
        parts: the first ones; an embedded message is one part.
    """

    def __init__(self, source: bytes) -> None:
        self._message = ParsedMessage(source[:SOURCE_LIMIT])
        self.parts: tuple[Part, ...] = tuple(islice(leaves(self._message.root), _PARTS))

    @property
    def content_type(self) -> str:
        """Of the whole message."""
        return self._message.root.content_type

    def header(self, name: str) -> str:
        """Return the first header of this name, decoded; "" when there is none."""
        return next(iter(self._message.headers.get(name, ())), "")

    def has(self, *names: str) -> bool:
        """Tell whether there is a header of one of these names."""
        return any(name in self._message.headers for name in names)

    def identifiers(self, name: str) -> list[str]:
        """Return the message identifiers of a header (RFC 5322 section 3.6.4)."""
        value = unfold(self._message.root.field(name) or b"")[:8192]
        return [f"<{piece.partition('>')[0]}>" for piece in value.split("<")[1:] if ">" in piece]

    @cached_property
    def sender(self) -> str:
        """Address of the first sender, lower case."""
        return next((address.address for address in self._message.addresses("from")), "").lower()

    @cached_property
    def own_addresses(self) -> frozenset[str]:
        """Whoever it is from and to, lower case: no recipient that was not reached."""
        return frozenset(
            address.address.lower()
            for name in ("from", "to", "delivered-to", "x-original-to", "reply-to")
            for address in self._message.addresses(name)[:20]
        )

    @property
    def message(self) -> ParsedMessage:
        """All of it that is looked at."""
        return self._message

    def find(self, *types: str) -> Part | None:
        """Return the first part of one of these types."""
        return next((part for part in self.parts if part.content_type in types), None)

    def octets(self, part: Part) -> bytes:
        """Return a part, decoded, cut when it is long."""
        raw = self._message.raw[part.start : min(part.end, part.start + 2 * _PART)]
        return decode_transfer(raw, part.encoding, cut=len(raw) < part.end - part.start)[:_PART]

    @cached_property
    def text(self) -> str:
        """What a person reads: the first text, with LF."""
        for kind in ("text/plain", "text/html"):
            part = self.find(kind)
            if part is not None:
                octets = self.octets(part)
                text = body_text(octets, kind, part.parameters, more=len(octets) == _PART)[0][:_TEXT]
                shown = html_to_text(text) if kind == "text/html" else text
                if shown.strip():
                    return shown.replace("\xa0", " ")
        return ""
