"""Periodic work: what has become due is queued."""

from __future__ import annotations

import asyncio
import contextlib

import structlog
from redis.exceptions import RedisError

from gateway.errors import GatewayError
from gateway.services.container import Services

log = structlog.get_logger(__name__)

#: Seconds between two looks at what is due.
PERIOD = 1.0


async def queue_due_work(services: Services, stop: asyncio.Event) -> None:
    """Queue what has become due until `stop` is set; every worker does, and each thing is claimed by one."""
    away = False
    while not stop.is_set():
        try:
            for work in await services.due.claim(services.clock()):
                await services.dispatcher.due(work)
            await services.webhooks.waker.wake_missed()
        except (RedisError, OSError, GatewayError) as error:
            # A job that could not be queued is claimed again.
            if not away:
                log.warning("due_work_unreachable", error=type(error).__name__)
            away = True
        else:
            if away:
                log.info("due_work_reachable")
            away = False
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), PERIOD)
