"""An operator pauses a queue, and real workers leave it alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis import Redis

from gateway.errors import DeadlineError
from gateway.queue import operations
from gateway.queue.backlog import backlog
from gateway.queue.pauses import Pauses
from gateway.redis import keys
from gateway.redis.client import open_client
from gateway.redis.coalescer import Coalescer
from gateway_workers.context import JobContext
from tests.integration.queue.rig import (
    Answer,
    answer,
    eventually,
    ready,
    running_client,
    running_worker,
    worker_process,
)
from tests.integration.queue.worker_process import RELEASE

pytestmark = pytest.mark.anyio

CONNECT, SYNC = operations.ACCOUNT_CONNECT, operations.ACCOUNT_SYNC
NOTHING = operations.NoArguments()


@pytest.fixture
async def caller(redis_url: str) -> AsyncIterator[Coalescer]:
    control = open_client(redis_url)
    yield Coalescer(control)
    await control.aclose()


async def test_no_worker_starts_what_waits_in_a_paused_queue_until_it_is_resumed(
    redis_url: str, caller: Coalescer
) -> None:
    """Workers in processes of their own, which waited for jobs when the queue was paused."""
    pauses = Pauses(caller)
    with Redis.from_url(redis_url) as redis, worker_process(redis_url, "w-1"), worker_process(redis_url, "w-2"):
        redis.set(RELEASE, 1)
        async with running_client(redis_url) as client:
            await ready(redis, "w-1", "w-2")
            assert await client.call(CONNECT, "ada", NOTHING, timeout=20) == b'{"text":"ada"}'
            await pauses.set("mail", paused=True)
            jobs = [await client.enqueue(CONNECT, f"a{number}", NOTHING) for number in range(10)]
            with pytest.raises(DeadlineError):
                await client.call(CONNECT, "ada", NOTHING, timeout=1.5)
            states = {redis.hget(keys.rq_job(job), "status") for job in jobs}
            assert states == {b"queued"}
            load = (await backlog(caller, ["w-1", "w-2"]))["read"]
            assert (load.waiting, load.running) == (11, 0)
            await pauses.set("mail", paused=False)
            await eventually(
                lambda: {redis.hget(keys.rq_job(job), "status") for job in jobs} <= {b"finished", None},
                "all jobs are done",
            )


async def test_a_paused_queue_does_not_hold_up_the_others(redis_url: str, caller: Coalescer) -> None:
    await Pauses(caller).set("mail", paused=True)
    handlers = {CONNECT.name: answer, SYNC.name: answer}
    async with running_client(redis_url) as client, running_worker(redis_url, handlers):
        assert await client.call(SYNC, "ada", NOTHING, timeout=5) == b'{"text":"ada"}'


async def test_a_job_under_way_comes_to_its_end(redis_url: str, caller: Coalescer) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def wait(context: JobContext, arguments: Any) -> Answer:
        entered.set()
        await leave.wait()
        return Answer(context.account)

    async with running_client(redis_url) as client, running_worker(redis_url, {CONNECT.name: wait}):
        call = asyncio.create_task(client.call(CONNECT, "ada", NOTHING, timeout=10))
        await entered.wait()
        await Pauses(caller).set("mail", paused=True)
        leave.set()
        assert await call == b'{"text":"ada"}'


async def test_a_worker_that_stops_leaves_the_jobs_of_a_paused_queue_to_the_next(
    redis_url: str, caller: Coalescer
) -> None:
    """One of them may be in its hands already."""
    pauses = Pauses(caller)
    with Redis.from_url(redis_url) as redis:
        async with running_client(redis_url) as client:
            async with running_worker(redis_url, {CONNECT.name: answer}, name="w-1"):
                await ready(redis, "w-1")
                await pauses.set("mail", paused=True)
                await client.enqueue(CONNECT, "ada", NOTHING)
                await eventually(lambda: redis.llen(keys.taken("w-1", "mail")), "it is in the hands of the worker")
            assert redis.llen(keys.rq_queue("mail")) == 1
            await pauses.set("mail", paused=False)
            async with running_worker(redis_url, {CONNECT.name: answer}):
                await eventually(lambda: redis.zcard(keys.rq_finished("mail")) == 1, "the job is done")
