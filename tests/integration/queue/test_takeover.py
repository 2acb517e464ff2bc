"""Workers die, sleep too long, and stop: others take over what they had, once."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from gateway.queue import operations
from gateway.queue.client import JobClient
from gateway.redis import keys
from gateway_workers.worker import Limits
from tests.integration.queue.rig import (
    add_accounts,
    answer,
    eventually,
    owner_of,
    ready,
    running_client,
    running_worker,
    shares,
    worker_process,
)
from tests.integration.queue.worker_process import ANSWERED, RELEASE, SLOTS, heard

pytestmark = pytest.mark.anyio

CONNECT = operations.ACCOUNT_CONNECT
NOTHING = operations.NoArguments()
HANDLERS = {CONNECT.name: answer}


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """A client for looking at Redis."""
    with Redis.from_url(redis_url) as client:
        yield client


def told(redis: Redis, name: str) -> list[str]:
    """What a worker process heard of accounts so far."""
    found: Any = redis.lrange(heard(name), 0, -1)
    return [entry.decode() for entry in found]


def call_all(client: JobClient, accounts: list[str]) -> list[asyncio.Task[bytes]]:
    """Ask for every account at once."""
    return [asyncio.create_task(client.call(CONNECT, account, NOTHING, timeout=40)) for account in accounts]


def adopted(redis: Redis, dead: str) -> bool:
    """Whether every account has an owner, which is not this one."""
    found = shares(redis)
    return sum(found.values()) == redis.hlen(keys.ACCOUNTS) and dead not in found


def left_of(redis: Redis, name: str) -> list[str]:
    """Every key and every member of RQ's and our sets that names a worker; its place among the departed has an end."""
    found = [key.decode() for key in redis.scan_iter("*") if name.encode() in key and key != heard(name).encode()]
    for key in (keys.RQ_QUEUES, keys.RQ_WORKERS, keys.WORKERS):
        members: Any = redis.smembers(key)
        found += [f"{key} {member.decode()}" for member in members if name.encode() in member]
    return found


def heard_of(redis: Redis, name: str, what: str) -> Counter[str]:
    """How often a worker process heard that it has "gained" or "lost" each account."""
    return Counter(entry.split()[1] for entry in told(redis, name) if entry.startswith(what))


async def test_everything_a_killed_worker_had_is_taken_over_once(redis_url: str, redis: Redis) -> None:
    """kill -9 with jobs under way and jobs that wait for it: all are answered, by others, which own its accounts."""
    accounts = add_accounts(redis, 300)
    with (
        worker_process(redis_url, "w-1") as first,
        worker_process(redis_url, "w-2"),
        worker_process(redis_url, "w-3"),
    ):
        await ready(redis, "w-1", "w-2", "w-3")
        await eventually(lambda: len(shares(redis)) == 3 and min(shares(redis).values()) >= 75, "all have a share", 30)
        async with running_client(redis_url) as client:
            calls = call_all(client, accounts * 2)
            await eventually(lambda: redis.scard(keys.rq_worker_executions("w-1")) == SLOTS["read"], "it is busy")
            await eventually(lambda: redis.llen(keys.rq_queue("mail-w-1")) > 40, "jobs wait for it")
            first.kill()
            await eventually(lambda: adopted(redis, "w-1"), "its accounts are adopted", 20)
            redis.set(RELEASE, 1)
            await asyncio.gather(*calls)
        answered: Any = redis.lrange(ANSWERED, 0, -1)
        assert Counter(account.decode() for account in answered) == Counter(accounts * 2)
        await eventually(lambda: not redis.exists(keys.rq_worker("w-1")), "its records are gone")
        assert left_of(redis, "w-1") == []
        assert redis.zcard(keys.rq_started("mail")) == 0
        sizes = shares(redis)
        assert max(sizes.values()) <= 1.2 * 150


async def test_a_worker_that_slept_too_long_lets_go_of_everything(redis_url: str, redis: Redis) -> None:
    """SIGSTOP beyond its lease, SIGCONT: others own its accounts; it ends what it did for them, and starts afresh."""
    accounts = add_accounts(redis, 20)
    with worker_process(redis_url, "w-1") as first:
        await ready(redis, "w-1")
        await eventually(lambda: shares(redis)["w-1"] == 20, "it has all accounts")
        async with running_client(redis_url) as client:
            calls = call_all(client, accounts)
            await eventually(lambda: redis.scard(keys.rq_worker_executions("w-1")) == 20, "it is busy")
            first.send_signal(signal.SIGSTOP)
            try:
                with worker_process(redis_url, "w-2"):
                    await ready(redis, "w-2")
                    await eventually(lambda: shares(redis) == {"w-2": 20}, "the other has all", 20)
                    late = redis.hgetall(keys.OWNERS)
                    first.send_signal(signal.SIGCONT)
                    await eventually(
                        lambda: heard_of(redis, "w-1", "lost") == Counter(accounts), "it knows that it lost them all"
                    )
                    await eventually(lambda: shares(redis)["w-1"] >= 8, "it gets a share again", 20)
                    redis.set(RELEASE, 1)
                    await asyncio.gather(*calls)
                    answered: Any = redis.lrange(ANSWERED, 0, -1)
                    # What it had begun was broken off: nobody answered twice.
                    assert Counter(account.decode() for account in answered) == Counter(accounts)
                    now = redis.hgetall(keys.OWNERS)
                    assert all(int(now[a].split()[1]) >= int(late[a].split()[1]) for a in now)
            finally:
                first.send_signal(signal.SIGCONT)


async def test_a_worker_that_stops_hands_over_at_once(redis_url: str, redis: Redis) -> None:
    """A deployment: nobody waits for a lease, nothing waits in its queues, and it lets go before others begin."""
    accounts = add_accounts(redis, 60)
    limits = Limits(lease=30.0, beat=0.1, grace=1.0)
    async with (
        running_worker(redis_url, HANDLERS, name="w-2", limits=limits) as second,
        running_client(redis_url) as client,
    ):
        with worker_process(redis_url, "w-1", "30") as first:
            await ready(redis, "w-1")
            await eventually(lambda: shares(redis)["w-1"] >= 25, "it has a share", 20)
            mine = [account for account in accounts if owner_of(redis, account) == "w-1"]
            calls = call_all(client, mine * 4)
            await eventually(lambda: redis.llen(keys.rq_queue("mail-w-1")) > 0, "jobs wait for it")
            first.send_signal(signal.SIGTERM)
            await eventually(lambda: set(second.ownership.owned) == set(accounts), "the other has all", 5)
            # The jobs under way still run there.
            assert first.poll() is None
            assert heard_of(redis, "w-1", "lost") == heard_of(redis, "w-1", "gained")
            assert await asyncio.to_thread(first.wait, 10) == 0
            await asyncio.gather(*calls)
        await eventually(lambda: left_of(redis, "w-1") == [], "it left nothing behind")


async def test_a_killed_worker_that_is_started_again_under_its_name_has_its_accounts_back(
    redis_url: str, redis: Redis
) -> None:
    """A supervisor restarts it at once: it waits for the end of its own lease, and buries itself."""
    accounts = add_accounts(redis, 10)
    with worker_process(redis_url, "w-1") as first:
        await ready(redis, "w-1")
        await eventually(lambda: shares(redis)["w-1"] == 10, "it has all accounts")
        before = redis.hgetall(keys.OWNERS)
        async with running_client(redis_url) as client:
            calls = call_all(client, accounts * 10)
            await eventually(lambda: redis.llen(keys.rq_queue("mail-w-1")) > 20, "jobs wait for it")
            first.kill()
            redis.set(RELEASE, 1)
            with worker_process(redis_url, "w-1"):
                await asyncio.gather(*calls)
                await eventually(lambda: shares(redis)["w-1"] == 10, "it has all accounts again")
                now = redis.hgetall(keys.OWNERS)
                assert all(int(now[a].split()[1]) > int(before[a].split()[1]) for a in before)
        answered: Any = redis.lrange(ANSWERED, 0, -1)
        assert Counter(account.decode() for account in answered) == Counter(accounts * 10)
