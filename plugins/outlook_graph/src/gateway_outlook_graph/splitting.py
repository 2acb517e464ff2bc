"""Taking files out of a message that is too large for one call, without holding it as a whole.

The message is read to find its parts (RFC 2046 section 5.1), then what is left of it, and each file twice: its decoded
size has to be told before its octets.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage

from gateway.errors import MessageTooLargeError
from gateway.mime.decode import transfer_decoder
from gateway.provider import MessageSource
from gateway_outlook_graph.uploading import File

#: Octets of a message that go into one call: 4 MB as base64.
ONE_CALL = 3_000_000
# Octets of a line that are looked at, and of the header section of a part: what is longer is neither.
_LONGEST_LINE, _LONGEST_HEADER = 65_536, 1_048_576
_POLICY = policy.SMTP.clone(max_line_length=0)


@dataclass(slots=True)
class Part:
    """A part of a multipart that has no parts itself.

    Attributes:
        header: its header section.
        begin: where the delimiter before it begins.
        content: where its content begins.
        content_end: where its content ends: before the line end that belongs to the next delimiter.
        end: where the next delimiter begins.
    """

    header: EmailMessage
    begin: int
    content: int
    content_end: int = 0
    end: int = 0

    @property
    def is_file(self) -> bool:
        """Whether it is a file, not text or a message."""
        return self.header.get_content_type() != "message/rfc822" and (
            self.header.get_content_disposition() == "attachment" or self.header.get_filename() is not None
        )


class Scanner:
    """Finds the parts of a message in its lines.

    Attributes:
        parts: those that have no parts themselves, in order.
    """

    def __init__(self, header: bytes) -> None:
        """Take the header section of the message; the lines of its body follow."""
        self.parts: list[Part] = []
        self._boundaries: list[bytes] = []
        self._begin = 0
        self._header: bytearray | None = None
        self._part: Part | None = None
        self._line_end = 0
        self._descend(_parsed(header))

    def line(self, line: bytes, at: int) -> None:
        """Take a line, with its end, that begins at an octet of the message."""
        if line.startswith(b"--") and (found := self._delimiter(line)) is not None:
            self._close(at)
            level, last = found
            del self._boundaries[level if last else level + 1 :]
            self._begin, self._header = at, None if last else bytearray()
            return
        if self._header is not None:
            self._header += line
            if line in (b"\r\n", b"\n") or len(self._header) > _LONGEST_HEADER:
                self._end_header(at + len(line))
        self._line_end = 2 if line.endswith(b"\r\n") else 1 if line.endswith(b"\n") else 0

    def end(self, at: int) -> None:
        """Take the end of the message."""
        self._line_end = 0
        self._close(at)

    def _delimiter(self, line: bytes) -> tuple[int, bool] | None:
        """Return to which open multipart a line belongs that delimits parts, and whether it is its last one."""
        text = line.rstrip(b" \t\r\n")[2:]
        for level in reversed(range(len(self._boundaries))):
            if text.startswith(self._boundaries[level]):
                rest = text[len(self._boundaries[level]) :]
                if rest in (b"", b"--"):
                    return level, rest == b"--"
        return None

    def _end_header(self, at: int) -> None:
        header, self._header = _parsed(bytes(self._header or b"")), None
        if not self._descend(header):
            self._part = Part(header, self._begin, at)
            self.parts.append(self._part)

    def _descend(self, header: EmailMessage) -> bool:
        """Open a multipart, if it is one."""
        boundary = header.get_boundary() if header.get_content_maintype() == "multipart" else None
        if not boundary:
            return False
        self._boundaries.append(boundary.encode("utf-8", "surrogateescape"))
        return True

    def _close(self, at: int) -> None:
        if self._header is not None:
            self._end_header(at)
        if self._part is not None:
            self._part.end, self._part.content_end = at, max(at - self._line_end, self._part.content)
            self._part = None


def _parsed(header: bytes) -> EmailMessage:
    return message_from_bytes(header, policy=_POLICY)


async def scan(source: MessageSource) -> list[Part]:
    """Return the parts of a message."""
    scanner, at = Scanner(source.header), len(source.header)
    rest, within = b"", False
    async for chunk in source.chunks(at):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if not within:
                scanner.line(line + b"\n", at)
            within = False
            at += len(line) + 1
        if len(rest) > _LONGEST_LINE:
            # A line without end; what it begins with is all that counts.
            if not within:
                scanner.line(rest, at)
            at, rest, within = at + len(rest), b"", True
    if rest and not within:
        scanner.line(rest, at)
    scanner.end(source.size)
    return scanner.parts


async def split(source: MessageSource) -> tuple[bytes, list[File]]:
    """Take files out of a message until it fits into one call, the largest first.

    Raises:
        MessageTooLargeError: what is no file is too large.
    """
    size, taken = source.size, list[Part]()
    if size > ONE_CALL:
        for part in sorted(
            filter(lambda part: part.is_file, await scan(source)), key=lambda part: part.begin - part.end
        ):
            if size <= ONE_CALL:
                break
            size -= part.end - part.begin
            taken.append(part)
    if size > ONE_CALL:
        raise MessageTooLargeError("the message is over the service's limit without its files", limit=ONE_CALL)
    left = [chunk for begin, end in _between(taken, source.size) async for chunk in source.chunks(begin, end)]
    return b"".join(left), [await _file(source, part) for part in taken]


def _between(taken: list[Part], size: int) -> Iterator[tuple[int, int]]:
    begin = 0
    for part in sorted(taken, key=lambda part: part.begin):
        yield begin, part.begin
        begin = part.end
    yield begin, size


async def _file(source: MessageSource, part: Part) -> File:
    header = part.header
    encoding = str(header.get("content-transfer-encoding", ""))
    content_id = str(header["content-id"]).strip(" <>") if header["content-id"] is not None else None

    async def content() -> AsyncIterator[bytes]:
        decoder = transfer_decoder(encoding)
        async for chunk in source.chunks(part.content, part.content_end):
            yield decoder.feed(chunk)
        yield decoder.finish()

    return File(
        name=header.get_filename() or "attachment",
        content_type=header.get_content_type(),
        size=sum([len(chunk) async for chunk in content()]),
        content=content,
        content_id=content_id if header.get_content_disposition() != "attachment" else None,
    )
