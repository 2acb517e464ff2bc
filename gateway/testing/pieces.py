"""Messages that come in pieces, as the outbox hands over large ones."""

from __future__ import annotations

from collections.abc import AsyncIterator

from gateway.provider import MessageSource


class Pieces(MessageSource):
    """A message in pieces of a few octets."""

    def __init__(self, message: bytes, length: int = 7) -> None:
        """Cut a message that has a header section into pieces of `length` octets."""
        whole = MessageSource.of(message)
        self.header, self.size, self.ascii = whole.header, whole.size, whole.ascii
        self._message = message
        self._length = length

    async def chunks(self, begin: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """See `MessageSource`."""
        message = self._message[begin:end]
        for at in range(0, len(message), self._length):
            yield message[at : at + self._length]
