"""What other processes call out to the workers."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any

import structlog
from redis.exceptions import RedisError

from gateway.queue.signals import Signal, read_signal
from gateway.redis import keys
from gateway.redis.client import Client
from gateway.redis.subscription import messages
from gateway_workers.ownership import Ownership
from gateway_workers.sessions import SessionPool

log = structlog.get_logger()


class SignalListener:
    """Hears signals and has each done in a task of its own: closing one connection must not hold up other accounts."""

    def __init__(self, blocking: Client, ownership: Ownership, sessions: SessionPool) -> None:
        """Take a client without a socket timeout."""
        self._blocking = blocking
        self._ownership = ownership
        self._sessions = sessions
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Listen until cancelled."""
        first = True
        try:
            async with aclosing(messages(self._blocking, keys.SIGNALS)) as heard:
                async for data in heard:
                    if data is not None:
                        self._do(read_signal(data))
                    elif not first:
                        self._catch_up()
                    first = False
        finally:
            for task in self._tasks:
                task.cancel()

    def _catch_up(self) -> None:
        """What was called out meanwhile is unknown: it may have concerned any account."""
        self._begin(self._sessions.drop_all())
        for signal in (Signal("wake"), *(Signal("kick", account) for account in self._ownership.owned)):
            self._do(signal)

    def _do(self, signal: Signal | None) -> None:
        if signal is not None:
            self._begin(self._ownership.hear(signal))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (RedisError, OSError) as error:
            # The next beat does what a wake was for.
            log.warning("signal_not_followed", error=type(error).__name__)
