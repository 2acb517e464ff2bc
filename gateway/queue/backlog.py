"""What waits in the queues, and what is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from gateway.queue.operations import QUEUES, Lane
from gateway.redis import keys
from gateway.redis.coalescer import Coalescer


class LaneLoad(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs of one lane, in the queue of all workers, in those of single ones, and in the hands of workers.

    Attributes:
        oldest: since when the job waits that waits longest; None when none does.
    """

    waiting: int
    running: int
    oldest: datetime | None

    def wait(self, now: datetime) -> timedelta:
        """Return how long the oldest job has waited."""
        return max(timedelta(), now - self.oldest) if self.oldest is not None else timedelta()


async def backlog(caller: Coalescer, workers: Sequence[str]) -> dict[Lane, LaneLoad]:
    """Look at every lane.

    Args:
        caller: of the control plane.
        workers: those that may have queues of their own.

    Raises:
        redis.exceptions.RedisError: Redis is away.
    """
    loads = await asyncio.gather(*(_load(caller, queue, workers) for queue in QUEUES.values()))
    return dict(zip(QUEUES, loads, strict=True))


async def _load(caller: Coalescer, shared: str, workers: Sequence[str]) -> LaneLoad:
    queues = [shared, *(keys.own_queue(shared, worker) for worker in workers)]
    waiting, taken, running, first = await asyncio.gather(
        asyncio.gather(*(caller.call("LLEN", keys.rq_queue(queue)) for queue in queues)),
        asyncio.gather(*(caller.call("LLEN", keys.taken(worker, shared)) for worker in workers)),
        asyncio.gather(*(caller.call("ZCARD", keys.rq_started(queue)) for queue in queues)),
        asyncio.gather(*(caller.call("LINDEX", keys.rq_queue(queue), 0) for queue in queues)),
    )
    jobs = [keys.rq_job(job.decode()) for job in first if job is not None]
    stamps = await asyncio.gather(*(caller.call("HGET", job, "enqueued_at") for job in jobs))
    since = [datetime.fromisoformat(stamp.decode()) for stamp in stamps if stamp]
    return LaneLoad(waiting=sum(waiting) + sum(taken), running=sum(running), oldest=min(since, default=None))
