"""The worker process: services, warm sessions, handlers, and the periodic work beside them."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial

from gateway.services.container import build_services
from gateway.settings import Settings
from gateway_workers.figures import report_figures
from gateway_workers.maintenance import queue_due_work
from gateway_workers.operations import handlers
from gateway_workers.operations.accounts import judge
from gateway_workers.sessions import SessionPool
from gateway_workers.watching import Periods, Watchers, watch_tools
from gateway_workers.worker import MailWorker


async def run_worker(
    settings: Settings, stop: asyncio.Event, *, name: str | None = None, periods: Periods | None = None
) -> None:
    """Work until `stop` is set, then finish what is under way.

    Args:
        settings: of this process.
        stop: ends the work.
        name: of the worker, unique among workers; random by default.
        periods: times of watching.

    Raises:
        ConfigurationError: the installation cannot work like this.
    """
    services = build_services(settings)
    if not await services.start_unless(stop, settings):
        return
    pool = SessionPool(services.open_session)
    url = settings.broker_url or settings.redis_url
    tools = watch_tools(services, lambda: pool.busy, periods=periods)
    watchers = Watchers(tools)
    worker = MailWorker(
        url,
        handlers(services, watchers),
        pool,
        name=name,
        listeners=[watchers],
        on_outcome=partial(judge, services),
        clock=services.clock,
    )
    beside = [
        asyncio.create_task(queue_due_work(services, stop)),
        asyncio.create_task(watchers.run()),
        asyncio.create_task(report_figures(services, worker.name, tools, watchers, pool)),
        asyncio.create_task(_stop_when_set(stop, worker)),
    ]
    try:
        await worker.run()
    finally:
        for task in beside:
            task.cancel()
        for task in beside:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await services.aclose()


async def _stop_when_set(stop: asyncio.Event, worker: MailWorker) -> None:
    await stop.wait()
    worker.stop()
