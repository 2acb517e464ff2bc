"""A proxy that speaks SOCKS4, SOCKS4a, SOCKS5 and HTTP CONNECT on one port, as the client likes, for tests."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import struct
from types import TracebackType
from typing import Self

_PIECE = 65_536


class RefusedError(Exception):
    """The proxy does not connect."""


class SmallProxy:
    """Connects to whatever it is asked for.

    Attributes:
        asked: protocol, host and port of each request that was let through, as the client named them.
        refusing: connect nobody anywhere.
        silent: take connections and say nothing.
        login: user and password that clients have to give; None lets everybody in.
    """

    def __init__(self, *, login: tuple[str, str] | None = None) -> None:
        self.asked: list[tuple[str, str, int]] = []
        self.refusing = False
        self.silent = False
        self.login = login
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def url(self, scheme: str, login: str = "") -> str:
        """Return its URL."""
        return f"{scheme}://{login}{'@' if login else ''}127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, RefusedError):
            if self.silent:
                await reader.read()
            first = await reader.readexactly(1)
            handshake = {b"\x05": self._socks5, b"\x04": self._socks4}.get(first, self._http)
            await handshake(first, reader, writer)
        self._writers.discard(writer)
        writer.close()

    async def _socks5(self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        offered = await reader.readexactly((await reader.readexactly(1))[0])
        method = 0 if self.login is None else 2
        writer.write(bytes([5, method if method in offered else 0xFF]))
        if method not in offered:
            raise RefusedError
        if self.login is not None:
            await reader.readexactly(1)
            given = [(await reader.readexactly((await reader.readexactly(1))[0])).decode() for _ in range(2)]
            writer.write(bytes([1, 0 if tuple(given) == self.login else 1]))
            if tuple(given) != self.login:
                raise RefusedError
        _, _, _, kind = await reader.readexactly(4)
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            family, length = (socket.AF_INET, 4) if kind == 1 else (socket.AF_INET6, 16)
            host = socket.inet_ntop(family, await reader.readexactly(length))
        (port,) = struct.unpack(">H", await reader.readexactly(2))
        answer = b"\x00\x00\x01\x00\x00\x00\x00\x00\x00"
        await self._tunnel("socks5", host, port, reader, writer, b"\x05" + answer, b"\x05\x05" + answer[1:])

    async def _socks4(self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, port, address = struct.unpack(">BH4s", await reader.readexactly(7))
        await reader.readuntil(b"\x00")
        host = socket.inet_ntoa(address)
        named = address.startswith(b"\x00\x00\x00")
        if named:
            host = (await reader.readuntil(b"\x00"))[:-1].decode()
        name = "socks4a" if named else "socks4"
        await self._tunnel(name, host, port, reader, writer, b"\x00\x5a" + bytes(6), b"\x00\x5b" + bytes(6))

    async def _http(self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (first + await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        wanted = None if self.login is None else f"basic {base64.b64encode(':'.join(self.login).encode()).decode()}"
        if wanted is not None and headers.get("proxy-authorization") != wanted.lower():
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            raise RefusedError
        host, _, port = lines[0].split(" ")[1].rpartition(":")
        yes, no = b"HTTP/1.1 200 Connection established\r\n\r\n", b"HTTP/1.1 502 Bad Gateway\r\n\r\n"
        await self._tunnel("http", host.strip("[]"), int(port), reader, writer, yes, no)

    async def _tunnel(
        self,
        protocol: str,
        host: str,
        port: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        yes: bytes,
        no: bytes,
    ) -> None:
        """Connect, then pass everything on; what the server says first goes out together with the answer."""
        try:
            if self.refusing:
                raise ConnectionRefusedError
            server_reader, server_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.write(no)
            raise RefusedError from None
        self.asked.append((protocol, host, port))
        with contextlib.suppress(TimeoutError):
            yes += await asyncio.wait_for(server_reader.read(_PIECE), 0.2)
        writer.write(yes)
        ways = [
            asyncio.ensure_future(_pump(reader, server_writer)),
            asyncio.ensure_future(_pump(server_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            server_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE):
        writer.write(piece)
        await writer.drain()
