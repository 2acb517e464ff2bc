"""Workers that are killed, stopped, paused, and a Redis that goes away: nobody waits in vain."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Any

import pytest
from redis import Redis

from gateway.errors import WorkerLostError
from gateway.provider import utc_now
from gateway.queue import operations, transitions
from gateway.queue.ownership import OwnershipClient
from gateway.queue.records import JobRecords
from gateway.queue.signals import Signals
from gateway.queue.transitions import NotAliveError
from gateway.redis import keys
from gateway.redis.client import open_client
from gateway.redis.coalescer import Coalescer
from gateway_workers.liveness import Liveness
from gateway_workers.reaper import Reaper
from tests.integration.queue.rig import answer, eventually, ready, running_client, running_worker, worker_process
from tests.integration.queue.worker_process import LIMITS, RELEASE
from tests.rigs.redis_server import RedisServer

pytestmark = pytest.mark.anyio

CONNECT, MOVE = operations.ACCOUNT_CONNECT, operations.MESSAGES_MOVE
NOTHING = operations.NoArguments()
MOVING = operations.MoveMessage(message="m-1", path="Archive")


def executions(redis: Redis, name: str) -> int:
    """How many jobs a worker has under way."""
    return int(redis.scard(keys.rq_worker_executions(name)))


async def test_the_jobs_of_a_killed_worker_are_answered_by_another_or_fail_at_once(redis_url: str) -> None:
    """Sixty running jobs and kill -9: reads are run again, writes fail cleanly, and nothing of the dead remains."""
    with Redis.from_url(redis_url) as redis, worker_process(redis_url, "w-1") as first:
        async with running_client(redis_url) as client:
            await ready(redis, "w-1")
            reads = [asyncio.create_task(client.call(CONNECT, f"a{n}", NOTHING, timeout=30)) for n in range(50)]
            writes = [asyncio.create_task(client.call(MOVE, f"a{n}", MOVING, timeout=30)) for n in range(10)]
            await eventually(lambda: executions(redis, "w-1") == 60, "sixty jobs run")
            with worker_process(redis_url, "w-2"):
                await ready(redis, "w-2")
                first.kill()
                killed_at = time.monotonic()
                redis.set(RELEASE, 1)
                assert await asyncio.gather(*reads) == [f'{{"text":"a{n}"}}'.encode() for n in range(50)]
                for outcome in await asyncio.gather(*writes, return_exceptions=True):
                    assert isinstance(outcome, WorkerLostError)
                assert time.monotonic() - killed_at < LIMITS.lease + 10 * LIMITS.beat
                await eventually(lambda: not redis.exists(keys.rq_worker("w-1")), "its records are gone")
        assert redis.smembers(keys.WORKERS) == {b"w-2"}
        assert redis.smembers(keys.RQ_WORKERS) == {keys.rq_worker("w-2").encode()}
        assert redis.zcard(keys.rq_started("mail")) == 0
        assert redis.zcard(keys.rq_failed("mail")) == 10


async def test_a_killed_worker_is_not_waited_for_and_one_that_sleeps_is(redis_url: str) -> None:
    """The kernel ends the connections of a process that was killed; those of one that was stopped go on."""
    lease = "60"
    with (
        Redis.from_url(redis_url) as redis,
        worker_process(redis_url, "sleeping", lease) as sleeping,
        worker_process(redis_url, "killed", lease) as killed,
        worker_process(redis_url, "w-3", lease),
    ):
        await ready(redis, "sleeping", "killed", "w-3")
        sleeping.send_signal(signal.SIGSTOP)
        killed.kill()
        await eventually(lambda: not redis.sismember(keys.WORKERS, "killed"), "it is cleaned up after", 10)
        assert redis.exists(keys.worker("sleeping"))


async def test_a_worker_may_be_forbidden_to_ask_for_connections(redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        redis.acl_setuser("plain", enabled=True, nopass=True, keys=["*"], channels=["*"], commands=["+@all", "-client"])
        redis.set(RELEASE, 1)
        url = redis_url.replace("redis://", "redis://plain:any@")
        with worker_process(url, "w-1") as first, worker_process(url, "w-2"):
            async with running_client(redis_url) as client:
                await ready(redis, "w-1", "w-2")
                assert await client.call(CONNECT, "ada", NOTHING, timeout=20) == b'{"text":"ada"}'
                first.kill()
                await eventually(lambda: not redis.sismember(keys.WORKERS, "w-1"), "its lease has ended", 10)


async def test_a_worker_that_starts_cleans_up_after_the_last_one(redis_url: str) -> None:
    """A single worker that crashed and was restarted answers what the crash left."""
    with Redis.from_url(redis_url) as redis:
        async with running_client(redis_url) as client:
            with worker_process(redis_url, "w-1") as first:
                await ready(redis, "w-1")
                call = asyncio.create_task(client.call(CONNECT, "ada", NOTHING, timeout=20))
                await eventually(lambda: executions(redis, "w-1") == 1, "the job runs")
                first.kill()
                await eventually(lambda: not redis.exists(keys.worker("w-1")), "its sign of life has run out")
            async with running_worker(redis_url, {CONNECT.name: answer}):
                assert await call == b'{"text":"ada"}'


async def test_jobs_that_were_taken_but_not_started_are_not_lost(redis_url: str) -> None:
    """A worker can die between waiting for a job and starting it."""
    with Redis.from_url(redis_url) as redis:
        async with running_client(redis_url) as client:
            call = asyncio.create_task(client.call(CONNECT, "ada", NOTHING, timeout=20))
            await eventually(lambda: redis.llen(keys.rq_queue("mail")), "the job is queued")
            redis.sadd(keys.WORKERS, "w-dead")
            redis.lmove(keys.rq_queue("mail"), keys.taken("w-dead", "mail"))
            async with running_worker(redis_url, {CONNECT.name: answer}):
                assert await call == b'{"text":"ada"}'


async def test_a_worker_that_was_declared_dead_starts_nothing(redis_url: str) -> None:
    """It slept, was buried, and has yet to notice: nobody would recover what it starts now."""
    with Redis.from_url(redis_url) as redis:
        async with running_client(redis_url) as client:
            await client.enqueue(CONNECT, "ada", NOTHING)
        control = open_client(redis_url)
        with pytest.raises(NotAliveError):
            await transitions.start(Coalescer(control), worker="w-1", queue="mail", count=1, now=utc_now())
        await control.aclose()
        assert redis.llen(keys.rq_queue("mail")) == 1
        assert redis.zcard(keys.rq_started("mail")) == 0


async def test_a_worker_that_comes_back_in_the_last_moment_is_not_buried(redis_url: str) -> None:
    """RQ's records of it, and of what it has started since, are needed."""
    with Redis.from_url(redis_url) as redis:
        async with running_worker(redis_url, {CONNECT.name: answer}, name="w-1") as worker:
            await ready(redis, "w-1")
            await asyncio.to_thread(JobRecords(worker).forget, "w-1")
            assert redis.exists(keys.rq_worker("w-1"))
            assert redis.sismember(keys.WORKERS, "w-1")


async def die_of_a_job(redis: Redis, url: str, name: str) -> None:
    """Have a worker start the one job there is, and kill it."""
    with worker_process(url, name) as process:
        await ready(redis, name)
        await eventually(lambda: executions(redis, name) == 1, "the job runs")
        process.kill()
    await eventually(lambda: not redis.exists(keys.worker(name)), "the worker counts as dead")


async def test_a_job_that_kills_its_worker_is_not_started_a_fourth_time(redis_url: str) -> None:
    """One poison message must not take down one worker after another."""
    with Redis.from_url(redis_url) as redis:
        async with running_client(redis_url) as client:
            call = asyncio.create_task(client.call(CONNECT, "ada", NOTHING, timeout=60))
            for number in range(3):
                await die_of_a_job(redis, redis_url, f"w-{number}")
            async with running_worker(redis_url, {CONNECT.name: answer}):
                with pytest.raises(WorkerLostError):
                    await call


async def test_a_stopped_worker_finishes_what_it_can_and_hands_back_the_rest(redis_url: str) -> None:
    """SIGTERM: a short job is finished, a read that does not end goes to another worker, a write fails."""
    with Redis.from_url(redis_url) as redis:
        async with running_client(redis_url) as client:
            with worker_process(redis_url, "w-1") as process:
                await ready(redis, "w-1")
                read = asyncio.create_task(client.call(CONNECT, "ada", NOTHING, timeout=20))
                write = asyncio.create_task(client.call(MOVE, "ada", MOVING, timeout=20))
                await eventually(lambda: executions(redis, "w-1") == 2, "both jobs run")
                process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(process.wait, 10) == 0
            with pytest.raises(WorkerLostError):
                await write
            assert redis.llen(keys.rq_queue("mail")) == 1
            assert not redis.exists(keys.worker("w-1"))
            assert redis.smembers(keys.RQ_WORKERS) == set()
            async with running_worker(redis_url, {CONNECT.name: answer}):
                assert await read == b'{"text":"ada"}'


async def test_jobs_that_end_within_the_grace_period_are_answered_by_the_stopping_worker(redis_url: str) -> None:
    """A deployment does not make callers wait for another worker."""
    with Redis.from_url(redis_url) as redis, worker_process(redis_url, "w-1") as process:
        async with running_client(redis_url) as client:
            await ready(redis, "w-1")
            write = asyncio.create_task(client.call(MOVE, "ada", MOVING, timeout=20))
            await eventually(lambda: executions(redis, "w-1") == 1, "the job runs")
            process.send_signal(signal.SIGTERM)
            redis.set(RELEASE, 1)
            assert await write == b'{"text":"ada"}'
            assert await asyncio.to_thread(process.wait, 10) == 0


async def test_a_paused_worker_that_comes_back_registers_again_and_its_late_results_are_refused(redis_url: str) -> None:
    """While it slept, others took over its jobs; the job has one result, and RQ's records stay right."""
    with Redis.from_url(redis_url) as redis, worker_process(redis_url, "w-1") as first:
        async with running_client(redis_url) as client:
            await ready(redis, "w-1")
            call = asyncio.create_task(client.call(CONNECT, "ada", NOTHING, timeout=30))
            await eventually(lambda: executions(redis, "w-1") == 1, "the job runs")
            started: Any = redis.zrange(keys.rq_started("mail"), 0, 0)
            job = started[0].decode().split(":")[0]
            first.send_signal(signal.SIGSTOP)
            try:
                await eventually(lambda: not redis.exists(keys.worker("w-1")), "it counts as dead")
                async with running_worker(redis_url, {CONNECT.name: answer}, limits=LIMITS):
                    assert await call == b'{"text":"ada"}'
            finally:
                first.send_signal(signal.SIGCONT)
            await eventually(lambda: redis.exists(keys.worker("w-1"), keys.rq_worker("w-1")) == 2, "it is back")
        redis.set(RELEASE, 1)
        first.terminate()  # it ends when the late job has
        assert await asyncio.to_thread(first.wait, 10) == 0
        assert redis.xlen(keys.rq_results(job)) == 1
        assert redis.zcard(keys.rq_started("mail")) == 0


async def test_calls_survive_a_restart_of_redis(durable_redis: RedisServer) -> None:
    """Killed in the middle of the load and started again: scripts are loaded anew, every call is answered."""
    url = durable_redis.url
    async with running_client(url) as client, running_worker(url, {CONNECT.name: answer}, limits=LIMITS):
        answered: list[bytes] = []

        async def caller(number: int) -> None:
            for _ in range(30):
                answered.append(await client.call(CONNECT, f"a{number}", NOTHING, timeout=30))

        load = asyncio.gather(*(caller(number) for number in range(16)))
        await eventually(lambda: len(answered) > 50, "the load is under way")
        await asyncio.to_thread(durable_redis.kill)
        await asyncio.to_thread(durable_redis.start)
        await asyncio.wait_for(load, 30)
    assert len(answered) == 16 * 30


async def test_a_worker_is_not_taken_for_dead_because_redis_was_replaced_between_two_beats(
    durable_redis: RedisServer,
) -> None:
    """The connection that it noted is gone with the server; it has not come to note the next one."""
    url = durable_redis.url
    async with open_client(url) as one, open_client(url) as another:
        first, second = _liveness("w-1", Coalescer(one)), _liveness("w-2", Coalescer(another))
        with Redis.from_url(url) as redis:
            for _ in range(20):
                redis.connection_pool.disconnect()
                redis.ping()  # the next server gives these numbers out again
            await first.register()
            await second.register()
            await asyncio.to_thread(durable_redis.kill)
            await asyncio.to_thread(durable_redis.start)
            await first.beat()
            await first.duties()
            assert redis.exists(keys.worker("w-1"), keys.worker("w-2")) == 2
            await second.beat()
            await second.duties()
            assert redis.smembers(keys.WORKERS) == {b"w-1", b"w-2"}


def _liveness(name: str, caller: Coalescer) -> Liveness:
    """Signs of life that hold for a minute and count as late at once."""

    async def nothing() -> None:
        """Stand for what a worker does after a beat."""

    nobody: Any = None  # nothing is found to be cleaned up
    reaper = Reaper(name, caller, nobody, nobody, OwnershipClient(caller), Signals(caller), lease=60.0, beat=0.0001)
    return Liveness(name, caller, reaper, on_lost=nothing, on_beat=nothing, lease=60.0)


async def test_workers_and_clients_find_an_emptied_redis(redis_url: str) -> None:
    """A Redis without persistence forgets everything, the worker's own records included."""
    with Redis.from_url(redis_url) as redis:
        handlers = {CONNECT.name: answer}
        async with running_client(redis_url) as client, running_worker(redis_url, handlers, name="w-1"):
            await client.call(CONNECT, "ada", NOTHING, timeout=5)
            redis.flushdb()
            redis.script_flush()
            assert await client.call(CONNECT, "ada", NOTHING, timeout=5) == b'{"text":"ada"}'
            await eventually(lambda: redis.exists(keys.rq_worker("w-1")), "it registers again")
            await eventually(lambda: redis.sismember(keys.WORKERS, "w-1"), "others can reap it again")
