"""A webhook receiver on loopback that takes, refuses, redirects or keeps silent, as it is told."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, NamedTuple

from aiohttp import web


class Received(NamedTuple):
    """One request; `connection` is the same for requests that came through one."""

    path: str
    headers: dict[str, str]
    body: bytes
    connection: str
    at: float

    @property
    def event(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


class Reply(NamedTuple):
    """What to answer; only after `until` is set, if there is one. `drop` closes the connection instead."""

    status: int = 204
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""
    until: asyncio.Event | None = None
    drop: bool = False


class Receiver:
    """The server and what it got; header names are in lower case.

    Attributes:
        received: every request in the order of arrival.
        most: requests that were under way at once, at most, by path.
    """

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.most: dict[str, int] = defaultdict(int)
        self._open: dict[str, int] = defaultdict(int)
        self._always: dict[str, Reply] = {}
        self._next: dict[str, deque[Reply]] = defaultdict(deque)
        self._news = asyncio.Event()
        self.port = 0

    def url(self, path: str = "/hook", user: str = "") -> str:
        """Return an address of this receiver."""
        return f"http://{user}{'@' if user else ''}127.0.0.1:{self.port}{path}"

    def then(self, path: str, *replies: Reply) -> None:
        """Give these answers to the next requests for a path, one each."""
        self._next[path] += replies

    def always(self, path: str, reply: Reply) -> None:
        """Give this answer to every request for a path."""
        self._always[path] = reply

    def at(self, path: str) -> list[Received]:
        """Return the requests for a path."""
        return [request for request in self.received if request.path == path]

    async def wait(self, count: int, path: str = "/hook", timeout: float = 10.0) -> list[Received]:
        """Wait until there were so many requests for a path, and return them."""
        try:
            async with asyncio.timeout(timeout):
                while len(self.at(path)) < count:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{len(self.at(path))} of {count} requests for {path} came") from None
        return self.at(path)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        assert request.transport is not None
        connection = str(request.transport.get_extra_info("peername"))
        headers = {name.lower(): value for name, value in request.headers.items()}
        now = asyncio.get_running_loop().time()
        self.received.append(Received(request.path, headers, body, connection, now))
        self._news.set()
        replies = self._next[request.path]
        reply = replies.popleft() if replies else self._always.get(request.path, Reply())
        self._open[request.path] += 1
        self.most[request.path] = max(self.most[request.path], self._open[request.path])
        try:
            if reply.until is not None:
                await reply.until.wait()
        finally:
            self._open[request.path] -= 1
        if reply.drop:
            request.transport.abort()
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)


@asynccontextmanager
async def running_receiver() -> AsyncIterator[Receiver]:
    """A receiver for one test."""
    receiver = Receiver()
    server = web.Server(receiver._take)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        await runner.cleanup()
