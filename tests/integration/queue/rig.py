"""Workers and clients of the queue for tests: handlers that need no mail server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from redis import Redis

from gateway.errors import NotFoundError
from gateway.queue.client import JobClient
from gateway.redis import keys
from gateway.redis.client import open_client
from gateway_workers.context import Handler, JobContext
from gateway_workers.sessions import SessionPool
from gateway_workers.worker import Limits, MailWorker

ROOT = Path(__file__).parents[3]

FAST = Limits(lease=0.6, beat=0.1, grace=0.2, records_beat=0.2, stall=0.5)


class Answer(msgspec.Struct):
    """What the handlers here return."""

    text: str = ""


async def answer(context: JobContext, arguments: Any) -> Answer:
    """Answer with the account."""
    return Answer(context.account)


async def not_found(context: JobContext, arguments: Any) -> Answer:
    """Fail as a provider does."""
    raise NotFoundError("there is no such message", native_code="NONEXISTENT")


async def crash(context: JobContext, arguments: Any) -> Answer:
    """Fail as nobody foresaw."""
    raise ValueError("private@example.com wrote a letter")


@contextlib.asynccontextmanager
async def running_worker(
    url: str,
    handlers: Mapping[str, Handler],
    *,
    opener: Callable[[str], Any] = lambda account: contextlib.nullcontext(SimpleNamespace()),
    limits: Limits = FAST,
    **options: Any,
) -> AsyncIterator[MailWorker]:
    """A worker in this process."""
    worker = MailWorker(url, handlers, SessionPool(opener), limits=limits, **options)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await asyncio.wait_for(task, 10)


@contextlib.asynccontextmanager
async def running_client(url: str, **options: Any) -> AsyncIterator[JobClient]:
    """A client in this process."""
    control = open_client(url)
    client = JobClient(control, url, **options)
    await client.start()
    try:
        yield client
    finally:
        await client.aclose()
        await control.aclose()


async def eventually(condition: Callable[[], Awaitable[Any] | Any], what: str, timeout: float = 10.0) -> Any:
    """Poll `condition` until it is true and return what it returned; fail after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        found = condition()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        assert time.monotonic() < end, f"{what}: not within {timeout} s"
        await asyncio.sleep(0.01)


@contextlib.contextmanager
def worker_process(url: str, name: str, *limits: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker in a process of its own, ready to work."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "workers")])}
    command = [sys.executable, "-m", "tests.integration.queue.worker_process", url, name, *limits]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def ready(redis: Redis, *names: str) -> None:
    """Wait until these workers live."""
    workers = [keys.rq_worker(name) for name in names]
    await eventually(lambda: redis.exists(*workers) == len(workers), f"workers {names} are there", 20)


def add_accounts(redis: Redis, count: int) -> list[str]:
    """Create accounts, as far as ownership is concerned."""
    accounts = [f"a{number}" for number in range(count)]
    redis.hset(keys.ACCOUNTS, mapping=dict.fromkeys(accounts, "1"))
    return accounts


def owner_of(redis: Redis, account: str) -> str | None:
    """Name of the worker that the map names."""
    found: Any = redis.hget(keys.OWNERS, account)
    return found.split()[0].decode() if found else None


def shares(redis: Redis) -> Counter[str]:
    """How many accounts each worker owns."""
    found: Any = redis.hvals(keys.OWNERS)
    return Counter(owner.split()[0].decode() for owner in found)
