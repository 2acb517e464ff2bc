"""Accounts are spread over workers, and change hands; each has one owner at a time."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from gateway.queue import operations
from gateway.queue.ownership import OwnershipClient
from gateway.queue.signals import Signal, SignalKind, Signals
from gateway.redis import keys
from gateway.redis.client import open_client
from gateway.redis.coalescer import Coalescer
from gateway_workers.ownership import Listener
from gateway_workers.worker import Limits
from tests.integration.queue.rig import (
    add_accounts,
    answer,
    eventually,
    owner_of,
    running_client,
    running_worker,
    shares,
)
from tests.rigs.redis_server import RedisServer

pytestmark = pytest.mark.anyio

CONNECT = operations.ACCOUNT_CONNECT
NOTHING = operations.NoArguments()
HANDLERS = {CONNECT.name: answer}
#: Nothing is declared dead because the machine is busy.
STEADY = Limits(lease=5.0, beat=0.1, grace=1.0, reconcile=0.2)


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """A client for looking at Redis."""
    with Redis.from_url(redis_url) as client:
        yield client


class Told(Listener):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.gained: dict[str, list[int]] = {}
        self.lost: list[str] = []
        self.dropped: list[str] = []
        self.kicked: list[str] = []

    async def on_gained(self, account: str, epoch: int) -> None:
        """Keep the epoch."""
        self.gained.setdefault(account, []).append(epoch)

    async def on_lost(self, account: str) -> None:
        """Keep the account."""
        self.lost.append(account)

    async def on_drop(self, account: str) -> None:
        """Keep the account."""
        self.dropped.append(account)

    async def on_kick(self, account: str) -> None:
        """Keep the account."""
        self.kicked.append(account)


async def send(url: str, kind: SignalKind, account: str = "") -> None:
    """Call out to the workers, as any process may."""
    control = open_client(url)
    await Signals(Coalescer(control)).send(Signal(kind, account))
    await control.aclose()


async def test_the_first_worker_adopts_every_account_there_is(redis_url: str, redis: Redis) -> None:
    """Nobody has to ask for an account before it is watched."""
    accounts = add_accounts(redis, 2500)
    listener = Told()
    async with running_worker(redis_url, HANDLERS, name="w-1", limits=STEADY, listeners=[listener]) as worker:
        await eventually(lambda: len(worker.ownership.owned) == 2500, "all are adopted")
        assert set(listener.gained) == set(accounts)
        assert {a: epochs[-1] for a, epochs in listener.gained.items()} == dict(worker.ownership.owned)
        assert listener.lost == []


async def test_a_worker_that_joins_has_its_share_soon_in_small_portions(redis_url: str, redis: Redis) -> None:
    """Each account that moves loses its connection for a moment; others may never lose more than a tenth at once."""
    accounts = add_accounts(redis, 100)
    first_told, second_told = Told(), Told()
    async with running_worker(redis_url, HANDLERS, name="w-1", limits=STEADY, listeners=[first_told]) as first:
        await eventually(lambda: len(first.ownership.owned) == 100, "the first has all")
        async with running_worker(redis_url, HANDLERS, name="w-2", limits=STEADY, listeners=[second_told]) as second:
            await eventually(lambda: len(second.ownership.owned) >= 40, "the second has its share")
            assert len(first.ownership.owned) + len(second.ownership.owned) <= 100
            assert not set(first.ownership.owned) & set(second.ownership.owned)
            for account in second_told.gained:
                assert account in first_told.lost
                assert second_told.gained[account][0] > first_told.gained[account][0]
        # It has left in good order: the first has all again.
        await eventually(lambda: set(first.ownership.owned) == set(accounts), "the first has all again")
        assert sorted(second_told.lost) == sorted(second_told.gained)


async def test_three_workers_share_evenly_and_rest(redis_url: str, redis: Redis) -> None:
    """What is fair enough stays where it is."""
    add_accounts(redis, 90)
    async with (
        running_worker(redis_url, HANDLERS, name="w-1", limits=STEADY) as first,
        running_worker(redis_url, HANDLERS, name="w-2", limits=STEADY) as second,
        running_worker(redis_url, HANDLERS, name="w-3", limits=STEADY) as third,
    ):
        workers = (first, second, third)

        def even() -> bool:
            sizes = [len(worker.ownership.owned) for worker in workers]
            return sum(sizes) == 90 and min(sizes) >= 25 and max(sizes) <= 36

        await eventually(even, "all have a share")
        before = redis.hgetall(keys.OWNERS)
        for worker in workers:
            await worker.ownership.beat()
        assert redis.hgetall(keys.OWNERS) == before


async def test_jobs_run_where_the_account_is_at_home(redis_url: str, redis: Redis) -> None:
    """Its connection is there; a job of an account without an owner brings it one."""
    accounts = add_accounts(redis, 20)
    ran: dict[str, set[str]] = {}

    def handlers(worker: str) -> dict[str, Any]:
        async def note(context: Any, arguments: Any) -> Any:
            ran.setdefault(context.account, set()).add(worker)
            return await answer(context, arguments)

        return {CONNECT.name: note}

    async with (
        running_worker(redis_url, handlers("w-1"), name="w-1", limits=STEADY) as first,
        running_worker(redis_url, handlers("w-2"), name="w-2", limits=STEADY) as second,
        running_client(redis_url) as client,
    ):
        workers = {"w-1": first, "w-2": second}
        await eventually(lambda: min(shares(redis)[name] for name in workers) >= 8, "both have a share")
        await asyncio.gather(*(client.call(CONNECT, a, NOTHING, timeout=5) for a in accounts for _ in range(3)))
        assert {a: {owner_of(redis, a)} for a in accounts} == ran
        redis.hset(keys.ACCOUNTS, "new", "1")
        await client.call(CONNECT, "new", NOTHING, timeout=5)
        (home,) = ran["new"]
        assert owner_of(redis, "new") == home
        assert "new" in workers[home].ownership.owned


async def test_a_full_queue_of_its_own_does_not_shut_out_the_other(redis_url: str, redis: Redis) -> None:
    """Jobs of no account, and those of the accounts of a dead worker, wait in the queue of all."""
    add_accounts(redis, 1)
    limits = Limits(slots={"read": 1}, lease=5.0, beat=0.1, grace=1.0)
    order: list[str] = []

    async def note(context: Any, arguments: Any) -> Any:
        order.append(context.account)
        return await answer(context, arguments)

    async with (
        running_client(redis_url) as client,
        running_worker(redis_url, {CONNECT.name: note}, name="w-1", limits=limits) as worker,
    ):
        await eventually(lambda: len(worker.ownership.owned) == 1, "it has the account")
        calls = [client.call(CONNECT, "a0", NOTHING, timeout=20) for _ in range(60)]
        calls += [client.call(CONNECT, "", NOTHING, timeout=20) for _ in range(3)]
        await asyncio.gather(*calls)
    assert order.index("") < 40
    assert Counter(order) == {"a0": 60, "": 3}


async def test_a_worker_that_leaves_as_the_last_leaves_its_accounts_free(redis_url: str, redis: Redis) -> None:
    """The next one adopts them at once."""
    add_accounts(redis, 3)
    async with running_worker(redis_url, HANDLERS, name="w-1", limits=STEADY) as worker:
        await eventually(lambda: len(worker.ownership.owned) == 3, "it has all")
    assert not worker.ownership.owned
    assert redis.smembers(keys.UNOWNED) == {b"a0", b"a1", b"a2"}
    assert redis.exists(keys.OWNERS, keys.owned("w-1")) == 0
    async with running_worker(redis_url, HANDLERS, name="w-1", limits=STEADY) as again:
        await eventually(lambda: len(again.ownership.owned) == 3, "the next has all")


async def test_lost_keys_of_the_map_are_made_again(redis_url: str, redis: Redis) -> None:
    """Every worker lets go of what the map does not give it, and each account finds an owner in a higher epoch."""
    accounts = add_accounts(redis, 40)
    listener = Told()
    async with (
        running_worker(redis_url, HANDLERS, name="w-1", limits=STEADY, listeners=[listener]) as first,
        running_worker(redis_url, HANDLERS, name="w-2", limits=STEADY) as second,
    ):
        await eventually(lambda: len(shares(redis)) == 2 and min(shares(redis).values()) >= 16, "both have a share")
        before = dict(first.ownership.owned)
        redis.delete(keys.OWNERS, keys.UNOWNED, keys.EPOCH, keys.owned("w-1"), keys.owned("w-2"))
        await eventually(lambda: set(before) <= set(listener.lost), "it has let go of all")
        await eventually(
            lambda: {*first.ownership.owned, *second.ownership.owned} == set(accounts), "all have an owner again"
        )
        assert not set(first.ownership.owned) & set(second.ownership.owned)
        now = {**first.ownership.owned, **second.ownership.owned}
        assert all(now[account] > epoch for account, epoch in before.items())


async def test_a_deleted_account_is_let_go(redis_url: str, redis: Redis) -> None:
    """Nobody watches it, nobody owns it, and no job that still comes for it changes that."""
    add_accounts(redis, 2)
    listener = Told()
    async with (
        running_worker(redis_url, HANDLERS, name="w-1", limits=STEADY, listeners=[listener]) as worker,
        running_client(redis_url) as client,
    ):
        await eventually(lambda: len(worker.ownership.owned) == 2, "it has both")
        redis.hdel(keys.ACCOUNTS, "a0")
        control = open_client(redis_url)
        await OwnershipClient(Coalescer(control)).forget("a0")
        await control.aclose()
        await eventually(lambda: listener.lost == ["a0"], "it is let go")
        await client.call(CONNECT, "a0", NOTHING, timeout=5)
        assert set(worker.ownership.owned) == {"a1"}
        assert redis.hkeys(keys.OWNERS) == [b"a1"]
        assert redis.smembers(keys.owned("w-1")) == {b"a1"}
        assert not redis.exists(keys.UNOWNED)


async def test_workers_keep_their_accounts_when_redis_was_away(durable_redis: RedisServer) -> None:
    """All signs of life ran out and nobody is dead: thousands of connections need not be built anew."""
    url, listener = durable_redis.url, Told()
    limits = Limits(lease=0.5, beat=0.1, grace=1.0)
    with Redis.from_url(url) as redis:
        add_accounts(redis, 10)
        async with running_worker(url, HANDLERS, name="w-1", limits=limits, listeners=[listener]) as worker:
            await eventually(lambda: len(worker.ownership.owned) == 10, "it has all")
            before = dict(worker.ownership.owned)
            await asyncio.to_thread(durable_redis.kill)
            await asyncio.to_thread(durable_redis.start)
            redis.delete(keys.worker("w-1"))
            await eventually(lambda: redis.exists(keys.worker("w-1")), "it is back")
            await worker.ownership.beat()
            assert dict(worker.ownership.owned) == before
            assert listener.lost == []


async def test_signals_reach_those_whom_they_concern(redis_url: str, redis: Redis) -> None:
    """Whoever holds connections of an account hears that they are to be dropped; its owner alone looks for changes."""
    add_accounts(redis, 1)
    one, other = Told(), Told()
    async with (
        running_worker(redis_url, HANDLERS, name="w-1", limits=STEADY, listeners=[one]) as first,
        running_worker(redis_url, HANDLERS, name="w-2", limits=STEADY, listeners=[other]) as second,
    ):
        await eventually(lambda: first.ownership.owned or second.ownership.owned, "somebody has it, and knows")
        owner, stranger = (one, other) if first.ownership.owned else (other, one)
        await eventually(lambda: redis.pubsub_numsub(keys.SIGNALS)[0][1] == 2, "both listen")
        await send(redis_url, "kick", "a0")
        await send(redis_url, "drop", "a0")
        await send(redis_url, "drop", "elsewhere")
        await eventually(lambda: owner.dropped == stranger.dropped == ["a0", "elsewhere"], "both hear it")
        await eventually(lambda: owner.kicked == ["a0"], "the owner hears it")
        assert stranger.kicked == []


async def test_a_listener_that_fails_or_hangs_costs_nobody_an_account(
    redis_url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One mail server that does not answer must not keep a worker from its other accounts."""
    monkeypatch.setattr("gateway_workers.ownership._PATIENCE", 0.2)

    class Broken(Told):
        async def on_gained(self, account: str, epoch: int) -> None:
            if account == "a0":
                raise ValueError("private@example.com wrote a letter")
            if account == "a1":
                await asyncio.Event().wait()

    add_accounts(redis, 3)
    listener = Told()
    listeners = [Broken(), listener]
    async with running_worker(redis_url, HANDLERS, name="w-1", limits=STEADY, listeners=listeners) as worker:
        await eventually(lambda: set(listener.gained) == {"a0", "a1", "a2"}, "the other listener hears of all")
        assert set(worker.ownership.owned) == {"a0", "a1", "a2"}


async def test_rq_info_shows_workers_and_their_queues(redis_url: str, redis: Redis) -> None:
    """Operators look at the queues with RQ's own tool."""
    add_accounts(redis, 4)
    async with running_worker(redis_url, HANDLERS, name="w-1", limits=STEADY) as worker:
        await eventually(lambda: len(worker.ownership.owned) == 4, "it has all")
        async with running_client(redis_url) as client:
            await client.call(CONNECT, "a0", NOTHING, timeout=5)
            await client.call(CONNECT, "", NOTHING, timeout=5)
        shown = await asyncio.to_thread(rq_info, redis_url)
        assert "w-1" in shown
        assert "mail-w-1" in shown
        assert "1 workers, 2 queues" in shown
    shown = await asyncio.to_thread(rq_info, redis_url)
    assert "w-1" not in shown
    assert "0 workers, 1 queues" in shown


def rq_info(url: str) -> str:
    """What ``rq info`` prints."""
    environment = {**os.environ, "RQ_KEY_PREFIX": keys.RQ_PREFIX, "COLUMNS": "200"}
    command = [str(Path(sys.executable).with_name("rq")), "info", "--url", url]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout
