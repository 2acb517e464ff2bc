"""Start and finish of a job, each one script."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime, timedelta
from uuid import uuid4

import msgspec

from gateway.queue import wire
from gateway.queue.scripts import FINISH, START
from gateway.redis import keys
from gateway.redis.coalescer import Coalescer

#: Seconds that an execution stays in the started registry without a sign of life (RQ: interval 30 + 60).
EXECUTION_TTL = 90

#: Seconds that RQ keeps the records of a silent worker (RQ: worker_ttl 420 + 60).
WORKER_TTL = 480


class StartedJob(msgspec.Struct, frozen=True):
    """A job that this worker has started.

    Attributes:
        queue: that of all workers, also when it waited in this worker's own.
        timeout: seconds it may run.
        starts: how many times it was started, this time included.
    """

    id: str
    execution: str
    queue: str
    data: bytes
    timeout: float
    result_ttl: int
    meta: wire.Meta
    starts: int
    started_at: datetime

    @property
    def member(self) -> str:
        """Its name in RQ's sets of executions."""
        return f"{self.id}:{self.execution}"

    @property
    def time_limit(self) -> datetime:
        """When it has to be over, whatever its caller wants."""
        return self.started_at + timedelta(seconds=self.timeout)


class NotAliveError(Exception):
    """A worker that was declared dead starts nothing before it has registered again."""


class QueuePausedError(Exception):
    """An operator has paused the queue: its jobs stay where they are."""


async def start(
    caller: Coalescer, *, worker: str, queue: str, count: int, now: datetime, shared_first: bool = False
) -> list[StartedJob]:
    """Start up to `count` jobs of a lane.

    Those come first that the worker took while it waited, then those of its own queue, then those of the queue of all
    workers; `shared_first` turns the last two round.

    Raises:
        NotAliveError: the worker was declared dead.
        QueuePausedError: nothing is started for now.
    """
    queues = [keys.rq_queue(keys.own_queue(queue, worker)), keys.rq_queue(queue)]
    names = (
        keys.worker(worker),
        keys.taken(worker, queue),
        keys.rq_started(queue),
        keys.rq_worker_executions(worker),
        keys.PAUSED,
        *(reversed(queues) if shared_first else queues),
    )
    rows = await START.run(
        caller,
        names,
        *(keys.RQ_PREFIX, count, worker, wire.timestamp(now), now.timestamp()),
        *(EXECUTION_TTL, uuid4().hex[:28], WORKER_TTL, queue),
    )
    if rows is None:
        raise NotAliveError
    if rows == 0:
        raise QueuePausedError
    return [_started(queue, now, *row) for row in rows]


def _started(
    queue: str,
    now: datetime,
    job: bytes,
    execution: bytes,
    data: bytes,
    timeout: bytes,
    result_ttl: bytes,
    meta: bytes,
    starts: int,
) -> StartedJob:
    return StartedJob(
        id=job.decode(),
        execution=execution.decode(),
        queue=queue,
        data=data,
        timeout=float(timeout or 180),
        result_ttl=int(result_ttl or wire.RESULT_TTL),
        meta=wire.read_meta(meta),
        starts=starts,
        started_at=now,
    )


async def finish(caller: Coalescer, job: StartedJob, body: bytes, *, worker: str, now: datetime) -> bool:
    """Record the result of a job and tell its caller; may be repeated.

    Returns:
        False when the job is no longer this worker's: it was declared dead, or this has been done before.
    """
    names = (
        keys.rq_job(job.id),
        keys.rq_execution(job.id, job.execution),
        keys.rq_executions(job.id),
        keys.rq_started(job.queue),
        keys.rq_worker_executions(worker),
        keys.rq_finished(job.queue),
        keys.rq_results(job.id),
        keys.rq_worker(worker),
    )
    done = await FINISH.run(
        caller,
        names,
        *(job.id, job.execution, worker, wire.timestamp(now), now.timestamp(), job.started_at.timestamp()),
        *(job.result_ttl, b64encode(wire.encode_value(body))),
        *(job.meta.reply, wire.success_frame(job.id, body) if job.meta.reply else b""),
    )
    return bool(done)
