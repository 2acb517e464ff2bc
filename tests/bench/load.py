"""The load generator: a process of its own that keeps a number of requests under way.

Its HTTP/1.1 client knows just enough to be cheap: keep-alive, Content-Length and chunked answers. A general client
would take more of two cores than what is measured. The job comes as JSON on standard input, what was seen goes to
standard output as JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple, TypedDict

import uvloop

#: Octets that a connection reads ahead.
_READ_AHEAD = 1 << 20


class Call(TypedDict):
    """One request; `body` is JSON text."""

    method: str
    path: str
    body: str | None


class Job(TypedDict):
    """What to do: `calls` in turn, over and over, for `seconds` or, if that is not 0, `count` times."""

    host: str
    port: int
    token: str
    calls: list[Call]
    at_once: int
    seconds: float
    count: int


class Seen(TypedDict):
    """What came of it: times in seconds, octets of bodies, how often each status but 200 was answered."""

    count: int
    seconds: float
    p50: float
    p95: float
    octets: int
    cpu: float
    refused: dict[str, int]


class Answer(NamedTuple):
    """Status, and octets of the body."""

    status: int
    octets: int


class Connection:
    """One connection, kept open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str, port: int) -> Connection:
        """Connect."""
        return cls(*await asyncio.open_connection(host, port, limit=_READ_AHEAD))

    async def ask(self, request: bytes) -> Answer:
        """Send a request and read the answer to its end.

        Raises:
            OSError, EOFError: the connection broke.
        """
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head[9:12])
        if b"\r\ntransfer-encoding: chunked" in head:
            return Answer(status, await self._chunks())
        found = head.find(b"\r\ncontent-length:")
        length = int(head[found + 17 : head.index(b"\r\n", found + 17)]) if found >= 0 else 0
        await self._skip(length)
        return Answer(status, length)

    def close(self) -> None:
        """Close without waiting."""
        self._writer.close()

    async def _chunks(self) -> int:
        octets = 0
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            await self._skip(size + 2)
            octets += size
        await self._reader.readuntil(b"\r\n")
        return octets

    async def _skip(self, octets: int) -> None:
        while octets:
            octets -= len(await self._reader.read(min(octets, _READ_AHEAD)) or _broken())


def _broken() -> bytes:
    raise EOFError("the answer ended early")


async def run(job: Job) -> Seen:
    """Keep `at_once` requests under way."""
    requests = itertools.cycle([_request(job, call) for call in job["calls"]])
    left: Iterator[object] = iter(range(job["count"])) if job["count"] else itertools.repeat(None)
    connections = [await Connection.open(job["host"], job["port"]) for _ in range(job["at_once"])]
    times: list[float] = []
    refused: dict[str, int] = {}
    octets = 0
    began = time.perf_counter()
    until = began + (job["seconds"] or float("inf"))

    async def ask_in_turn(connection: Connection) -> None:
        nonlocal octets
        for _ in left:
            sent = time.perf_counter()
            if sent >= until:
                return
            answer = await connection.ask(next(requests))
            times.append(time.perf_counter() - sent)
            octets += answer.octets
            if answer.status != 200:
                refused[str(answer.status)] = refused.get(str(answer.status), 0) + 1

    cpu = time.process_time()
    await asyncio.gather(*map(ask_in_turn, connections))
    seconds = time.perf_counter() - began
    cpu = time.process_time() - cpu
    for connection in connections:
        connection.close()
    times.sort()
    return Seen(
        count=len(times),
        seconds=seconds,
        p50=times[len(times) // 2],
        p95=times[len(times) * 95 // 100],
        octets=octets,
        cpu=cpu,
        refused=refused,
    )


def _request(job: Job, call: Call) -> bytes:
    body = (call["body"] or "").encode()
    lines = [
        f"{call['method']} {call['path']} HTTP/1.1",
        f"Host: {job['host']}:{job['port']}",
        f"Authorization: Bearer {job['token']}",
    ]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        json.dump(runner.run(run(json.load(sys.stdin))), sys.stdout)
