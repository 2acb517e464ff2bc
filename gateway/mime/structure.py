"""Find the parts of a message by their offsets (RFC 2046), so that every part can be given out octet by octet.

The parser of the standard library keeps the text of a message, not its octets (embedded messages change their line
ends), and recurses as deep as the sender likes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.mime.decode import parse_parameters, unfold

__all__ = ["MAX_TEXTS", "Part", "leaves", "structure"]

#: Multiparts deeper than this are shown as one attachment. Real mail rarely passes ten.
MAX_DEPTH = 40

#: Parts that are shown as body text; what comes after them is attached. Real mail has two or three.
MAX_TEXTS = 100

_FIELD = re.compile(rb"^([!-9;-~]+)[ \t]*:(.*(?:\n[ \t].*)*)", re.MULTILINE)
_DELIMITER_END = re.compile(rb"(--)?[ \t]*\r?(?:\n|\Z)")
_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")

Fields = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One part, numbered as in RFC 9051 section 6.4.5.1; `start` to `end` are the octets of its body as transferred.

    The message itself has the id "" when it is a multipart and "1" when it is a single part.
    """

    id: str
    fields: Fields
    content_type: str
    parameters: dict[str, str]
    start: int
    end: int
    parts: tuple[Part, ...] = ()
    parent_type: str = ""

    def field(self, name: str) -> bytes | None:
        """Return the first header field of this name (lower case), undecoded."""
        return next((value for key, value in self.fields if key == name), None)

    @property
    def encoding(self) -> str:
        """Content-Transfer-Encoding, lower case."""
        return unfold(self.field("content-transfer-encoding") or b"").partition("(")[0].strip().lower()

    @property
    def disposition(self) -> str | None:
        """Content-Disposition without its parameters (RFC 2183)."""
        return parse_parameters(self.field("content-disposition") or b"")[0] or None

    @property
    def filename(self) -> str | None:
        """The sender's name for it: `filename` of the disposition, or `name` of the type."""
        disposition = parse_parameters(self.field("content-disposition") or b"")[1]
        return disposition.get("filename") or self.parameters.get("name") or None

    @property
    def content_id(self) -> str | None:
        """Content-ID with its angle brackets."""
        return unfold(self.field("content-id") or b"") or None


def structure(raw: bytes) -> Part:
    """Return the tree of parts of a message."""
    return _part(raw, 0, len(raw), "", "", 0)


def leaves(part: Part) -> Iterator[Part]:
    """Yield the parts that hold content, in order."""
    if not part.parts:
        yield part
    for child in part.parts:
        yield from leaves(child)


def _part(raw: bytes, start: int, end: int, id: str, parent_type: str, depth: int) -> Part:
    header_end, body = _split(raw, start, end)
    fields = tuple((match[1].decode("ascii").lower(), match[2]) for match in _FIELD.finditer(raw, start, header_end))
    content_type, parameters = parse_parameters(next((value for key, value in fields if key == "content-type"), b""))
    if content_type.count("/") != 1:
        content_type = "message/rfc822" if parent_type == "multipart/digest" else "text/plain"
    parts: tuple[Part, ...] = ()
    if content_type.startswith("multipart/") and depth < MAX_DEPTH:
        prefix = f"{id}." if id else ""
        parts = tuple(
            _part(raw, first, last, f"{prefix}{number}", content_type, depth + 1)
            for number, (first, last) in enumerate(_bodies(raw, body, end, parameters.get("boundary", "")), 1)
        )
        if not parts:
            content_type = "text/plain"
    return Part(
        id=id or ("" if parts else "1"),
        fields=fields,
        content_type=content_type,
        parameters=parameters,
        start=body,
        end=end,
        parts=parts,
        parent_type=parent_type,
    )


def _split(raw: bytes, start: int, end: int) -> tuple[int, int]:
    """Return where the header section ends and where the body begins."""
    for blank in (b"\r\n", b"\n"):
        if raw.startswith(blank, start, end):
            return start, start + len(blank)
    match = _END_OF_HEADERS.search(raw, start, end)
    return (end, end) if match is None else (match.start(), match.end())


def _bodies(raw: bytes, start: int, end: int, boundary: str) -> Iterator[tuple[int, int]]:
    """Yield the range of each body part; the line end before a delimiter belongs to the delimiter (section 5.1.1)."""
    if not boundary:
        return
    delimiter = b"--" + boundary.encode("utf-8", "replace")
    first: int | None = None
    position = raw.find(delimiter, start, end)
    while position >= 0:
        match = _DELIMITER_END.match(raw, position + len(delimiter), end)
        if match is not None and (position == 0 or raw[position - 1 : position] == b"\n"):
            # Two delimiters with nothing between them, not even an empty line, are taken for one that was doubled.
            if first is not None and first < position:
                yield first, max(first, _before_line_end(raw, position))
            if match[1]:
                return
            first = match.end()
        position = raw.find(delimiter, position + len(delimiter), end)
    if first is not None:
        yield first, end


def _before_line_end(raw: bytes, position: int) -> int:
    if raw.endswith(b"\r\n", 0, position):
        return position - 2
    return position - 1
