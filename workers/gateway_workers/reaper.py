"""What workers that died leave behind: jobs under way, jobs that wait for them, accounts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

import structlog
from redis.exceptions import ResponseError

from gateway.queue.ownership import OwnershipClient
from gateway.queue.records import JobRecords
from gateway.queue.signals import Signal, Signals
from gateway.redis import keys
from gateway.redis.coalescer import Coalescer
from gateway_workers.lanes import WAIT

log = structlog.get_logger()

T = TypeVar("T")

#: Milliseconds that one reaper has a dead worker to itself.
_LOCK = 30_000

#: Beats after which a worker has missed one.
_MISSED = 1.5

#: Seconds between two looks of all workers together at whether every account has an owner.
RECONCILE = 30.0


class Reaper:
    """Queues the jobs of dead workers again, or fails them so that their callers hear of it at once.

    The order matters: first its jobs under way, then those that wait for it, then its accounts. A new owner would
    otherwise be told of jobs that nobody can reach.
    """

    def __init__(
        self,
        name: str,
        caller: Coalescer,
        records: JobRecords,
        bookkeeping: Executor,
        ownership: OwnershipClient,
        signals: Signals,
        *,
        lease: float,
        beat: float,
        reconcile: float = RECONCILE,
    ) -> None:
        """Take the name of the worker that this one works for; seconds as of `Liveness`."""
        self._name = name
        self._caller = caller
        self._records = records
        self._bookkeeping = bookkeeping
        self._ownership = ownership
        self._signals = signals
        self._lease = lease
        self._beat = beat
        self._reconcile = reconcile
        self._unknown: set[str] = set()

    async def sweep(self) -> None:
        """Clean up after every worker whose sign of life is gone, one of this worker's own name included.

        Raises:
            redis.exceptions.RedisError: try again.
        """
        if await self._caller.call("SET", keys.RECONCILED, self._name, "NX", "PX", int(self._reconcile * 1000)):
            repairs = await self._ownership.reconcile()
            if repairs.freed or repairs.struck:
                log.warning("owners_reconciled", freed=repairs.freed, struck=repairs.struck)
        for name in sorted(name.decode() for name in await self._caller.call("SMEMBERS", keys.WORKERS)):
            if await self._gone(name):
                await self._reap(name)
        await self._look_after_departed()

    async def _lives(self, name: str) -> bool:
        return bool(await self._caller.call("EXISTS", keys.worker(name)))

    async def _gone(self, name: str) -> bool:
        """Tell whether a worker gives no signs of life any more, or will not give another one.

        When a process is killed, the kernel ends its connections. Who has missed a beat and has no connection is not
        waited for; one that only sleeps has one.
        """
        rest = int(await self._caller.call("PTTL", keys.worker(name)))
        if rest < 0 or name == self._name or self._lease - rest / 1000 < _MISSED * self._beat:
            return rest < 0
        connection = await self._caller.call("GET", keys.worker_connection(name))
        if connection is None or await self._connected(connection):
            return False
        await self._caller.call("DEL", keys.worker(name))
        log.warning("worker_vanished", worker=name)
        return True

    async def _connected(self, connection: bytes) -> bool:
        try:
            return bool((await self._caller.call("CLIENT", "LIST", "ID", connection)).strip())
        except ResponseError:
            return True  # an operator may forbid the question

    async def _reap(self, name: str) -> None:
        lock = keys.reaper(name)
        if not await self._caller.call("SET", lock, self._name, "NX", "PX", _LOCK):
            holder = await self._caller.call("GET", lock)
            if holder is not None and not await self._lives(holder.decode()):
                await self._caller.call("DEL", lock)  # it died at this; the next sweep takes over
            return
        try:
            if not await self._lives(name):
                await self._bury(name)
        finally:
            await self._caller.call("DEL", lock)

    async def _bury(self, name: str) -> None:
        fates = await self._in_thread(self._recover_all, name)
        waiting = await self._ownership.return_jobs(name)
        accounts = await self._ownership.free(name)
        if waiting is None or accounts is None:
            return  # it was only asleep
        await self._in_thread(self._records.forget, name)
        await self._caller.call("DEL", keys.worker_connection(name))
        await self._caller.call("ZADD", keys.DEPARTED, await self._now(), name)
        log.info("worker_reaped", dead=name, waiting=waiting, accounts=accounts, **fates)
        await self._signals.send(Signal("wake"))

    async def _look_after_departed(self) -> None:
        """Return jobs that Redis gave to workers which were gone already.

        A process that is stopped keeps its connections, and Redis serves them until their waits end.
        """
        departed = await self._caller.call("ZRANGE", keys.DEPARTED, 0, -1)
        for name in departed:
            if await self._ownership.return_jobs(name.decode()):
                log.warning("late_jobs_returned", dead=name.decode())
        if departed:
            await self._caller.call("ZREMRANGEBYSCORE", keys.DEPARTED, "-inf", await self._now() - 2 * WAIT)

    async def _now(self) -> int:
        seconds, _ = await self._caller.call("TIME")
        return int(seconds)

    def _recover_all(self, name: str) -> Counter[str]:
        return Counter(self._records.recover(name, member) for member in self._records.members(name))

    async def leave(self) -> None:
        """Hand back what this worker itself still has, because it stops."""
        fates = await self._in_thread(self._recover_all, self._name)
        await self._ownership.return_jobs(self._name)
        if fates:
            log.warning("jobs_handed_back", **fates)

    async def recover_unknown(self, running: set[str]) -> set[str]:
        """Return the executions that are this worker's in Redis; recover those of which it does not know.

        The answer to its start script was lost then. One that is unknown at two calls in a row is lost; before, its
        answer may be on the way.
        """
        members = await self._caller.call("SMEMBERS", keys.rq_worker_executions(self._name))
        mine = {member.decode() for member in members}
        unknown = mine - running
        for member in unknown & self._unknown:
            fate = await self._in_thread(self._records.recover, self._name, member)
            log.warning("execution_recovered", fate=fate)
        self._unknown = unknown
        return mine

    async def _in_thread(self, function: Callable[..., T], *arguments: str) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._bookkeeping, function, *arguments)
