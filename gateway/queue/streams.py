"""Octets on their way from a worker to the caller, through a bounded Redis list.

The worker appends chunks to one list and may be `WINDOW` of them ahead; the caller appends a credit to another for
each chunk it took. A side that hears nothing of the other for `STALL` seconds gives up, and both lists expire.
Chunks are numbered, because a blocking pop whose answer is lost takes its element with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from redis.exceptions import RedisError

from gateway.errors import DeadlineError, WorkerLostError
from gateway.redis import keys
from gateway.redis.client import Client

CHUNK = 768 * 1024
WINDOW = 4
STALL = 30.0

_HEAD, _DATA, _END = b"h", b"d", b"e"
_TAKEN, _STOP = b"+", b"x"
_SEQUENCE = 4


class StreamWriter:
    """The worker's end."""

    def __init__(self, client: Client, job: str, *, stall: float = STALL) -> None:
        """Take a client without a socket timeout; `stall` is how long a reader may take nothing, in seconds."""
        self._client = client
        self._list = keys.stream(job)
        self._credits = keys.stream_credit(job)
        self._stall = stall
        self._ahead = 0
        self._count = 0

    async def copy(self, head: msgspec.Struct, chunks: AsyncIterator[bytes], moved: Callable[[], None]) -> None:
        """Send the head and what `chunks` yields; calls `moved` for each element that went out.

        The last octets say that they are the last, so that what is small needs one write here and two reads there.

        Raises:
            DeadlineError: the reader has gone, or takes nothing.
        """
        before = [_HEAD + msgspec.json.encode(head)]
        last = b""
        async for piece in _pieces(chunks):
            if last:
                await self._data(before, last)
                moved()
                before = []
            last = piece
        await self._send(*before, b"".join((_END, self._number(), last)))
        moved()

    def _number(self) -> bytes:
        self._count += 1
        return self._count.to_bytes(_SEQUENCE, "big")

    async def _data(self, before: list[bytes], piece: bytes) -> None:
        if self._ahead >= WINDOW:
            await self._credit()
        self._ahead += 1
        await self._send(*before, b"".join((_DATA, self._number(), piece)))

    async def _credit(self) -> None:
        answer = await self._client.blpop([self._credits], timeout=self._stall)
        if answer is None:
            raise DeadlineError("the reader of the stream takes nothing")
        if answer[1] == _STOP:
            raise DeadlineError("the reader of the stream has gone")
        self._ahead -= 1

    async def _send(self, *elements: bytes) -> None:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.rpush(self._list, *elements)
        pipeline.expire(self._list, int(self._stall * 2) + 1)
        await pipeline.execute()


async def _pieces(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Cut and join chunks to pieces of at most `CHUNK` octets."""
    joined: list[bytes] = []
    size = 0
    async for chunk in chunks:
        for start in range(0, len(chunk), CHUNK):
            piece = chunk[start : start + CHUNK]
            if size + len(piece) > CHUNK:
                yield b"".join(joined)
                joined, size = [], 0
            joined.append(piece)
            size += len(piece)
    if joined:
        yield b"".join(joined)


class StreamReader:
    """The caller's end."""

    def __init__(self, client: Client, job: str, *, stall: float = STALL) -> None:
        """Take a client without a socket timeout; `stall` is how long a chunk may take to come, in seconds."""
        self._client = client
        self._list = keys.stream(job)
        self._credits = keys.stream_credit(job)
        self._stall = stall
        self._count = 0
        self._ended = False

    async def head(self) -> bytes:
        """Return the head, JSON; wait for it as long as it takes.

        Raises:
            WorkerLostError: a part of the stream is missing.
        """
        answer: Any = await self._client.blpop([self._list], timeout=0)
        if answer is None or answer[1][:1] != _HEAD:
            raise WorkerLostError("the stream has no head")
        return bytes(answer[1][1:])

    async def chunk(self) -> bytes | None:
        """Return the next octets; None after the last ones.

        Raises:
            DeadlineError: nothing came.
            WorkerLostError: a part of the stream is missing.
        """
        if self._ended:
            return None
        answer: Any = await self._client.blpop([self._list], timeout=self._stall)
        if answer is None:
            raise DeadlineError("the stream has stopped")
        element: bytes = answer[1]
        self._count += 1
        if element[1 : 1 + _SEQUENCE] != self._count.to_bytes(_SEQUENCE, "big"):
            raise WorkerLostError("a part of the stream is missing")
        if element[:1] == _END:
            self._ended = True
        else:
            await self._tell(_TAKEN)
        return element[1 + _SEQUENCE :]

    async def aclose(self) -> None:
        """Tell the worker to stop, unless everything has come, and remove what was not read."""
        if not self._ended:
            self._ended = True
            with contextlib.suppress(RedisError):  # the worker gives up by itself, and the lists expire
                await self._tell(_STOP)
                await self._client.delete(self._list)

    async def _tell(self, credit: bytes) -> None:
        pipeline = self._client.pipeline(transaction=False)
        # Last in, first out: the stop must not wait behind credits for chunks that were taken.
        pipeline.lpush(self._credits, credit)
        pipeline.expire(self._credits, int(self._stall * 2) + 1)
        await pipeline.execute()
