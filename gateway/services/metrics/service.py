"""Puts the figures of all processes together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import gateway
from gateway.provider import Clock
from gateway.queue.backlog import backlog
from gateway.redis import keys
from gateway.services.metrics.durations import BEYOND, BOUNDS
from gateway.services.metrics.exposition import Metric, Sample, exposition
from gateway.services.overview import OverviewService
from gateway.store.due import DueStore
from gateway.store.metrics import MetricsStore
from gateway.store.pushes import PushStore
from gateway.store.store import Store

Counters = Mapping[tuple[str, ...], float]


class MetricsService:
    """Answers for the whole installation: every process gives the same figures."""

    def __init__(
        self,
        store: Store,
        metrics: MetricsStore,
        overview: OverviewService,
        due: DueStore,
        pushes: PushStore,
        clock: Clock,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._overview = overview
        self._due = due
        self._pushes = pushes
        self._clock = clock

    async def text(self) -> bytes:
        """Return everything in the text format.

        Raises:
            redis.exceptions.RedisError: Redis is away.
        """
        workers = sorted(name.decode() for name in await self._store.control.call("SMEMBERS", keys.WORKERS))
        parts = await asyncio.gather(
            self._accounts(),
            self._subscriptions(),
            self._workers(workers),
            self._jobs(workers),
            self._due_work(),
            self._metrics.counters(),
        )
        *groups, counters = parts
        version = Metric("gateway_info", "gauge", "Always 1.", [Sample({"version": gateway.__version__}, 1)])
        return exposition([version, *(metric for group in groups for metric in group), *_counted(counters)])

    async def _accounts(self) -> list[Metric]:
        states, now = await self._overview.states(), self._clock()
        counts = [Sample({"state": state}, overview.count) for state, overview in states.items()]
        silent = [
            Sample({"state": state}, max(0.0, (now - overview.silent_since).total_seconds()))
            for state, overview in states.items()
            if overview.silent_since is not None
        ]
        words = "Time since the last sign of life of the quietest account in each state."
        return [
            Metric("gateway_accounts", "gauge", "Accounts in each state.", counts),
            Metric("gateway_accounts_silent_seconds", "gauge", words, silent),
        ]

    async def _subscriptions(self) -> list[Metric]:
        counts = await self._pushes.counts(self._clock())
        samples = [Sample({"status": status}, count) for status, count in counts.items()]
        return [Metric("outlook_subscriptions", "gauge", "Accounts whose service calls, or does not.", samples)]

    async def _workers(self, workers: Sequence[str]) -> list[Metric]:
        call = self._store.control.call
        signs, owned, unowned, figures = await asyncio.gather(
            asyncio.gather(*(call("GET", keys.worker(worker)) for worker in workers)),
            asyncio.gather(*(call("SCARD", keys.owned(worker)) for worker in workers)),
            call("SCARD", keys.UNOWNED),
            self._metrics.figures(workers),
        )
        alive = [worker for worker, sign in zip(workers, signs, strict=True) if sign is not None]
        accounts = dict(zip(workers, owned, strict=True))
        states = [Sample({"state": "working"}, signs.count(b"1")), Sample({"state": "stopping"}, signs.count(b"0"))]
        watches = [
            Sample({"worker": worker}, figures[worker]["watches"]) for worker in alive if "watches" in figures[worker]
        ]
        owners = [Sample({"worker": worker}, accounts[worker]) for worker in alive]
        return [
            Metric("gateway_workers", "gauge", "Workers that give signs of life.", states),
            Metric("gateway_worker_accounts", "gauge", "Accounts that each worker owns.", owners),
            Metric("gateway_worker_watches", "gauge", "Mailboxes that each worker watches over a connection.", watches),
            Metric("gateway_accounts_unowned", "gauge", "Accounts that wait for a worker.", [Sample({}, unowned)]),
        ]

    async def _jobs(self, workers: Sequence[str]) -> list[Metric]:
        loads, now = await backlog(self._store.control, workers), self._clock()
        waiting = [Sample({"lane": lane}, load.waiting) for lane, load in loads.items()]
        running = [Sample({"lane": lane}, load.running) for lane, load in loads.items()]
        oldest = [Sample({"lane": lane}, load.wait(now).total_seconds()) for lane, load in loads.items()]
        return [
            Metric("gateway_jobs_waiting", "gauge", "Jobs that wait in queues.", waiting),
            Metric("gateway_jobs_running", "gauge", "Jobs under way.", running),
            Metric("gateway_jobs_oldest_wait_seconds", "gauge", "Time that the oldest waiting job waits.", oldest),
        ]

    async def _due_work(self) -> list[Metric]:
        count, late = await self._due.load(self._clock())
        return [
            Metric("gateway_due_work", "gauge", "Things to do at a time.", [Sample({}, count)]),
            Metric("gateway_due_work_late_seconds", "gauge", "Time that the first is overdue.", [Sample({}, late)]),
        ]


def _counted(counters: Counters) -> list[Metric]:
    events = [Sample({"event": rest[0]}, value) for (name, *rest), value in counters.items() if name == "events"]
    attempts = [
        Sample({"endpoint": rest[0], "outcome": rest[1]}, value)
        for (name, *rest), value in counters.items()
        if name == "webhooks"
    ]
    return [
        Metric("gateway_events_total", "counter", "Events that were logged.", _ordered(events)),
        Metric("gateway_webhook_attempts_total", "counter", "Attempts to deliver an event.", _ordered(attempts)),
        Metric("gateway_sync_seconds", "histogram", "Time that looks at mailboxes took.", _durations(counters, "sync")),
    ]


def _durations(counters: Counters, name: str) -> list[Sample]:
    """Return a histogram for each thing whose durations were counted."""
    samples = []
    for what in sorted({key[1] for key in counters if key[0] == name}):
        labels, total = {"pass": what}, 0.0
        for bound in (*(f"{bound:g}" for bound in BOUNDS), BEYOND):
            total += counters.get((name, what, bound), 0)
            samples.append(Sample({**labels, "le": bound}, total, "_bucket"))
        samples.append(Sample(labels, counters.get((name, what, "sum"), 0), "_sum"))
        samples.append(Sample(labels, total, "_count"))
    return samples


def _ordered(samples: list[Sample]) -> list[Sample]:
    return sorted(samples, key=lambda sample: tuple(sample.labels.values()))
