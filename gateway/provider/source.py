"""Messages on their way to a service, which need not be held as a whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator


class MessageSource(ABC):
    """The octets of a message (RFC 5322), in pieces; they can be read any number of times.

    Attributes:
        header: the header section, with the empty line that ends it.
        size: of the whole message, in octets.
        ascii: no octet of it has its eighth bit set.
    """

    header: bytes
    size: int
    ascii: bool

    @staticmethod
    def of(message: bytes | MessageSource) -> MessageSource:
        """Return a source of what may be one already, or octets that are held anyway."""
        return Held(message) if isinstance(message, bytes) else message

    @abstractmethod
    def chunks(self, begin: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Stream the message, or its octets from `begin` up to `end`.

        Raises:
            Exception: whatever; it is for the caller of the session to see.
        """

    async def octets(self) -> bytes:
        """Return the whole message."""
        return b"".join([chunk async for chunk in self.chunks()])

    def with_header(self, header: bytes) -> MessageSource:
        """Return the same message with another header section, which ends with an empty line."""
        return _Changed(self, header)


class Held(MessageSource):
    """A message that is in memory anyway; it comes in one piece."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self.size = len(message)

    @property
    def header(self) -> bytes:  # type: ignore[override] # looked for when it is asked for
        """See `MessageSource`."""
        return self._message[: header_end(self._message)]

    @property
    def ascii(self) -> bool:  # type: ignore[override]
        """See `MessageSource`."""
        return self._message.isascii()

    async def chunks(self, begin: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """See `MessageSource`."""
        yield self._message[begin:end]

    async def octets(self) -> bytes:
        """See `MessageSource`."""
        return self._message


class _Changed(MessageSource):
    def __init__(self, source: MessageSource, header: bytes) -> None:
        self._source = source
        self._longer = len(header) - len(source.header)
        self.header = header
        self.size = source.size + self._longer
        self.ascii = source.ascii and header.isascii()

    async def chunks(self, begin: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        end = self.size if end is None else end
        if ahead := self.header[begin:end]:
            yield ahead
        start = max(begin, len(self.header)) - self._longer
        if start < end - self._longer:
            async for chunk in self._source.chunks(start, end - self._longer):
                yield chunk


def header_end(message: bytes) -> int:
    """Return where the body begins: after the first empty line, at the end if there is none."""
    crlf = message.find(b"\r\n\r\n")
    bare = message.find(b"\n\n", 0, None if crlf < 0 else crlf)
    if bare >= 0:
        return bare + 2
    return len(message) if crlf < 0 else crlf + 4
