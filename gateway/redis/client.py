"""Redis clients with timeouts that fit their use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, cast

import hiredis
import msgspec
from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.redis.pipe import Pipe

Client: TypeAlias = "Redis"

# Octets from which on it pays to write an argument by itself: hiredis copies it twice, and joining commands once more.
_LARGE = 65_536


class PipeConnection(AbstractConnection):
    """Writes commands in other ways than redis-py, and can hand its socket over to a `Pipe`.

    hiredis packs them: redis-py's asyncio client does it in Python, at several times the cost. The time limit of a
    write is an `asyncio.timeout`: `asyncio.wait_for`, which redis-py uses, makes a task for every command, and in
    Python 3.11 swallows a cancellation that comes when it is about to end.
    """

    def pack_command(self, *command: Any) -> list[bytes]:
        """Return the octets of a command, whose name may hold several words; a large last argument is not copied."""
        name, *arguments = command
        words = name.split() if isinstance(name, str | bytes) else [name]
        last = arguments[-1] if arguments else None
        if isinstance(last, bytes) and len(last) >= _LARGE:
            packed = hiredis.pack_command((*words, *arguments[:-1], b"")).removesuffix(b"$0\r\n\r\n")
            return [b"%b$%d\r\n" % (packed, len(last)), last, b"\r\n"]
        return [hiredis.pack_command((*words, *arguments))]

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        """Return the octets of several commands."""
        pieces = [piece for command in commands for piece in self.pack_command(*command)]
        return pieces if any(len(piece) >= _LARGE for piece in pieces) else [b"".join(pieces)]

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        """Write what `pack_command` or `pack_commands` returned.

        Raises:
            redis.exceptions.TimeoutError: it could not be written in time.
            redis.exceptions.ConnectionError: the connection is gone.
        """
        if not self.is_connected:
            await self.connect_check_health(check_health=False)
        if check_health:
            await self.check_health()  # type: ignore[no-untyped-call]
        if isinstance(command, str):
            command = command.encode()
        pieces = [command] if isinstance(command, bytes) else command
        try:
            async with asyncio.timeout(self.socket_timeout):
                await self._send_packed_command(pieces)
        except TimeoutError:
            await self.disconnect(nowait=True)
            raise RedisTimeoutError("Timeout writing to socket") from None
        except OSError as error:
            await self.disconnect(nowait=True)
            raise RedisConnectionError(f"Error while writing to socket: {type(error).__name__}") from error
        except BaseException:
            # What was written of the command is unknown.
            await self.disconnect(nowait=True)
            raise

    async def open_pipe(self, ended: Callable[[], None]) -> Pipe:
        """Connect and hand the socket over to a pipe.

        All that is left for the connection itself is to be disconnected.

        Args:
            ended: see `Pipe`.

        Raises:
            redis.exceptions.RedisError: the server cannot be reached or refuses.
        """
        # The library's method is not annotated.
        await self.connect()  # type: ignore[no-untyped-call]
        assert self._writer is not None
        # It reads as well as it writes, whatever the type of the library says.
        transport = cast("asyncio.Transport", self._writer.transport)
        # With redis-py's own mapping of error texts to exceptions.
        return Pipe(transport, self._parser.parse_error, timeout=self.socket_timeout, ended=ended)


class _Connection(PipeConnection, Connection):
    """Over TCP."""


class _SSLConnection(PipeConnection, SSLConnection):
    """Over TLS."""


class _UnixConnection(PipeConnection, UnixDomainSocketConnection):
    """Over a socket in the file system."""


_CONNECTIONS: dict[type, type] = {
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
        # With version 3, redis-py listens for a cluster's maintenance and hands out connections that have ended.
        protocol=2,
    )
    pool.connection_class = _CONNECTIONS[pool.connection_class]
    # A client that is merely given a pool leaves its connections open when it is closed.
    return Redis.from_pool(pool)


def open_databases(redis_url: str, broker_url: str | None = None) -> Databases:
    """Return clients for the data plane (`redis_url`) and the control plane (`broker_url`, by default the same)."""
    data = open_client(redis_url)
    if broker_url in (None, redis_url):
        return Databases(data, data)
    return Databases(open_client(broker_url), data)
