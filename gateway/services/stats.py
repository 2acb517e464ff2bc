"""The state of the installation for `/v1/stats`: what `/metrics` tells, in the form of the wire API."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec

import gateway
from gateway.model.queue import Queue
from gateway.model.stats import ConnectionStats, QueueStats, RedisWarning, Stats
from gateway.provider import Clock
from gateway.redis import keys
from gateway.services.overview import OverviewService
from gateway.services.queues import QueueService
from gateway.store.metrics import MetricsStore
from gateway.store.store import Store


class StatsService:
    """Answers for the whole installation: every process gives the same figures."""

    def __init__(
        self, store: Store, metrics: MetricsStore, overview: OverviewService, queues: QueueService, clock: Clock
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._overview = overview
        self._queues = queues
        self._clock = clock

    async def stats(self, window: timedelta) -> Stats:
        """Return everything, and the events of the time `window` until now.

        Raises:
            redis.exceptions.RedisError: Redis is away.
        """
        call = self._store.control.call
        began = time.perf_counter()
        await call("PING")
        ping = round((time.perf_counter() - began) * 1e6)
        info, states, queues, counters, unowned = await asyncio.gather(
            call("INFO"),
            self._overview.states(),
            self._queues.all(),
            self._metrics.events(self._clock() - window),
            call("SCARD", keys.UNOWNED),
        )
        counts: dict[str, int] = {state: overview.count for state, overview in states.items()}
        return Stats(
            version=gateway.__version__,
            accounts=sum(counts.values()),
            node=platform.python_version(),
            redis=str(info["redis_version"]),
            redis_software=str(info.get("server_name", "redis")),
            redis_cluster=info.get("redis_mode") == "cluster",
            redis_warnings=_warnings(info),
            redis_ping=ping,
            arch=platform.machine(),
            build={"version": gateway.__version__},
            queues={name: _queue(queue) for name, queue in queues.items()},
            connections=msgspec.convert({**counts, "unassigned": unowned}, ConnectionStats),
            counters={f"events:{event}": count for event, count in counters.items()},
        )


def _queue(queue: Queue) -> QueueStats:
    jobs = queue.jobs
    return QueueStats(
        active=jobs.active,
        delayed=jobs.delayed,
        paused=jobs.paused,
        waiting=jobs.waiting,
        is_paused=queue.paused,
        total=jobs.active + jobs.delayed + jobs.paused + jobs.waiting,
    )


def _warnings(info: Mapping[str, Any]) -> tuple[RedisWarning, ...]:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return ()
    details = (f"maxmemory-policy is {policy}; it must be noeviction, as nothing stored may get lost.",)
    return (RedisWarning(key="eviction", color="danger", title="Redis may drop data", details=details),)
