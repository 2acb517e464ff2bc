"""Passes on what this worker counts in its memory."""

from __future__ import annotations

from redis.exceptions import RedisError

from gateway.services.container import Services
from gateway_workers.sessions import SessionPool
from gateway_workers.watching import Watchers, WatchTools


async def report_figures(
    services: Services, worker: str, tools: WatchTools, watchers: Watchers, pool: SessionPool
) -> None:
    """Report figures and connections every few seconds until cancelled."""
    held: dict[str, int] = {}
    while True:
        await tools.sleep(tools.periods.report)
        counted, holds = tools.durations.take(), dict(+(watchers.by_account + pool.mail_connections))
        try:
            await services.metrics_store.report(worker, {"watches": watchers.connections}, counted)
        except (RedisError, OSError):
            tools.durations.add(counted)
            continue
        try:
            await services.signs.hold(worker, holds, held)
            held = holds
        except (RedisError, OSError):
            held = {}
