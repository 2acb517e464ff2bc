"""What the handler of an operation is given."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, TypeAlias

import msgspec
import structlog

from gateway.provider import Session
from gateway.queue.operations import Operation
from gateway.queue.streams import StreamWriter
from gateway_workers.sessions import SessionPool


class JobContext:
    """One run of one job.

    Attributes:
        account: id of the account; empty for operations without one.
        job: id of the job.
        worker: name of the worker.
        operation: what was asked for.
        beside: it may be done at the same time as other jobs of the account.
        deadline: when the job is ended by force, aware UTC.
        answer_by: when its caller no longer waits, in seconds of `time.monotonic`.
        sessions: all sessions of this worker; `session` is the one for this job.
    """

    def __init__(
        self,
        *,
        account: str,
        job: str,
        worker: str,
        operation: Operation,
        beside: bool,
        deadline: datetime,
        answer_by: float,
        sessions: SessionPool,
        writer: StreamWriter,
        extend: Callable[[], None],
        lengthen: Callable[[float], None],
    ) -> None:
        """Bind a job; `extend` is called whenever the stream has moved on, `lengthen` with more seconds to run."""
        self.account = account
        self.job = job
        self.worker = worker
        self.operation = operation
        self.beside = beside
        self.deadline = deadline
        self.answer_by = answer_by
        self.sessions = sessions
        self.session_reused = False
        self.streamed = False
        self._writer = writer
        self._extend = extend
        self._lengthen = lengthen

    @cached_property
    def log(self) -> structlog.stdlib.BoundLogger:
        """A logger that knows job, operation and account."""
        logger: structlog.stdlib.BoundLogger = structlog.get_logger()
        return logger.bind(job=self.job, operation=self.operation.name, account=self.account)

    @property
    def may_repeat(self) -> bool:
        """Whether running the handler a second time does no harm."""
        return self.operation.repeatable or (self.operation.streams and not self.streamed)

    def allow(self, seconds: float) -> None:
        """Let the job run so much longer, before its session is leased: what it has to move is large."""
        self.deadline += timedelta(seconds=seconds)
        self.answer_by += seconds
        self._lengthen(seconds)

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Use the account's session of this operation's lane; errors as of `SessionPool.lease`."""
        lane, verify, lasting = self.operation.session_lane, not self.may_repeat, self.operation.streams
        async with self.sessions.lease(self.account, lane, verify=verify, beside=self.beside, lasting=lasting) as lease:
            self.session_reused = lease.reused
            lease.session.deadline = self.answer_by
            try:
                yield lease.session
            finally:
                lease.session.deadline = None
                if self.operation.changes_mailboxes:
                    # They remember what mailboxes there are, and have some selected.
                    self.sessions.drop_beside(self.account)

    async def stream(self, head: msgspec.Struct, chunks: AsyncIterator[bytes]) -> None:
        """Answer a streaming operation: the head, then the octets as fast as the caller takes them.

        Raises:
            DeadlineError: the caller has gone, or takes nothing.
        """
        self.streamed = True
        await self._writer.copy(head, chunks, self._extend)


Handler: TypeAlias = Callable[[JobContext, Any], Awaitable[msgspec.Struct | None]]
