"""Periodic work: what has become due is queued; what other processes announce is heard."""

from __future__ import annotations

import asyncio
import contextlib

import structlog
from redis.exceptions import RedisError

from gateway.errors import GatewayError
from gateway.redis import keys, open_client
from gateway.services.container import Services
from gateway_workers.sessions import SessionPool

log = structlog.get_logger(__name__)

#: Seconds between two looks at what is due.
PERIOD = 1.0

#: Seconds before a subscription that broke is made again.
RESUBSCRIBE = 1.0


async def queue_due_work(services: Services, stop: asyncio.Event) -> None:
    """Queue what has become due until `stop` is set; every worker does, and each thing is claimed by one."""
    away = False
    while not stop.is_set():
        try:
            for work in await services.due.claim(services.clock()):
                await services.dispatcher.due(work)
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


async def drop_announced_accounts(url: str, pool: SessionPool) -> None:
    """Close the warm sessions of accounts whose connection has to be built anew, until cancelled."""
    while True:
        client = open_client(url, blocking=True)
        try:
            async with client.pubsub() as subscription:
                await subscription.subscribe(keys.DROP_CHANNEL)
                async for message in subscription.listen():
                    if message["type"] == "message":
                        await pool.drop(message["data"].decode())
        except (RedisError, OSError):
            # What was announced meanwhile is lost: sessions of unknown state are not kept.
            await pool.drop_all()
            await asyncio.sleep(RESUBSCRIBE)
        finally:
            await client.aclose()
