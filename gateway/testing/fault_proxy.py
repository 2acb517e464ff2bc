"""A TCP proxy that makes a network misbehave, for tests of how a provider copes.

Put it between the client under test and a server. It needs no privileges, knows no protocol (TLS passes through it),
and every fault can be switched while connections are open::

    async with FaultProxy(("127.0.0.1", 993)) as proxy:
        session = await connect(*proxy.address)
        proxy.to_client = Faults(stall_after=0)     # the server falls silent without hanging up
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from types import TracebackType
from typing import Self

import msgspec

_PIECE = 65_536
_PIECES_IN_FLIGHT = 256


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to one direction of every connection; the default is nothing.

    Attributes:
        latency: seconds by which every octet is late. Throughput does not suffer, as on a long line.
        rate: octets per second, or no limit.
        reset_after: octets of a connection that pass before it is reset (TCP RST to both ends).
        stall_after: octets of a connection that pass before this direction is silent for good, neither delivering nor
            closing: what a half-open connection looks like. Set in both directions for a vanished peer.
    """

    latency: float = 0.0
    rate: int | None = None
    reset_after: int | None = None
    stall_after: int | None = None


class FaultProxy:
    """Listens on a port of its own and passes every connection on to one upstream server.

    Attributes:
        to_client: faults of what the server says.
        to_server: faults of what the client says.
        accepted: connections taken so far.
        turns: how often a client spoke after it was spoken to, or first: the round trips of all connections.
    """

    def __init__(self, upstream: tuple[str, int], *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Prepare a proxy to `upstream` (host and port); with `port` 0 the kernel picks where it listens."""
        self.to_client = Faults()
        self.to_server = Faults()
        self.accepted = 0
        self.turns = 0
        self._upstream = upstream
        self._address = (host, port)
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        tasks = list(self._connections)
        self.drop_all()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to connect to; they stay the same through `refuse` and `accept`."""
        return self._address

    @property
    def connections(self) -> int:
        """Connections open now."""
        return len(self._connections)

    async def accept(self) -> None:
        """Listen (again), after `refuse`."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, *self._address, limit=_PIECE)
            host, port = self._server.sockets[0].getsockname()[:2]
            self._address = (host, port)

    def refuse(self) -> None:
        """Stop listening: new connections are refused by the kernel, open ones stay."""
        if self._server is not None:
            # wait_closed would wait for the open connections too (Python 3.12 and later).
            self._server.close()
            self._server = None

    def drop_all(self) -> int:
        """Reset every open connection at both ends; returns how many there were."""
        for writers in self._connections.values():
            _reset(*writers)
        return len(self._connections)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = (writer,)
        spoken_to = True

        def client_speaks() -> None:
            nonlocal spoken_to
            self.turns += spoken_to
            spoken_to = False

        def server_speaks() -> None:
            nonlocal spoken_to
            spoken_to = True

        try:
            up_reader, up_writer = await asyncio.open_connection(*self._upstream, limit=_PIECE)
            self._connections[task] = (writer, up_writer)
            await asyncio.gather(
                self._pass_on(reader, up_writer, writer, lambda: self.to_server, client_speaks),
                self._pass_on(up_reader, writer, up_writer, lambda: self.to_client, server_speaks),
            )
        except (OSError, asyncio.CancelledError):
            # Python 3.11 reports each of its own connection tasks that ends as cancelled.
            _reset(*self._connections[task])
        finally:
            for open_writer in self._connections.pop(task):
                open_writer.close()

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        source: asyncio.StreamWriter,
        faults: Callable[[], Faults],
        speaks: Callable[[], None],
    ) -> None:
        """Copy one direction until its end. Reading runs ahead of writing, so that latency does not cost throughput."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_PIECES_IN_FLIGHT)
        reading = asyncio.create_task(_read_ahead(reader, pieces, faults))
        passed = 0
        try:
            while True:
                due, piece = await pieces.get()
                await asyncio.sleep(due - asyncio.get_running_loop().time())
                now = faults()
                passing = _allowance(piece, passed, now)
                if passing:
                    speaks()
                await _write(writer, passing, now.rate)
                passed += len(passing)
                if len(passing) < len(piece):
                    if now.reset_after is not None and passed >= now.reset_after:
                        _reset(writer, source)
                        return
                    await asyncio.Event().wait()
                if not piece:
                    break
            await reading
            if now.stall_after is not None and passed >= now.stall_after:
                await asyncio.Event().wait()
            with contextlib.suppress(OSError):
                writer.write_eof()
        finally:
            reading.cancel()


async def _read_ahead(
    reader: asyncio.StreamReader, pieces: asyncio.Queue[tuple[float, bytes]], faults: Callable[[], Faults]
) -> None:
    """Queue what arrives with the moment it is due; an empty piece is the end, and a reset raises."""
    clock = asyncio.get_running_loop().time
    try:
        while piece := await reader.read(_PIECE):
            await pieces.put((clock() + faults().latency, piece))
    except OSError:
        await pieces.put((clock(), b""))
        raise
    await pieces.put((clock() + faults().latency, b""))


def _allowance(piece: bytes, passed: int, faults: Faults) -> bytes:
    """The part of `piece` that may still pass."""
    limits = [limit for limit in (faults.reset_after, faults.stall_after) if limit is not None]
    return piece[: max(0, min(limits) - passed)] if limits else piece


async def _write(writer: asyncio.StreamWriter, data: bytes, rate: int | None) -> None:
    """Write all, at `rate` octets per second in twentieths of a second."""
    step = max(1, rate // 20) if rate else max(1, len(data))
    for start in range(0, len(data), step):
        part = data[start : start + step]
        writer.write(part)
        await writer.drain()
        if rate:
            await asyncio.sleep(len(part) / rate)


def _reset(*writers: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN, by telling the kernel not to linger (socket(7), SO_LINGER with 0 seconds)."""
    for writer in writers:
        with contextlib.suppress(OSError):
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
