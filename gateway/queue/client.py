"""The API process' side of the queue: ask for an operation and hear the answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from datetime import timedelta
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.errors import DeadlineError, GatewayError, ServiceUnavailableError, WorkerLostError
from gateway.provider import Clock, utc_now
from gateway.queue import wire
from gateway.queue.operations import TIME_LIMITS, Operation
from gateway.queue.replies import Replies, Waiter
from gateway.queue.scripts import ENQUEUE
from gateway.queue.streams import STALL, StreamReader
from gateway.redis import keys
from gateway.redis.client import Client, open_client
from gateway.redis.coalescer import Coalescer

log = structlog.get_logger()

T = TypeVar("T")

#: Redis is gone, slow, or in the middle of a failover.
_AWAY = (RedisConnectionError, RedisTimeoutError, ReadOnlyError)

#: Seconds between attempts to reach a Redis that is away.
_RETRY_DELAY = 0.1


class JobStream:
    """The answer to a streaming operation.

    Attributes:
        head: the head struct, JSON.
        chunks: the octets that follow; must be closed with the stream.
    """

    def __init__(self, head: bytes, chunks: AsyncIterator[bytes], stack: contextlib.AsyncExitStack) -> None:
        self.head = head
        self.chunks = chunks
        self._stack = stack

    async def aclose(self) -> None:
        """End the stream; the worker stops if it was not through."""
        await self._stack.aclose()


class JobClient:
    """Hands operations to the workers; one for each process."""

    def __init__(self, control: Client, url: str, *, clock: Clock = utc_now, stall: float = STALL) -> None:
        """Prepare; `start` subscribes.

        Args:
            control: client of the control plane.
            url: of the same Redis, for the connections that wait.
            clock: aware UTC.
            stall: how long a stream may stand still, in seconds.
        """
        self._caller = Coalescer(control)
        self._subscriber = open_client(url, blocking=True)
        self._streams = open_client(url, blocking=True)
        self._replies = Replies(control, self._subscriber)
        self._clock = clock
        self._stall = stall

    async def start(self) -> None:
        """Subscribe to the replies."""
        await self._replies.start()

    async def aclose(self) -> None:
        """Stop listening and close the connections that this client opened."""
        await self._replies.aclose()
        await self._subscriber.aclose()
        await self._streams.aclose()

    async def call(self, operation: Operation, account: str, arguments: msgspec.Struct, *, timeout: float) -> bytes:
        """Run an operation and return its result, JSON as the worker made it.

        Args:
            operation: one of `gateway.queue.operations`.
            account: whose; empty for operations without one.
            arguments: an instance of the operation's `arguments`.
            timeout: seconds to wait.

        Raises:
            DeadlineError: no answer in time; ``job`` names the job, which may still finish.
            ServiceUnavailableError: Redis did not take the job.
            GatewayError: what the worker recorded.
        """
        job = uuid4().hex
        with self._replies.waiting(job) as waiter:
            try:
                async with asyncio.timeout(timeout):
                    await self._ask(job, operation, account, arguments, timeout, timeout + wire.GRACE)
                    return await waiter
            except TimeoutError:
                return await self._late(job)

    async def stream(
        self, operation: Operation, account: str, arguments: msgspec.Struct, *, timeout: float
    ) -> JobStream:
        """Run a streaming operation; returns when its head is there. The stream has to be closed.

        Args:
            operation: one that streams.
            account: whose.
            arguments: an instance of the operation's `arguments`.
            timeout: seconds to wait for the head.

        Raises:
            DeadlineError: no head in time.
            GatewayError: what the worker recorded.
        """
        job = uuid4().hex
        async with contextlib.AsyncExitStack() as stack:
            waiter = stack.enter_context(self._replies.waiting(job))
            reader = StreamReader(self._streams, job, stall=self._stall)
            stack.push_async_callback(reader.aclose)
            try:
                async with asyncio.timeout(timeout):
                    await self._ask(job, operation, account, arguments, timeout, wire.STREAM_TIME_LIMIT)
                    head = await _unless_failed(waiter, reader.head())
            except TimeoutError:
                raise DeadlineError("no answer in time", job=job) from None
            except RedisError:
                raise WorkerLostError("the stream broke off") from None
            return JobStream(head, _chunks(reader, waiter), stack.pop_all())

    async def enqueue(
        self, operation: Operation, account: str, arguments: msgspec.Struct, *, job_id: str | None = None
    ) -> str:
        """Have an operation run without waiting for it, and return the job id.

        Args:
            operation: one of `gateway.queue.operations`.
            account: whose; empty for operations without one.
            arguments: an instance of the operation's `arguments`.
            job_id: letters, digits, ``_`` and ``-``; a job of that id that waits or runs stands for this one.

        Raises:
            ServiceUnavailableError: Redis did not take it.
        """
        job = job_id or uuid4().hex
        fields = wire.job_fields(
            operation, account, arguments, now=self._clock(), meta=None, timeout=TIME_LIMITS[operation.lane]
        )
        try:
            await self._enqueue(job, operation, account, fields, wire.QUEUED_TTL, once=job_id is None)
        except RedisError as error:
            raise _not_queued(error) from None
        return job

    async def _ask(
        self,
        job: str,
        operation: Operation,
        account: str,
        arguments: msgspec.Struct,
        timeout: float,
        limit: float,
    ) -> None:
        now = self._clock()
        meta = wire.Meta(self._replies.channel, (now + timedelta(seconds=timeout)).timestamp())
        fields = wire.job_fields(operation, account, arguments, now=now, meta=meta, timeout=limit)
        ttl = int(timeout) + wire.CALL_FAILURE_TTL
        while True:
            try:
                return await self._enqueue(job, operation, account, fields, ttl, once=True)
            except _AWAY:
                # It may have been enqueued all the same: the script knows the id then.
                await asyncio.sleep(_RETRY_DELAY)
            except RedisError as error:
                raise _not_queued(error) from None

    async def _enqueue(
        self, job: str, operation: Operation, account: str, fields: list[Any], ttl: int, *, once: bool
    ) -> None:
        queue = operation.queue
        names = (keys.rq_job(job), keys.rq_queue(queue), keys.RQ_QUEUES, keys.rq_failed(queue), keys.OWNERS)
        routed = account if operation.routed else ""
        await ENQUEUE.run(self._caller, names, job, ttl, "1" if once else "0", routed, keys.worker(""), queue, *fields)

    async def _late(self, job: str) -> bytes:
        """Look for a result whose message got lost, once."""
        with contextlib.suppress(RedisError):
            outcome = await self._replies.recorded(job)
            if isinstance(outcome, GatewayError):
                raise outcome
            if outcome is not None:
                return outcome
        raise DeadlineError("no answer in time", job=job)


def _not_queued(error: RedisError) -> ServiceUnavailableError:
    log.error("job_not_queued", error=type(error).__name__)
    return ServiceUnavailableError("the job could not be queued")


async def _unless_failed(waiter: Waiter, step: Coroutine[Any, Any, T]) -> T:
    """Await one step of a stream, or raise what the worker recorded if that comes first."""
    task = asyncio.ensure_future(step)
    try:
        if not waiter.done():
            await asyncio.wait((task, waiter), return_when=asyncio.FIRST_COMPLETED)
        if not task.done() and waiter.done():
            waiter.result()
        return await task
    finally:
        task.cancel()


async def _chunks(reader: StreamReader, waiter: Waiter) -> AsyncIterator[bytes]:
    while True:
        try:
            chunk = await _unless_failed(waiter, reader.chunk())
        except RedisError:
            raise WorkerLostError("the stream broke off") from None
        if chunk is None:
            return
        yield chunk
