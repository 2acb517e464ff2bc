"""Messages taken apart so that each part has exactly its own octets.

pymap 0.36 counts the line break before a boundary to the part above it (it belongs to the boundary, RFC 2046 section
5.1.1), takes a part without a body for the whole message, and fails at fields and depths that no grammar allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from email.headerregistry import BaseHeader, ContentTypeHeader, HeaderRegistry
from typing import ClassVar

from pymap.mime import MessageBody, MessageContent, MessageHeader
from pymap.mime.parsed import ParsedHeaders

from gateway_sandbox.lenient import LenientRegistry

#: Start, end, and start of the next line.
_Lines = Sequence[tuple[int, int, int]]
_Folded = Sequence[tuple[str, _Lines]]


class Registry(LenientRegistry):
    """Makes headers also of comments and groups that are in each other too deep."""

    def __call__(self, name: str, value: str) -> BaseHeader:
        try:
            return super().__call__(name, value)
        except RecursionError:
            return super().__call__(name, "")


class Headers(ParsedHeaders):
    """The values of header fields."""

    _registry: ClassVar[HeaderRegistry] = Registry()


class Header(MessageHeader):
    """The header of a message or part."""

    @classmethod
    def _get_parsed(cls, data: bytes, folded: _Folded) -> ParsedHeaders:
        return Headers(super()._get_parsed(data, folded)._headers)


class Content(MessageContent):
    """A message or a part of one."""

    @classmethod
    def parse(cls, data: bytes) -> MessageContent:
        try:
            return super().parse(data)
        except RecursionError:
            # Its parts are in each other too deep: they stay in one piece.
            header_lines, body_lines = cls._split_lines(data, cls._find_lines(data))
            header = Header._parse(data, memoryview(data), header_lines)
            return cls(data, header, MessageBody._parse(data, memoryview(data), body_lines, None))

    @classmethod
    def _parse(cls, data: bytes, view: memoryview, lines: _Lines) -> MessageContent:
        header_lines, body_lines = cls._split_lines(data, lines)
        header = Header._parse(data, view, header_lines)
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
