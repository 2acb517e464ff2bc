"""The subscription on which one process hears of its jobs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import structlog
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from gateway.errors import GatewayError
from gateway.queue import wire
from gateway.redis import keys
from gateway.redis.client import Client

log = structlog.get_logger()

#: Seconds of silence after which the connection is tried, and once more until it counts as gone.
_SILENCE = 5.0
_RECONNECT_DELAYS = (0.05, 0.1, 0.2, 0.5, 1.0)

Waiter = asyncio.Future[bytes]


class Replies:
    """One channel for all jobs of this process; what is missed while it is down is read from the results."""

    def __init__(self, control: Client, blocking: Client) -> None:
        """Take a client for commands and one without a socket timeout for the subscription."""
        self.channel = keys.replies(uuid4().hex)
        self._control = control
        self._blocking = blocking
        self._waiters: dict[str, Waiter] = {}
        self._live = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Subscribe; returns when replies are heard."""
        self._task = asyncio.create_task(self._listen())
        await self._live.wait()

    async def aclose(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @contextlib.contextmanager
    def waiting(self, job: str) -> Iterator[Waiter]:
        """Expect the reply to a job; enter this before the job is enqueued."""
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._waiters[job] = waiter
        try:
            yield waiter
        finally:
            del self._waiters[job]
            if waiter.done() and not waiter.cancelled():
                waiter.exception()  # an error nobody looked at would be logged by asyncio
            waiter.cancel()

    async def recorded(self, job: str) -> bytes | GatewayError | None:
        """Read the outcome of a job from its results; None while it has none."""
        entries: Any = await self._control.xrevrange(keys.rq_results(job), count=1)
        return wire.read_result(entries[0][1]) if entries else None

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                async with self._blocking.pubsub() as pubsub:
                    await pubsub.subscribe(self.channel)
                    while True:
                        await self._hear(pubsub)
                        failures = 0
            except (RedisError, OSError, TimeoutError) as error:
                if failures == 0:
                    log.warning("replies_lost", error=type(error).__name__)
                await asyncio.sleep(_RECONNECT_DELAYS[min(failures, len(_RECONNECT_DELAYS) - 1)])
                failures += 1

    async def _hear(self, pubsub: PubSub) -> None:
        """Take one message from the subscription.

        Raises:
            TimeoutError: it is silent, even after a ping.
        """
        message = await pubsub.get_message(timeout=_SILENCE)
        if message is None:
            await pubsub.ping()
            message = await pubsub.get_message(timeout=_SILENCE)
        if message is None:
            raise TimeoutError("the subscription is silent")
        if message["type"] == "message":
            self._deliver(*wire.read_frame(message["data"]))
        elif message["type"] == "subscribe":
            # redis-py also subscribes anew by itself; what was published in between is lost.
            await self._catch_up()
            self._live.set()

    async def _catch_up(self) -> None:
        for job in list(self._waiters):
            outcome = await self.recorded(job)
            if outcome is not None:
                self._deliver(job, outcome)

    def _deliver(self, job: str, outcome: bytes | GatewayError) -> None:
        waiter = self._waiters.get(job)
        if waiter is None or waiter.done():
            return
        if isinstance(outcome, GatewayError):
            waiter.set_exception(outcome)
        else:
            waiter.set_result(outcome)
