"""The Redis client: what redis-py alone does not do."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.redis.client import Client, open_client
from tests.rigs.redis_server import RedisServer

pytestmark = pytest.mark.anyio


async def _call_without_end(client: Client) -> None:
    while True:
        await client.exists("x")


async def test_a_call_that_is_cancelled_ends_whatever_it_was_doing(redis_url: str) -> None:
    """A worker lets go of an account by cancelling; a cancellation that got lost would leave two of them at work."""
    for turns in range(150):
        client = open_client(redis_url)
        calling = asyncio.create_task(_call_without_end(client))
        for _ in range(turns):
            await asyncio.sleep(0)
        calling.cancel()
        await asyncio.wait({calling}, timeout=5)
        assert calling.cancelled(), f"after {turns} turns of the loop"
        await client.aclose()


async def test_connections_that_ended_while_they_rested_are_not_handed_out(durable_redis: RedisServer) -> None:
    """Else a restart of Redis, or its limit for silent clients, would cost one call for each of them."""
    client = open_client(durable_redis.url)
    await asyncio.gather(*(client.ping() for _ in range(8)))
    await asyncio.to_thread(durable_redis.restart)
    for _ in range(8):
        assert await client.ping()
    await client.aclose()


@pytest.mark.parametrize("size", [65_535, 65_536, 1_000_000])
async def test_large_values_arrive_whole_among_small_ones(redis_url: str, size: int) -> None:
    """They are written by themselves, so that they are not copied."""
    client, value = open_client(redis_url), b"\r\n$0\r\n\r\n".ljust(size, b"x")
    pipeline = client.pipeline(transaction=False)
    pipeline.rpush("large", b"first", value)
    pipeline.rpush("large", value, b"last")
    pipeline.lrange("large", 0, -1)
    assert await pipeline.execute() == [2, 4, [b"first", value, value, b"last"]]
    assert await client.set("large", value)
    assert await client.get("large") == value
    await client.aclose()


class Deaf(asyncio.Protocol):
    """A server that greets, and reads nothing more; told so, it hangs up instead."""

    hangs_up = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer what a client sends when it connects."""
        greetings = data.count(b"SETINFO")
        self._transport.write(b"+OK\r\n" * greetings)
        if greetings:
            return
        if self.hangs_up:
            self._transport.abort()
        else:
            self._transport.pause_reading()


class Rude(Deaf):
    """Hangs up in the middle of a command."""

    hangs_up = True


@pytest.mark.parametrize(
    ("server", "error"), [(Deaf, RedisTimeoutError), (Rude, RedisConnectionError)], ids=["deaf", "rude"]
)
async def test_a_write_that_does_not_get_through_is_an_error_of_redis(
    server: type[Deaf], error: type[Exception]
) -> None:
    """Whoever calls Redis waits for its own kinds of errors, and tries again."""
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    client = open_client(f"redis://127.0.0.1:{port}/0?protocol=2&socket_timeout=0.2")
    async with asyncio.timeout(30):
        with pytest.raises(error):
            await client.set("x", b"x" * 30_000_000)
    await client.aclose()
    listening.close()
    await listening.wait_closed()
