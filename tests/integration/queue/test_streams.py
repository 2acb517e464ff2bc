"""Octets from a worker to the API process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.errors import DeadlineError, NotFoundError, WorkerLostError
from gateway.queue import operations
from gateway.queue.client import JobStream
from gateway.queue.streams import CHUNK, WINDOW
from gateway.redis import keys
from gateway_workers.context import Handler, JobContext
from gateway_workers.worker import Limits
from tests.integration.queue.rig import Answer, eventually, not_found, running_client, running_worker

pytestmark = pytest.mark.anyio

SOURCE = operations.MESSAGES_SOURCE
MESSAGE = operations.GetSource(message="m-1")


class Tap:
    """A streaming handler that counts what was taken from its source."""

    def __init__(self, chunk: bytes, count: int) -> None:
        self.chunk = chunk
        self.count = count
        self.taken = 0
        self.ended = asyncio.Event()

    async def __call__(self, context: JobContext, arguments: Any) -> None:
        """Stream the chunks."""
        try:
            async with context.session():
                await context.stream(Answer("head"), self._chunks())
        finally:
            self.ended.set()

    async def _chunks(self) -> AsyncIterator[bytes]:
        for _ in range(self.count):
            self.taken += 1
            yield self.chunk


async def read(stream: JobStream) -> bytes:
    """Everything that comes."""
    async with contextlib.aclosing(stream):
        return b"".join([chunk async for chunk in stream.chunks])


@pytest.mark.parametrize(
    ("chunk", "count"),
    [(b"", 0), (b"x", 1), (bytes(range(256)) * 100, 300), (b"y" * CHUNK, 3), (b"z" * (CHUNK * 4 + 1), 2)],
    ids=["nothing", "one octet", "small pieces", "exact chunks", "large pieces"],
)
async def test_octets_arrive_unchanged_whatever_their_pieces(redis_url: str, chunk: bytes, count: int) -> None:
    """The pieces of a source are cut and joined on the way; not an octet may be lost or doubled."""
    handlers = {SOURCE.name: Tap(chunk, count)}
    async with running_client(redis_url) as client, running_worker(redis_url, handlers):
        stream = await client.stream(SOURCE, "ada", MESSAGE, timeout=5)
        assert stream.head == b'{"text":"head"}'
        assert await read(stream) == chunk * count


async def test_a_slow_reader_slows_the_worker_down(redis_url: str) -> None:
    """Redis holds a few chunks of a download, never all of a large one."""
    tap = Tap(b"x" * CHUNK, 100)
    async with (
        running_client(redis_url) as client,
        running_worker(redis_url, {SOURCE.name: tap}),
        Redis.from_url(redis_url) as redis,
        contextlib.aclosing(await client.stream(SOURCE, "ada", MESSAGE, timeout=5)) as stream,
    ):
        started: Any = await redis.zrange(keys.rq_started("mail"), 0, 0)
        job = started[0].decode().split(":")[0]
        await eventually(lambda: tap.taken > WINDOW, "the worker is as far ahead as it may be")
        assert await redis.llen(keys.stream(job)) <= WINDOW
        assert tap.taken <= WINDOW + 3
        for _ in range(5):
            await anext(stream.chunks)
        await eventually(lambda: tap.taken > WINDOW + 5, "it goes on as chunks are taken")
        assert tap.taken <= WINDOW + 8
        assert 0 < await redis.ttl(keys.stream(job)) <= 61


async def test_the_worker_stops_at_once_when_the_reader_goes(redis_url: str) -> None:
    """A browser that cancels a download must not keep a connection to the mail server busy."""
    tap = Tap(b"x" * CHUNK, 10_000)
    # A stall limit far beyond the deadline of the assertion: only the reader's word can end the job.
    limits = Limits(lease=5, beat=0.1, grace=0.1, stall=60)
    async with running_client(redis_url) as client, running_worker(redis_url, {SOURCE.name: tap}, limits=limits):
        stream = await client.stream(SOURCE, "ada", MESSAGE, timeout=5)
        await anext(stream.chunks)
        await stream.aclose()
        await asyncio.wait_for(tap.ended.wait(), 5)


async def test_the_worker_gives_up_when_the_reader_vanishes_without_a_word(redis_url: str) -> None:
    """An API process that was killed tells nobody; the session is closed, for its answer was read in part only."""
    tap = Tap(b"x" * CHUNK, 10_000)
    closed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def opened(account: str) -> Any:
        yield SimpleNamespace()
        closed.set()

    async with running_client(redis_url) as client, running_worker(redis_url, {SOURCE.name: tap}, opener=opened):
        stream = await client.stream(SOURCE, "ada", MESSAGE, timeout=5)
        await anext(stream.chunks)
        await asyncio.wait_for(closed.wait(), 5)
        await stream.aclose()


async def test_a_failure_before_the_first_octet_is_the_workers_error(redis_url: str) -> None:
    """The API can still answer 404 instead of an empty download."""
    async with running_client(redis_url) as client, running_worker(redis_url, {SOURCE.name: not_found}):
        with pytest.raises(NotFoundError):
            await client.stream(SOURCE, "ada", MESSAGE, timeout=5)


async def test_a_failure_in_the_middle_reaches_the_reader(redis_url: str) -> None:
    """A cut message must not look like a whole one."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * CHUNK
        raise NotFoundError("the message was expunged")

    async def break_off(context: JobContext, arguments: Any) -> None:
        await context.stream(Answer(), chunks())

    async with running_client(redis_url) as client, running_worker(redis_url, {SOURCE.name: break_off}):
        stream = await client.stream(SOURCE, "ada", MESSAGE, timeout=5)
        with pytest.raises(NotFoundError):
            await read(stream)


async def test_a_lost_chunk_is_noticed(redis_url: str) -> None:
    """A blocking pop whose answer is lost takes its element with it."""
    tap = Tap(b"x" * CHUNK, 5)
    async with (
        running_client(redis_url) as client,
        running_worker(redis_url, {SOURCE.name: tap}),
        Redis.from_url(redis_url) as redis,
    ):
        stream = await client.stream(SOURCE, "ada", MESSAGE, timeout=5)
        await tap.ended.wait()
        name = await anext(redis.scan_iter("*:stream:*"))
        await redis.lpop(name)
        with pytest.raises(WorkerLostError):
            await read(stream)


async def test_without_a_worker_a_stream_ends_at_its_deadline(redis_url: str) -> None:
    """The same 504 as for any call."""
    async with running_client(redis_url) as client:
        with pytest.raises(DeadlineError) as caught:
            await client.stream(SOURCE, "ada", MESSAGE, timeout=0.1)
    assert caught.value.details["job"]


async def test_a_download_does_not_hold_up_the_accounts_other_reads(redis_url: str) -> None:
    """Streams have a session of their own."""
    tap = Tap(b"x" * CHUNK, 100)

    async def listing(context: JobContext, arguments: Any) -> Answer:
        async with context.session():
            return Answer("listed")

    handlers: dict[str, Handler] = {SOURCE.name: tap, operations.ACCOUNT_CONNECT.name: listing}
    async with running_client(redis_url) as client, running_worker(redis_url, handlers):
        stream = await client.stream(SOURCE, "ada", MESSAGE, timeout=5)
        listed = await client.call(operations.ACCOUNT_CONNECT, "ada", operations.NoArguments(), timeout=2)
        assert listed == b'{"text":"listed"}'
        await stream.aclose()
