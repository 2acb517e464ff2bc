"""The fault proxy must misbehave exactly as told: every test of a provider's recovery stands on it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gateway.testing.fault_proxy import FaultProxy, Faults

pytestmark = pytest.mark.anyio
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[FaultProxy], Awaitable[Streams]]


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    """A proxy to a server that repeats what it hears."""
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    async with server, FaultProxy(server.sockets[0].getsockname()[:2]) as proxy:
        yield proxy


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Open connections that end with the test."""
    writers = []

    async def connect(proxy: FaultProxy) -> Streams:
        reader, writer = await asyncio.open_connection(*proxy.address)
        writers.append(writer)
        return reader, writer

    yield connect
    for writer in writers:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _exchange(streams: Streams, data: bytes) -> bytes:
    reader, writer = streams
    writer.write(data)
    return await asyncio.wait_for(reader.readexactly(len(data)), 10)


async def test_octets_pass_unchanged_and_the_end_of_one_direction_is_passed_on(
    proxy: FaultProxy, connect: Connect
) -> None:
    """A proxy that is told nothing must not be noticed."""
    reader, writer = await connect(proxy)
    data = bytes(range(256)) * 4000
    writer.write(data)
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(-1), 10) == data
    assert proxy.accepted == 1


async def test_latency_delays_without_limiting_throughput(proxy: FaultProxy, connect: Connect) -> None:
    """Many pieces share the delay of a long line; they do not queue up behind each other's."""
    streams = await connect(proxy)
    proxy.to_client = Faults(latency=0.2)
    start = time.monotonic()
    await _exchange(streams, bytes(4_000_000))
    assert 0.2 <= time.monotonic() - start < 4


async def test_round_trips_are_counted_by_turns_not_by_writes(proxy: FaultProxy, connect: Connect) -> None:
    """Two commands in one go cost one round trip, two commands one after the other cost two."""
    proxy.to_client = proxy.to_server = Faults(latency=0.05)
    streams = await connect(proxy)
    for piece in (b"first", b"second"):
        streams[1].write(piece)
        await streams[1].drain()
    await asyncio.wait_for(streams[0].readexactly(11), 10)
    assert proxy.turns == 1
    await _exchange(streams, b"third")
    assert proxy.turns == 2


async def test_rate_limits_octets_per_second(proxy: FaultProxy, connect: Connect) -> None:
    """Slow lines are where timeouts that count whole responses show."""
    streams = await connect(proxy)
    proxy.to_client = Faults(rate=100_000)
    start = time.monotonic()
    await _exchange(streams, bytes(30_000))
    assert time.monotonic() - start >= 0.25


async def test_reset_comes_after_exactly_the_octets_allowed(proxy: FaultProxy) -> None:
    """A response cut in the middle is a reset, not an orderly end that parsers take for the whole."""
    proxy.to_client = Faults(reset_after=5)
    loop = asyncio.get_running_loop()
    # Not a StreamReader: that forgets what it has buffered when the reset arrives.
    with socket.create_connection(proxy.address) as client:
        client.setblocking(False)
        await loop.sock_sendall(client, b"0123456789")
        assert await asyncio.wait_for(loop.sock_recv(client, 100), 10) == b"01234"
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(loop.sock_recv(client, 100), 10)


async def test_a_stalled_connection_is_silent_and_staysconnect(proxy: FaultProxy, connect: Connect) -> None:
    """Half-open: no data, no end, and the client's own writes still succeed."""
    proxy.to_client = Faults(stall_after=5)
    reader, writer = await connect(proxy)
    assert await _exchange((reader, writer), b"01234") == b"01234"
    writer.write(b"56789")
    await writer.drain()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.1)
    assert proxy.connections == 1


async def test_the_servers_hanging_up_is_not_passed_on_through_a_stall(connect: Connect) -> None:
    """A peer that vanished sends no FIN either."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server, FaultProxy(server.sockets[0].getsockname()[:2]) as proxy:
        proxy.to_client = Faults(stall_after=0)
        reader, _ = await connect(proxy)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)


async def test_faults_switched_on_reach_connections_alreadyconnect(proxy: FaultProxy, connect: Connect) -> None:
    """Networks break under sessions that were fine."""
    reader, writer = await connect(proxy)
    assert await _exchange((reader, writer), b"fine") == b"fine"
    proxy.to_server = Faults(stall_after=0)
    writer.write(b"lost")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.1)


async def test_refusing_spares_open_connections_and_accepting_brings_the_port_back(
    proxy: FaultProxy, connect: Connect
) -> None:
    """A server that restarts: connections are refused, later the same address answers again."""
    streams = await connect(proxy)
    await _exchange(streams, b"before")
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await connect(proxy)
    assert await _exchange(streams, b"during") == b"during"
    await proxy.accept()
    assert await _exchange(await connect(proxy), b"after") == b"after"


async def test_dropping_resets_every_connection(proxy: FaultProxy, connect: Connect) -> None:
    """What a failing firewall does to a whole pool at once."""
    pool = [await connect(proxy) for _ in range(3)]
    for streams in pool:
        await _exchange(streams, b"up")
    assert proxy.drop_all() == 3
    for reader, _ in pool:
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(1), 10)


async def test_an_unreachable_upstream_resets_the_client(connect: Connect) -> None:
    """The proxy itself being up must not look like the server being up."""
    async with FaultProxy(("127.0.0.1", 1)) as lonely:
        reader, _ = await connect(lonely)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(1), 10)
