"""The worker process: an RQ worker with one event loop and many jobs at once."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
import structlog
import uvloop
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq.timeouts import BaseDeathPenalty
from rq.worker import BaseWorker

from gateway.provider import Clock, utc_now
from gateway.queue.operations import QUEUES, Lane
from gateway.queue.ownership import OwnershipClient
from gateway.queue.records import InertJob, JobRecords, queue, queues_of
from gateway.queue.serializer import MessagePackSerializer
from gateway.queue.signals import Signals
from gateway.queue.streams import STALL
from gateway.redis.client import Client, open_client
from gateway.redis.coalescer import Coalescer
from gateway_workers.context import Handler
from gateway_workers.execution import JobRunner, OnOutcome, ignore_outcome
from gateway_workers.lanes import LaneFetcher
from gateway_workers.liveness import BEAT, LEASE, Liveness
from gateway_workers.ownership import Listener, Ownership
from gateway_workers.reaper import RECONCILE, Reaper
from gateway_workers.sessions import SessionPool
from gateway_workers.signals import SignalListener

log = structlog.get_logger()

T = TypeVar("T")

#: How often a job is told to end when a worker stops: a library may swallow a cancellation.
_CANCELLATIONS = 5


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much a worker does at once, and how long it waits.

    Attributes:
        slots: jobs under way, by lane; much larger than `threads`, because most of them wait for something.
        threads: for blocking libraries.
        grace: seconds that running jobs have to finish when the worker is stopped.
        lease, beat: seconds, see `Liveness`.
        records_beat: seconds between signs of life in RQ's own records.
        stall: seconds that a stream may stand still.
        reconcile: seconds, see `Reaper`.
    """

    slots: Mapping[Lane, int] = msgspec.field(
        default_factory=lambda: {"read": 256, "send": 32, "background": 32, "webhook": 512, "export": 4}
    )
    threads: int = 32
    grace: float = 25.0
    lease: float = LEASE
    beat: float = BEAT
    records_beat: float = 15.0
    stall: float = STALL
    reconcile: float = RECONCILE


class _NoDeathPenalty(BaseDeathPenalty):
    """RQ's own needs SIGALRM and the main thread; deadlines are `asyncio.timeout` here."""

    def setup_death_penalty(self) -> None:
        """Do nothing."""

    def cancel_death_penalty(self) -> None:
        """Do nothing."""


class _SessionListener(Listener):
    """Closes the warm sessions of accounts that others serve."""

    def __init__(self, sessions: SessionPool) -> None:
        self.on_lost = self.on_drop = sessions.drop  # type: ignore[method-assign]


class MailWorker(BaseWorker):
    """Serves all lanes. It is an RQ worker to RQ's tools, but runs only operations of the allowlist.

    Attributes:
        ownership: the accounts that this worker owns.
    """

    death_penalty_class = _NoDeathPenalty
    job_class = InertJob

    def __init__(
        self,
        url: str,
        handlers: Mapping[str, Handler],
        sessions: SessionPool,
        *,
        name: str | None = None,
        limits: Limits | None = None,
        listeners: Iterable[Listener] = (),
        on_outcome: OnOutcome = ignore_outcome,
        clock: Clock = utc_now,
    ) -> None:
        """Prepare; nothing is fetched before `work` or `run`.

        Args:
            url: of the control plane's Redis.
            handlers: operation name -> handler.
            sessions: closed by this worker when it stops.
            name: letters, digits, ``_`` and ``-``, unique among workers; random by default.
            limits: see `Limits`.
            listeners: told of the accounts that this worker owns.
            on_outcome: told of every job of an account and its error, before the caller is.
            clock: aware UTC.

        Raises:
            redis.exceptions.RedisError: Redis is away.
        """
        # RQ's calls are short; redis-py's own ten retries would hold a thread for a minute while Redis is away.
        connection = Redis.from_url(url, socket_timeout=10, socket_connect_timeout=5, retry=Retry(NoBackoff(), 0))
        name = name or uuid4().hex
        queues = [queue(served, connection) for served in queues_of(name)]
        super().__init__(queues, name=name, connection=connection, serializer=MessagePackSerializer)
        self.limits = limits or Limits()
        self.sessions = sessions
        self._url = url
        self._client = open_client(url)
        self.caller = Coalescer(self._client)
        self.ownership = Ownership(
            name,
            OwnershipClient(self.caller),
            Signals(self.caller),
            listeners=(_SessionListener(sessions), *listeners),
        )
        self.handlers = handlers
        self.on_outcome = on_outcome
        self.clock = clock
        self._stop = asyncio.Event()

    def _set_connection(self, connection: Redis) -> Redis:
        """Keep the timeouts; RQ would set 415 s, for blocking calls that this worker does not make with it."""
        return connection

    def clean_group_registries(self) -> None:
        """Do nothing: RQ reads the jobs of groups with pickle, and the gateway has no groups."""

    def work(self, *_: Any, **__: Any) -> bool:
        """Work until SIGTERM or SIGINT; RQ's options do not apply."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._work())
        return True

    def stop(self) -> None:
        """Take no more jobs, finish those under way as far as they can, and end `run`."""
        self._stop.set()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        await self.run()

    async def run(self) -> None:
        """Work until `stop`."""
        loop = asyncio.get_running_loop()
        # asyncio.to_thread uses it; bookkeeping has threads of its own, so that stuck libraries cannot hold it up.
        loop.set_default_executor(ThreadPoolExecutor(self.limits.threads, thread_name_prefix="job"))
        blocking, streams = open_client(self._url, blocking=True), open_client(self._url, blocking=True)
        with ThreadPoolExecutor(2, thread_name_prefix="records") as bookkeeping:
            try:
                await _Shift(self, blocking, streams, bookkeeping).run(self._stop)
            finally:
                await self.sessions.aclose()
                for opened in (self._client, blocking, streams):
                    await opened.aclose()
                self.connection.close()


class _Shift:
    """The parts of a worker between start and stop."""

    def __init__(
        self,
        worker: MailWorker,
        blocking: Client,
        streams: Client,
        bookkeeping: ThreadPoolExecutor,
    ) -> None:
        limits, caller = worker.limits, worker.caller
        self._worker = worker
        self._ownership = worker.ownership
        self._bookkeeping = bookkeeping
        self._records = JobRecords(worker)
        self._reaper = Reaper(
            worker.name,
            caller,
            self._records,
            bookkeeping,
            OwnershipClient(caller),
            Signals(caller),
            lease=limits.lease,
            beat=limits.beat,
            reconcile=limits.reconcile,
        )
        self._runner = JobRunner(
            worker.handlers,
            worker.sessions,
            worker=worker.name,
            caller=caller,
            streams=streams,
            records=self._records,
            bookkeeping=bookkeeping,
            clock=worker.clock,
            stall=limits.stall,
            certain=self._certain,
            claim=self._ownership.claim,
            on_outcome=worker.on_outcome,
        )
        self._lanes = [
            LaneFetcher(
                QUEUES[lane],
                slots,
                self._runner.run,
                worker=worker.name,
                caller=caller,
                blocking=blocking,
                clock=worker.clock,
            )
            for lane, slots in limits.slots.items()
        ]
        self._liveness = Liveness(
            worker.name,
            caller,
            self._reaper,
            on_lost=self._lost,
            on_beat=self._beaten,
            lease=limits.lease,
            beat=limits.beat,
        )
        self._signals = SignalListener(blocking, self._ownership, worker.sessions)
        self._recorded_at = 0.0
        self._taken: set[str] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""
        await self._liveness.outlive_namesake()
        await self._reaper.sweep()
        await self._liveness.register()
        await self._in_thread(self._worker.register_birth)
        self._recorded_at = asyncio.get_running_loop().time()
        await self._ownership.beat()
        log.info("worker_started", worker=self._worker.name)
        beside = [asyncio.create_task(self._liveness.run()), asyncio.create_task(self._signals.run())]
        fetching = [asyncio.create_task(lane.fetch()) for lane in self._lanes]
        try:
            await _until(stop, *beside, *fetching)
            await self._hand_over(fetching)
            await self._finish_jobs()
        finally:
            for task in (*beside, *fetching):
                task.cancel()
            await asyncio.gather(*beside, *fetching, return_exceptions=True)
        await self._leave()

    async def _hand_over(self, fetching: list[asyncio.Task[None]]) -> None:
        """Let others take over at once, while the jobs under way come to their end here."""
        try:
            await self._liveness.retire()
            for lane in self._lanes:
                lane.stop()
            await asyncio.gather(*fetching)
            await self._ownership.release_all()
        except (RedisError, OSError) as error:
            # They take over as after a death.
            log.warning("hand_over_failed", worker=self._worker.name, error=type(error).__name__)

    async def _leave(self) -> None:
        try:
            await self._reaper.leave()
            await self._liveness.withdraw()
            await self._in_thread(self._worker.register_death)
        except (RedisError, OSError) as error:
            # Another worker cleans up, as after a death.
            log.warning("worker_left_unregistered", worker=self._worker.name, error=type(error).__name__)
        else:
            log.info("worker_stopped", worker=self._worker.name)

    async def _finish_jobs(self) -> None:
        late = {task for lane in self._lanes for task in lane.tasks}
        wait = self._worker.limits.grace
        for _ in range(1 + _CANCELLATIONS):
            if not late:
                return
            _, late = await asyncio.wait(late, timeout=wait)
            for task in late:
                task.cancel()
            wait = 1.0
        if late:
            log.error("jobs_do_not_end", worker=self._worker.name, jobs=len(late))

    async def _lost(self) -> None:
        """Others serve this worker's accounts and jobs by now: end everything that was begun for them."""
        mine = await self._in_thread(self._records.members, self._worker.name)
        taken = set(self._runner.running) - mine
        self._runner.abandon(taken)
        log.warning("lost_to_others", worker=self._worker.name, accounts=len(self._ownership.owned), jobs=len(taken))
        await asyncio.gather(self._ownership.lost(), self._worker.sessions.drop_all())
        await self._in_thread(self._register_again)

    def _register_again(self) -> None:
        with contextlib.suppress(ValueError):  # RQ's records may have outlived the sign of life
            self._worker.register_birth()  # type: ignore[no-untyped-call]

    async def _beaten(self) -> None:
        self._worker.sessions.close_idle()
        await self._ownership.beat()
        await self._compare_jobs()
        now = asyncio.get_running_loop().time()
        if now - self._recorded_at < self._worker.limits.records_beat:
            return
        self._recorded_at = now
        running = list(self._runner.running.values())
        await self._in_thread(self._records.beat, running, bool(running))
        if self._worker.should_run_maintenance_tasks:
            await self._in_thread(self._worker.run_maintenance_tasks)

    async def _compare_jobs(self) -> None:
        """Recover what runs only in Redis, and break off what runs only here."""
        running = set(self._runner.running)
        taken = running - await self._reaper.recover_unknown(running)
        # One that is missing for the first time may just have ended.
        self._runner.abandon(taken & self._taken)
        self._taken = taken

    async def _certain(self) -> None:
        await self._liveness.certain()

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._bookkeeping, function, *arguments)


async def _until(stop: asyncio.Event, *tasks: asyncio.Task[None]) -> None:
    """Wait for `stop`; a task that ends before takes the worker down with it, for without it the worker is no use."""
    stopping = asyncio.create_task(stop.wait())
    try:
        ended, _ = await asyncio.wait((stopping, *tasks), return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
    finally:
        stopping.cancel()
