"""Passes on what this worker counts in its memory."""

from __future__ import annotations

from redis.exceptions import RedisError

from gateway.services.container import Services
from gateway_workers.watching import Watchers, WatchTools


async def report_figures(services: Services, worker: str, tools: WatchTools, watchers: Watchers) -> None:
    """Report figures every few seconds until cancelled."""
    while True:
        await tools.sleep(tools.periods.report)
        counted = tools.durations.take()
        try:
            await services.metrics_store.report(worker, {"watches": watchers.connections}, counted)
        except (RedisError, OSError):
            tools.durations.add(counted)
