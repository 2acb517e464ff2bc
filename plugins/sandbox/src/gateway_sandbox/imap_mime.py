"""Messages taken apart so that each part has exactly its own octets.

pymap 0.36 counts the line break before a boundary to the part above it (it belongs to the boundary, RFC 2046 section
5.1.1), and takes a part without a body for the whole message.
"""

from __future__ import annotations

from collections.abc import Sequence
from email.headerregistry import ContentTypeHeader

from pymap.mime import MessageBody, MessageContent, MessageHeader

#: Start, end, and start of the next line.
_Lines = Sequence[tuple[int, int, int]]


class Content(MessageContent):
    """A message or a part of one."""

    @classmethod
    def _parse(cls, data: bytes, view: memoryview, lines: _Lines) -> MessageContent:
        header_lines, body_lines = cls._split_lines(data, lines)
        header = MessageHeader._parse(data, view, header_lines)
        if not body_lines:
            end = header_lines[-1][2] if header_lines else 0
            body_lines = [(end, end, end)]
        return cls(data, header, Body._parse(data, view, body_lines, header.parsed.content_type))


class Body(MessageBody):
    """The body of a message or part."""

    @classmethod
    def _parse_rfc822(
        cls, data: bytes, view: memoryview, lines: _Lines, content_type: ContentTypeHeader
    ) -> MessageBody:
        return cls(data, lines, content_type, [Content._parse(data, view, lines)])

    @classmethod
    def _parse_multipart(
        cls, data: bytes, view: memoryview, lines: _Lines, content_type: ContentTypeHeader, boundary: bytes
    ) -> MessageBody:
        parts = [part for part in cls._find_parts(data, view, lines, boundary) if part]
        nested = [Content._parse(data, view, _without_last_break(part)) for part in parts]
        return cls(data, lines, content_type, nested)


def _without_last_break(lines: _Lines) -> _Lines:
    start, end, _ = lines[-1]
    return [*lines[:-1], (start, end, end)]
