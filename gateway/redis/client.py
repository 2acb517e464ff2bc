"""Redis clients with timeouts that fit their use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import hiredis
import msgspec
from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection, UnixDomainSocketConnection

Client: TypeAlias = "Redis"


class _Packing:
    """Has commands packed by hiredis; redis-py's asyncio client does it in Python, at several times the cost."""

    def pack_command(self, *command: Any) -> list[bytes]:
        """Return the octets of a command, whose name may hold several words."""
        name, *arguments = command
        words = name.split() if isinstance(name, str | bytes) else [name]
        return [hiredis.pack_command((*words, *arguments))]

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        """Return the octets of several commands."""
        return [b"".join(self.pack_command(*command)[0] for command in commands)]


class _Connection(_Packing, Connection):
    """Over TCP."""


class _SSLConnection(_Packing, SSLConnection):
    """Over TLS."""


class _UnixConnection(_Packing, UnixDomainSocketConnection):
    """Over a socket in the file system."""


_PACKING: dict[type, type] = {
    Connection: _Connection,
    SSLConnection: _SSLConnection,
    UnixDomainSocketConnection: _UnixConnection,
}


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
    pool.connection_class = _PACKING[pool.connection_class]
    # A client that is merely given a pool leaves its connections open when it is closed.
    return Redis.from_pool(pool)


def open_databases(redis_url: str, broker_url: str | None = None) -> Databases:
    """Return clients for the data plane (`redis_url`) and the control plane (`broker_url`, by default the same)."""
    data = open_client(redis_url)
    if broker_url in (None, redis_url):
        return Databases(data, data)
    return Databases(open_client(broker_url), data)
