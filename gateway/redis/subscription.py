"""A subscription that is made again whenever it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import structlog
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from gateway.redis.client import Client

log = structlog.get_logger()

#: Seconds of silence after which the connection is tried, and once more until it counts as gone.
_SILENCE = 5.0
_RECONNECT_DELAYS = (0.05, 0.1, 0.2, 0.5, 1.0)


async def messages(client: Client, channel: str) -> AsyncGenerator[bytes | None, None]:
    """Yield what is published on a channel, without end.

    None comes whenever the subscription has been made, the first time included: what was published before is missed.

    Args:
        client: one without a socket timeout.
        channel: its name.
    """
    failures = 0
    while True:
        try:
            async with client.pubsub() as pubsub:
                await pubsub.subscribe(channel)
                while True:
                    message = await _next(pubsub)
                    failures = 0
                    if message["type"] == "message":
                        yield message["data"]
                    elif message["type"] == "subscribe":
                        # redis-py also subscribes anew by itself.
                        yield None
        except (RedisError, OSError, TimeoutError) as error:
            if failures == 0:
                log.warning("subscription_lost", channel=channel, error=type(error).__name__)
            await asyncio.sleep(_RECONNECT_DELAYS[min(failures, len(_RECONNECT_DELAYS) - 1)])
            failures += 1


async def _next(pubsub: PubSub) -> dict[str, Any]:
    """Take one message from a subscription.

    Raises:
        TimeoutError: it is silent, even after a ping.
    """
    message: dict[str, Any] | None = await pubsub.get_message(timeout=_SILENCE)
    if message is None:
        await pubsub.ping()
        message = await pubsub.get_message(timeout=_SILENCE)
    if message is None:
        raise TimeoutError("the subscription is silent")
    return message
