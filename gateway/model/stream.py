"""What a worker says of octets before it sends them, and which part of them is asked for."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from gateway.errors import RequestError


class Span(NamedTuple):
    """A part of something: its first and last octet, counted from 0, and the octets of the whole."""

    first: int
    last: int
    whole: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return self.last - self.first + 1 == self.whole


class OctetRange(msgspec.Struct, frozen=True, omit_defaults=True):
    """A range as it is asked for (RFC 9110 section 14.1.2): without `first`, the `last` octets of what there is."""

    first: int | None = None
    last: int | None = None

    def within(self, size: int) -> Span:
        """Return the part of so many octets that it names.

        Raises:
            RequestError: there is no such part (code RangeNotSatisfiable).
        """
        if self.first is None:
            begin, end = max(0, size - (self.last or 0)), size - 1
        else:
            begin, end = self.first, size - 1 if self.last is None else min(self.last, size - 1)
        if begin >= size or begin > end:
            raise RequestError("there is no such range", code="RangeNotSatisfiable")
        return Span(begin, end, size)


class StreamHead(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The head of a streamed message source or attachment.

    Attributes:
        span: which part follows; None when the size of the whole is not known beforehand, and all of it follows.
    """

    content_type: str
    filename: str | None = None
    disposition: Literal["inline", "attachment"] = "attachment"
    span: Span | None = None
