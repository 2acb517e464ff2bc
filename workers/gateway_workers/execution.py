"""One job, from its octets to the recorded outcome."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Executor
from datetime import timedelta
from typing import TypeAlias

import msgspec
import structlog
from redis.exceptions import RedisError

from gateway.errors import ConnectError, DeadlineError, ErrorRecord, GatewayError, ServiceUnavailableError
from gateway.provider import Clock
from gateway.queue import transitions, wire
from gateway.queue.records import JobRecords
from gateway.queue.streams import StreamWriter
from gateway.queue.transitions import StartedJob
from gateway.redis import UNREACHABLE
from gateway.redis.client import Client
from gateway.redis.coalescer import Coalescer
from gateway_workers.context import Handler, JobContext
from gateway_workers.sessions import SessionPool

log = structlog.get_logger()

OnOutcome: TypeAlias = Callable[[str, BaseException | None], Awaitable[None]]
Claim: TypeAlias = Callable[[str], Awaitable[object]]

_encode = msgspec.json.Encoder().encode

#: Seconds that the account's bookkeeping may hold up a reply.
_OUTCOME_TIMEOUT = 5.0

#: Seconds between attempts to record an outcome while Redis is away.
_RETRY_DELAYS = (0.1, 0.2, 0.5, 1.0)


async def ignore_outcome(account: str, error: BaseException | None) -> None:
    """Do nothing with the outcome of a job."""


class JobRunner:
    """Runs jobs by the handlers of their operations."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        sessions: SessionPool,
        *,
        worker: str,
        caller: Coalescer,
        streams: Client,
        records: JobRecords,
        bookkeeping: Executor,
        clock: Clock,
        stall: float,
        certain: Callable[[], Awaitable[None]],
        claim: Claim,
        on_outcome: OnOutcome = ignore_outcome,
    ) -> None:
        """Bind everything a job needs.

        Args:
            handlers: operation name -> handler; an operation without one is refused.
            sessions: of this worker.
            worker: its name.
            caller: for the scripts.
            streams: a client without a socket timeout.
            records: for failures.
            bookkeeping: where `records` runs; handlers must not be able to fill it.
            clock: aware UTC.
            stall: how long a stream may stand still, in seconds.
            certain: returns when this worker knows that it is not taken for dead, see `Liveness`.
            claim: called with the account before a handler that works on its mail: nobody may own it so far.
            on_outcome: told of every job of an account, before its caller is.
        """
        self.running: dict[str, StartedJob] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._handlers = handlers
        self._sessions = sessions
        self._worker = worker
        self._caller = caller
        self._streams = streams
        self._records = records
        self._bookkeeping = bookkeeping
        self._clock = clock
        self._stall = stall
        self._certain = certain
        self._claim = claim
        self._on_outcome = on_outcome

    async def run(self, job: StartedJob) -> None:
        """Run one started job and record what came of it; cancelled, it leaves the job for somebody else."""
        self.running[job.member] = job
        task = asyncio.current_task()
        assert task is not None
        self._tasks[job.member] = task
        try:
            await self._record(job, await self._outcome(job))
        finally:
            del self.running[job.member], self._tasks[job.member]

    def abandon(self, members: Iterable[str]) -> None:
        """Break off jobs that others have by now."""
        for member in members:
            if member in self._tasks:
                self._tasks[member].cancel()

    async def _outcome(self, job: StartedJob) -> bytes | ErrorRecord:
        try:
            call = wire.read_call(job.data)
        except GatewayError as error:
            return error.record()
        try:
            outcome: bytes | ErrorRecord = _encode(await self._perform(job, call))
            failure: Exception | None = None
        except GatewayError as error:
            outcome, failure = error.record(), error
        except UNREACHABLE as error:
            log.warning("job_without_redis", job=job.id, error=type(error).__name__)
            failure = ServiceUnavailableError("the gateway cannot reach its state", code="Unhealthy")
            outcome = failure.record()
        except Exception as error:  # noqa: BLE001 (whatever a handler raises, its caller gets an answer)
            self._log_crash(job, error)
            crash = GatewayError("the operation failed unexpectedly", code="InternalError")
            outcome, failure = crash.record(), error
        if call.account:
            await self._tell_account(call.account, failure)
        return outcome

    async def _perform(self, job: StartedJob, call: wire.Call) -> msgspec.Struct | None:
        handler = self._handlers.get(call.operation.name)
        if handler is None:
            raise GatewayError("this worker cannot run the operation", code="UnknownOperation")
        left = self._time_left(job)
        if left <= 0:
            raise DeadlineError("the caller has gone before the job was started", job=job.id)
        try:
            async with asyncio.timeout(left) as scope:
                await self._certain()
                if call.account and call.operation.routed:
                    await self._claim_account(call.account)
                context = self._context(job, call, left, scope)
                return await _with_second_attempt(handler, context, call.arguments)
        except TimeoutError:
            if not scope.expired():
                raise
            raise DeadlineError("the operation took too long", job=job.id) from None

    async def _claim_account(self, account: str) -> None:
        try:
            await self._claim(account)
        except (RedisError, OSError) as error:
            # The job can be done all the same, and the account is claimed another time.
            log.warning("account_not_claimed", account=account, error=type(error).__name__)

    def _time_left(self, job: StartedJob) -> float:
        now = self._clock()
        left = (job.time_limit - now).total_seconds()
        if job.meta.deadline is None:
            return left
        return min(left, job.meta.deadline + wire.GRACE - now.timestamp())

    def _context(self, job: StartedJob, call: wire.Call, left: float, scope: asyncio.Timeout) -> JobContext:
        loop = asyncio.get_running_loop()
        latest = loop.time() + job.timeout

        def extend() -> None:
            scope.reschedule(min(loop.time() + 2 * self._stall, latest))

        def lengthen(seconds: float) -> None:
            if (ends := scope.when()) is not None:
                scope.reschedule(ends + seconds)

        return JobContext(
            account=call.account,
            job=job.id,
            worker=self._worker,
            operation=call.operation,
            beside=call.operation.beside and not call.arguments.changes_mail,
            deadline=self._clock() + timedelta(seconds=left),
            answer_by=loop.time() + left - wire.GRACE,
            sessions=self._sessions,
            writer=StreamWriter(self._streams, job.id, stall=self._stall),
            extend=extend,
            lengthen=lengthen,
        )

    async def _tell_account(self, account: str, failure: BaseException | None) -> None:
        try:
            async with asyncio.timeout(_OUTCOME_TIMEOUT):
                await self._on_outcome(account, failure)
        except Exception as error:  # noqa: BLE001 (the account's bookkeeping must not cost the caller the answer)
            log.warning("outcome_not_noted", account=account, error=type(error).__name__)

    async def _record(self, job: StartedJob, outcome: bytes | ErrorRecord) -> None:
        attempt = 0
        while True:
            try:
                if isinstance(outcome, ErrorRecord):
                    loop = asyncio.get_running_loop()
                    return await loop.run_in_executor(self._bookkeeping, self._records.fail, job, outcome)
                now = self._clock()
                if not await transitions.finish(self._caller, job, outcome, worker=self._worker, now=now):
                    log.info("result_refused", job=job.id)
                return None
            except (RedisError, OSError) as error:
                if attempt == 0:
                    log.warning("outcome_not_recorded", job=job.id, error=type(error).__name__)
                await asyncio.sleep(_RETRY_DELAYS[min(attempt, len(_RETRY_DELAYS) - 1)])
                attempt += 1

    def _log_crash(self, job: StartedJob, error: Exception) -> None:
        """Log where it happened; the text of a foreign exception may quote mail."""
        frames = traceback.extract_tb(error.__traceback__)[-6:]
        places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        log.error("job_crashed", job=job.id, error=type(error).__name__, places=places)


async def _with_second_attempt(
    handler: Handler, context: JobContext, arguments: msgspec.Struct
) -> msgspec.Struct | None:
    """Run a handler, and once more if the warm connection it was given turned out to be dead."""
    try:
        return await handler(context, arguments)
    except ConnectError:
        if not (context.session_reused and context.may_repeat):
            raise
    return await handler(context, arguments)
