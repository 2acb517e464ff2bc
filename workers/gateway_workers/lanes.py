"""Fetching jobs of one lane, as many as it has slots for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from redis.exceptions import RedisError

from gateway.provider import Clock
from gateway.queue import transitions
from gateway.queue.transitions import NotAliveError, QueuePausedError, StartedJob
from gateway.redis import keys
from gateway.redis.client import Client
from gateway.redis.coalescer import Coalescer

log = structlog.get_logger()

#: Jobs started at a time, so that one worker does not take all of them while others have nothing to do.
_BATCH = 16

#: Seconds of one blocking wait for a job; its only purpose is that a dead connection is noticed.
WAIT = 15

#: Seconds between two looks at whether a paused queue is still paused.
PAUSE_LOOK = 0.5

#: One in so many times the queue of all workers comes first: a full queue of its own must not shut out the other.
_SHARED_FIRST = 8

_RETRY_DELAYS = (0.05, 0.1, 0.2, 0.5, 1.0)


class LaneFetcher:
    """Starts the jobs of one lane: those for the accounts that this worker owns, and those for any worker.

    Each lane has its own, so that no lane waits for another's slots.
    """

    def __init__(
        self,
        queue: str,
        slots: int,
        run: Callable[[StartedJob], Awaitable[None]],
        *,
        worker: str,
        caller: Coalescer,
        blocking: Client,
        clock: Clock,
    ) -> None:
        """Prepare; `queue` is that of all workers, `run` is given each started job in a task of its own."""
        self.tasks: set[asyncio.Task[None]] = set()
        self._queue = queue
        self._slots = slots
        self._run = run
        self._worker = worker
        self._caller = caller
        self._blocking = blocking
        self._clock = clock
        self._stopping = False
        self._room = asyncio.Event()
        self._sources = [keys.rq_queue(keys.own_queue(queue, worker)), keys.rq_queue(queue)]
        self._waits: dict[str, asyncio.Future[Any]] = {}
        self._turn = 0

    async def fetch(self) -> None:
        """Fetch until `stop`."""
        failures = 0
        while not self._stopping:
            try:
                if not await self._start_jobs():
                    await self._wait_for_job()
                failures = 0
            except QueuePausedError:
                failures = 0
                await self._wait_while_paused()
            except (RedisError, OSError, NotAliveError) as error:
                if failures == 0:
                    log.warning("fetching_failed", queue=self._queue, error=type(error).__name__)
                await asyncio.sleep(_RETRY_DELAYS[min(failures, len(_RETRY_DELAYS) - 1)])
                failures += 1

    def stop(self) -> None:
        """Take no more jobs; those under way go on."""
        self._stopping = True
        self._room.set()
        self._stop_waiting()

    async def _start_jobs(self) -> bool:
        """Start what there is room for; False when the queue had less than that."""
        while len(self.tasks) >= self._slots and not self._stopping:
            # A wait that goes on would take a job for which there is no room here, but perhaps elsewhere.
            self._stop_waiting()
            self._room.clear()
            await self._room.wait()
        if self._stopping:
            return True
        count = min(self._slots - len(self.tasks), _BATCH)
        self._turn = (self._turn + 1) % _SHARED_FIRST
        jobs = await transitions.start(
            self._caller,
            worker=self._worker,
            queue=self._queue,
            count=count,
            now=self._clock(),
            shared_first=self._turn == 0,
        )
        for job in jobs:
            task = asyncio.ensure_future(self._run(job))
            self.tasks.add(task)
            task.add_done_callback(self._done)
        return len(jobs) == count

    def _done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        self._room.set()
        if not task.cancelled() and task.exception() is not None:
            log.error("job_task_failed", queue=self._queue, error=type(task.exception()).__name__)

    async def _wait_for_job(self) -> None:
        """Wait until a queue has a job; it is then in this worker's own list, where a reaper finds it.

        Each queue has a wait of its own, which goes on while another's ends.
        """
        if self._stopping:
            return
        for source in self._sources:
            if source not in self._waits:
                taken = keys.taken(self._worker, self._queue)
                self._waits[source] = asyncio.ensure_future(self._blocking.blmove(source, taken, WAIT))
        try:
            await asyncio.wait(self._waits.values(), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._stop_waiting()
            raise
        for source, wait in list(self._waits.items()):
            if wait.done():
                del self._waits[source]
                if not wait.cancelled():
                    wait.result()

    async def _wait_while_paused(self) -> None:
        """Leave jobs where they are for a moment, or until `stop`."""
        self._stop_waiting()
        self._room.clear()
        if not self._stopping:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._room.wait(), PAUSE_LOOK)

    def _stop_waiting(self) -> None:
        for wait in self._waits.values():
            wait.cancel()
