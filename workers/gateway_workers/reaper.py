"""The jobs of workers that died."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

import structlog

from gateway.queue.records import JobRecords
from gateway.redis import keys
from gateway.redis.coalescer import Coalescer

log = structlog.get_logger()

T = TypeVar("T")

#: Milliseconds that one reaper has a dead worker to itself.
_LOCK = 30_000


class Reaper:
    """Queues the jobs of dead workers again, or fails them so that their callers hear of it at once."""

    def __init__(self, name: str, caller: Coalescer, records: JobRecords, bookkeeping: Executor) -> None:
        """Take the name of the worker that this one works for."""
        self._name = name
        self._caller = caller
        self._records = records
        self._bookkeeping = bookkeeping
        self._unknown: set[str] = set()

    async def sweep(self) -> None:
        """Clean up after every worker whose sign of life is gone.

        Raises:
            redis.exceptions.RedisError: try again.
        """
        names = sorted(name.decode() for name in await self._caller.call("SMEMBERS", keys.WORKERS))
        for name in names:
            if name != self._name and not await self._caller.call("EXISTS", keys.worker(name)):
                await self._reap(name)

    async def _reap(self, name: str) -> None:
        lock = keys.reaper(name)
        if not await self._caller.call("SET", lock, self._name, "NX", "PX", _LOCK):
            return
        try:
            if await self._caller.call("EXISTS", keys.worker(name)):
                return
            fates = await self._in_thread(self._bury, name)
            log.info("worker_reaped", dead=name, **fates)
        finally:
            await self._caller.call("DEL", lock)

    def _bury(self, name: str) -> Counter[str]:
        fates = self._hand_back(name)
        self._records.forget(name)
        return fates

    def _hand_back(self, name: str) -> Counter[str]:
        fates: Counter[str] = Counter(self._records.recover(name, member) for member in self._records.members(name))
        self._records.put_back(name)
        return fates

    async def leave(self) -> None:
        """Hand back what this worker itself still has, because it stops."""
        fates = await self._in_thread(self._hand_back, self._name)
        if fates:
            log.warning("jobs_handed_back", **fates)

    async def recover_unknown(self, running: set[str]) -> None:
        """Recover executions that are this worker's in Redis only: the answer to its start script was lost.

        One that is unknown at two calls in a row is lost; before, its answer may be on the way.
        """
        members = await self._caller.call("SMEMBERS", keys.rq_worker_executions(self._name))
        unknown = {member.decode() for member in members} - running
        for member in unknown & self._unknown:
            fate = await self._in_thread(self._records.recover, self._name, member)
            log.warning("execution_recovered", fate=fate)
        self._unknown = unknown

    async def _in_thread(self, function: Callable[..., T], *arguments: str) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._bookkeeping, function, *arguments)
