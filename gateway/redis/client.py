"""Redis clients with timeouts that fit their use."""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from redis.asyncio import BlockingConnectionPool, Redis

Client: TypeAlias = "Redis"


class Databases(msgspec.Struct, frozen=True):
    """The two tiers of state; on a single server both are the same client."""

    control: Client
    data: Client

    async def aclose(self) -> None:
        """Close both clients."""
        await self.control.aclose()
        if self.data is not self.control:
            await self.data.aclose()


def open_client(url: str, *, blocking: bool = False) -> Client:
    """Return a client for `url`; nothing is connected yet.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        blocking: for blocking commands and subscriptions. redis-py gives every client a socket timeout of 5 s and
            retries on it, which can lose the element that a blocking pop was about to return.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        # The default pool raises at its limit; this one waits for a free connection instead.
        max_connections=64,
        timeout=10,
        socket_timeout=None if blocking else 10,
        socket_connect_timeout=5,
        health_check_interval=0,
    )
    # A client that is merely given a pool leaves its connections open when it is closed.
    return Redis.from_pool(pool)


def open_databases(redis_url: str, broker_url: str | None = None) -> Databases:
    """Return clients for the data plane (`redis_url`) and the control plane (`broker_url`, by default the same)."""
    data = open_client(redis_url)
    if broker_url in (None, redis_url):
        return Databases(data, data)
    return Databases(open_client(broker_url), data)
