"""The records of jobs and workers that are not worth a script, changed by RQ's own functions.

Everything here blocks on the network and belongs in a thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any, Literal, NoReturn

import structlog
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import WatchError
from rq import Queue
from rq.defaults import RQ_KEY_PREFIX
from rq.exceptions import NoSuchJobError
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.job_lifecycle import record_job_failure
from rq.registry import FailedJobRegistry, FinishedJobRegistry
from rq.utils import now
from rq.worker import BaseWorker

from gateway.errors import ConfigurationError, ErrorRecord, InvalidRequestError, WorkerLostError
from gateway.queue import wire
from gateway.queue.operations import QUEUES
from gateway.queue.serializer import MessagePackSerializer
from gateway.queue.transitions import EXECUTION_TTL, StartedJob
from gateway.redis import keys

log = structlog.get_logger()

if RQ_KEY_PREFIX != keys.RQ_PREFIX:
    raise ConfigurationError("RQ was imported before gateway.queue and uses other keys")

#: A job that took this many workers down with it is not started again.
MAX_STARTS = 3

Fate = Literal["gone", "requeued", "failed"]


class InertJob(Job):
    """An RQ job that is only a record: the import paths and URLs that it may hold in Redis are never followed."""

    @property
    def success_callback(self) -> None:
        """None, whatever Redis says."""
        return None

    @property
    def failure_callback(self) -> None:
        """None, whatever Redis says."""
        return None

    @property
    def stopped_callback(self) -> None:
        """None, whatever Redis says."""
        return None

    def send_webhooks(self, *_: Any, **__: Any) -> None:
        """Call nobody."""

    def perform(self) -> NoReturn:
        """Refuse; operations are run by the gateway's worker."""
        raise NotImplementedError("operations are run by the gateway's worker")


def queue(name: str, connection: Redis) -> Queue:
    """Return the RQ queue of this name."""
    return Queue(name, connection=connection, serializer=MessagePackSerializer, job_class=InertJob)


def queues_of(worker: str) -> list[str]:
    """Return the names of the queues that a worker serves: those of all workers, then its own."""
    shared = list(QUEUES.values())
    return shared + [keys.own_queue(name, worker) for name in shared]


class JobRecords:
    """What a worker does to RQ's records besides starting and finishing jobs."""

    def __init__(self, worker: BaseWorker) -> None:
        self._worker = worker
        self._redis: Redis = worker.connection

    def fail(self, started: StartedJob, record: ErrorRecord) -> None:
        """Record a failure as RQ does (its retries included) and tell the caller.

        Nothing happens when the job is no longer this worker's.

        Raises:
            redis.exceptions.RedisError: try again.
        """
        members = keys.rq_worker_executions(self._worker.name)
        if not self._redis.sismember(members, started.member):
            return
        try:
            job = InertJob.fetch(started.id, connection=self._redis, serializer=MessagePackSerializer)
        except NoSuchJobError:
            self._redis.srem(members, started.member)
            return
        job.started_at, job.ended_at = started.started_at, now()
        execution = Execution(started.execution, started.id, self._redis, self._worker.name)
        execution.created_at = started.started_at
        retried = job.should_retry
        self._worker.handle_job_failure(
            job, queue(started.queue, self._redis), exc_string=wire.failure_text(record), execution=execution
        )
        if retried:
            return
        if started.meta.reply:
            self._redis.publish(started.meta.reply, wire.failure_frame(started.id, record))

    def beat(self, running: Iterable[StartedJob], busy: bool) -> None:
        """Keep the records of this worker and of what it runs from expiring, and drop what has expired elsewhere."""
        with self._redis.pipeline(transaction=False) as pipeline:
            self._worker.heartbeat(pipeline=pipeline)
            self._worker.set_state("busy" if busy else "idle", pipeline=pipeline)
            for job in running:
                execution = Execution(job.execution, job.id, self._redis, self._worker.name)
                registry = queue(job.queue, self._redis).started_job_registry
                execution.heartbeat(registry, EXECUTION_TTL, pipeline)
            pipeline.execute()
        for name in QUEUES.values():
            # RQ does this every ten minutes; at a thousand calls a second that would be half a million entries.
            FinishedJobRegistry(name, connection=self._redis).cleanup()
            FailedJobRegistry(name, connection=self._redis).cleanup()

    def members(self, worker: str) -> set[str]:
        """Return the executions that Redis says a worker has under way."""
        found: Any = self._redis.smembers(keys.rq_worker_executions(worker))
        return {member.decode() for member in found}

    def recover(self, worker: str, member: str) -> Fate:
        """End an execution that nobody works on any more: its job is queued again or failed.

        It is queued again, in front, when its operation is repeatable and this was not its third start.
        """
        job_id, execution_id = member.split(":")
        executions = keys.rq_worker_executions(worker)
        while True:
            try:
                with self._redis.pipeline() as pipeline:
                    # The worker may be alive after all and finish the job in this moment.
                    pipeline.watch(executions)  # type: ignore[no-untyped-call]
                    if not pipeline.sismember(executions, member):
                        return "gone"
                    job = self._job_of(job_id, worker)
                    again = job is not None and self._repeatable(job)
                    pipeline.multi()
                    fate = self._end(pipeline, worker, job_id, execution_id, job, again)
                    pipeline.execute()
                    return fate
            except WatchError:
                continue

    def _end(
        self, pipeline: Pipeline, worker: str, job_id: str, execution_id: str, job: Job | None, again: bool
    ) -> Fate:
        execution = Execution(execution_id, job_id, self._redis, worker)
        if job is None:
            pipeline.delete(execution.key)
            pipeline.srem(execution.worker_executions_key, execution.composite_key)
            return "gone"
        execution.delete(job, pipeline)
        if again:
            home = queue(job.origin, self._redis)
            home._enqueue_job(job, pipeline=pipeline, at_front=True)  # noqa: SLF001 (RQ has no public way in a transaction)
            pipeline.expire(job.key, wire.QUEUED_TTL)
            return "requeued"
        record = WorkerLostError("the worker that ran the job was lost").record()
        record_job_failure(job, wire.failure_text(record), pipeline)
        meta = wire.read_meta(MessagePackSerializer.dumps(job.meta))
        if meta.reply:
            pipeline.publish(meta.reply, wire.failure_frame(job_id, record))
        return "failed"

    def _job_of(self, job_id: str, worker: str) -> Job | None:
        """Return the job if it still runs at that worker."""
        try:
            job = InertJob.fetch(job_id, connection=self._redis, serializer=MessagePackSerializer)
        except NoSuchJobError:
            return None
        started = job.get_status(refresh=False) == JobStatus.STARTED
        return job if started and job.worker_name == worker else None

    def _repeatable(self, job: Job) -> bool:
        try:
            operation = wire.read_call(job.data).operation
        except InvalidRequestError:
            return False
        return operation.repeatable and int(self._redis.hget(job.key, "starts") or 0) < MAX_STARTS

    def forget(self, worker: str) -> None:
        """Remove RQ's records of a worker that is dead; nothing happens when it has come back."""
        key, sign = keys.rq_worker(worker), keys.worker(worker)
        with contextlib.suppress(WatchError), self._redis.pipeline() as pipeline:
            pipeline.watch(sign)  # type: ignore[no-untyped-call]
            if pipeline.exists(sign):
                return
            pipeline.multi()
            pipeline.srem(keys.RQ_WORKERS, key)
            for name in queues_of(worker):
                pipeline.srem(keys.rq_workers_of(name), key)
            pipeline.delete(key, keys.rq_worker_executions(worker))
            pipeline.srem(keys.WORKERS, worker)
            pipeline.execute()
