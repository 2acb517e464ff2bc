"""The map of accounts and their owners, as the scripts keep it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from redis import Redis

from gateway.queue import operations
from gateway.queue.ownership import OwnershipClient
from gateway.redis import keys
from gateway.redis.client import open_client
from gateway.redis.coalescer import Coalescer
from tests.integration.queue.rig import running_client

pytestmark = pytest.mark.anyio

NOTHING = operations.NoArguments()


@pytest.fixture
async def owners(redis_url: str) -> AsyncIterator[OwnershipClient]:
    """The client under test."""
    control = open_client(redis_url)
    yield OwnershipClient(Coalescer(control))
    await control.aclose()


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """A client for looking at Redis."""
    with Redis.from_url(redis_url) as client:
        yield client


def add_accounts(redis: Redis, *accounts: str) -> None:
    """Create accounts, as far as ownership is concerned."""
    redis.hset(keys.ACCOUNTS, mapping=dict.fromkeys(accounts, "1"))


def set_to_work(redis: Redis, *workers: str) -> None:
    """Let workers live until the test ends it."""
    redis.sadd(keys.WORKERS, *workers)
    for worker in workers:
        redis.set(keys.worker(worker), "1")


def numbered(count: int) -> list[str]:
    """Names of accounts."""
    return [f"a{number}" for number in range(count)]


async def test_an_account_has_one_living_owner_at_a_time(owners: OwnershipClient, redis: Redis) -> None:
    """Two workers that watch one mailbox would tell of each message twice."""
    add_accounts(redis, "ada")
    set_to_work(redis, "w-1", "w-2")
    first = await owners.claim("w-1", "ada")
    assert first is not None
    assert await owners.claim("w-2", "ada") is None
    owner = await owners.owner("ada")
    assert owner is not None
    assert (owner.worker, owner.epoch) == ("w-1", first)


async def test_whoever_takes_over_has_a_higher_epoch(owners: OwnershipClient, redis: Redis) -> None:
    """What the worker that was thought dead writes late is told by its epoch, also when Redis forgot the last one."""
    add_accounts(redis, "ada")
    set_to_work(redis, "w-1", "w-2", "w-3")
    first = await owners.claim("w-1", "ada") or 0
    redis.delete(keys.worker("w-1"))
    assert await owners.owner("ada") is None
    second = await owners.claim("w-2", "ada") or 0
    redis.delete(keys.EPOCH, keys.worker("w-2"))
    third = await owners.claim("w-3", "ada") or 0
    assert 0 < first < second < third
    assert redis.smembers(keys.owned("w-1")) == redis.smembers(keys.owned("w-2")) == set()
    assert redis.smembers(keys.owned("w-3")) == {b"ada"}


async def test_many_claims_at_once_have_one_winner(owners: OwnershipClient, redis: Redis) -> None:
    """After a death, every other worker may be asked for the same account at the same moment."""
    workers = [f"w-{number}" for number in range(20)]
    add_accounts(redis, "ada")
    set_to_work(redis, *workers)
    epochs = await asyncio.gather(*(owners.claim(worker, "ada") for worker in workers))
    assert len([epoch for epoch in epochs if epoch is not None]) == 1


@pytest.mark.parametrize("sign", [None, "0"], ids=["dead", "stopping"])
async def test_only_a_worker_at_work_takes_accounts(owners: OwnershipClient, redis: Redis, sign: str | None) -> None:
    """What it took would have to change hands again at once."""
    add_accounts(redis, "ada")
    redis.sadd(keys.UNOWNED, "ada")
    if sign is not None:
        redis.set(keys.worker("w-1"), sign)
    assert await owners.claim("w-1", "ada") is None
    assert await owners.balance("w-1", {}, limit=10) is None
    assert redis.smembers(keys.UNOWNED) == {b"ada"}


async def test_an_account_that_does_not_exist_has_no_owner(owners: OwnershipClient, redis: Redis) -> None:
    """A job may still run when its account is deleted."""
    set_to_work(redis, "w-1")
    add_accounts(redis, "ada")
    assert await owners.claim("w-1", "nobody") is None
    await owners.claim("w-1", "ada")
    redis.hdel(keys.ACCOUNTS, "ada")
    await owners.forget("ada")
    assert await owners.claim("w-1", "ada") is None
    assert await owners.balance("w-1", {"ada": 1}, limit=10) is not None
    assert redis.exists(keys.OWNERS, keys.UNOWNED, keys.owned("w-1")) == 0


async def test_an_account_that_was_deleted_and_created_again_is_watched_at_once(
    owners: OwnershipClient, redis: Redis
) -> None:
    """Its owner has not noticed either, and nobody else looks for it before the map is put in order."""
    set_to_work(redis, "w-1")
    add_accounts(redis, "ada")
    epoch = await owners.claim("w-1", "ada")
    assert epoch is not None
    await owners.forget("ada")
    balance = await owners.balance("w-1", {"ada": epoch}, limit=10)
    assert balance is not None
    assert balance.lost == ("ada",)
    assert list(balance.gained) == ["ada"]
    assert balance.gained["ada"] > epoch
    again = await owners.balance("w-1", balance.gained, limit=10)
    assert again is not None
    assert (again.lost, again.gained) == ((), {})


async def test_free_accounts_are_adopted_up_to_the_fair_share(owners: OwnershipClient, redis: Redis) -> None:
    """The first worker to ask must not take all."""
    set_to_work(redis, "w-1", "w-2", "w-3")
    add_accounts(redis, *numbered(100))
    redis.sadd(keys.UNOWNED, *numbered(100))
    gained = []
    for worker in ("w-1", "w-2", "w-3"):
        balance = await owners.balance(worker, {}, limit=1000)
        assert balance is not None
        assert balance.surplus == 0
        gained.append(balance.gained)
    assert [len(accounts) for accounts in gained] == [34, 34, 32]
    assert len({epoch for accounts in gained for epoch in accounts.values()}) == 100


async def test_one_script_adopts_no_more_than_it_was_allowed(owners: OwnershipClient, redis: Redis) -> None:
    """A long script holds up every other caller of Redis."""
    set_to_work(redis, "w-1")
    add_accounts(redis, *numbered(100))
    redis.sadd(keys.UNOWNED, *numbered(100))
    balance = await owners.balance("w-1", {}, limit=7)
    assert balance is not None
    assert len(balance.gained) == 7


async def test_a_worker_that_has_too_many_gives_up_a_tenth_at_a_time(owners: OwnershipClient, redis: Redis) -> None:
    """Each account that moves costs a connection; all at once would be an outage."""
    set_to_work(redis, "w-1")
    add_accounts(redis, *numbered(100))
    mine = {account: await owners.claim("w-1", account) or 0 for account in numbered(100)}
    alone = await owners.balance("w-1", mine, limit=1000)
    set_to_work(redis, "w-2")
    together = await owners.balance("w-1", mine, limit=1000)
    assert alone is not None
    assert together is not None
    assert (alone.surplus, together.surplus) == (0, 10)
    assert (together.lost, dict(together.gained)) == ((), {})


async def test_accounts_stay_where_they_are_while_the_shares_are_nearly_fair(
    owners: OwnershipClient, redis: Redis
) -> None:
    """No worker would ever be at rest otherwise."""
    set_to_work(redis, "w-1", "w-2")
    add_accounts(redis, *numbered(100))
    mine = {account: await owners.claim("w-1", account) or 0 for account in numbered(55)}
    for account in numbered(100)[55:]:
        await owners.claim("w-2", account)
    balance = await owners.balance("w-1", mine, limit=1000)
    assert balance is not None
    assert balance.surplus == 0


async def test_a_worker_learns_what_it_has_lost(owners: OwnershipClient, redis: Redis) -> None:
    """It was paused, and another owner has come and gone: the same name in a later epoch is not the same."""
    set_to_work(redis, "w-1", "w-2")
    add_accounts(redis, "ada", "bob", "cid")
    mine = {account: await owners.claim("w-1", account) or 0 for account in ("ada", "bob", "cid")}
    await owners.release("w-1", ["ada", "bob"])
    await owners.claim("w-2", "ada")
    again = await owners.claim("w-1", "bob")
    balance = await owners.balance("w-1", mine, limit=1000)
    assert balance is not None
    assert set(balance.lost) == {"ada", "bob"}
    assert set(balance.gained) == {"bob"}
    assert balance.gained["bob"] > (again or 0)


async def test_a_claim_that_is_under_way_is_left_alone(owners: OwnershipClient, redis: Redis) -> None:
    """Its answer is on the way; a new epoch would make it void."""
    set_to_work(redis, "w-1")
    add_accounts(redis, "ada")
    epoch = await owners.claim("w-1", "ada")
    balance = await owners.balance("w-1", {"ada": 0}, limit=1000)
    assert balance is not None
    assert (balance.lost, dict(balance.gained)) == ((), {})
    owner = await owners.owner("ada")
    assert owner is not None
    assert owner.epoch == epoch


async def test_a_working_worker_is_not_robbed(owners: OwnershipClient, redis: Redis) -> None:
    """A reaper that was slow meets a worker that has come back."""
    set_to_work(redis, "w-1")
    add_accounts(redis, "ada")
    await owners.claim("w-1", "ada")
    redis.rpush(keys.rq_queue(keys.own_queue("mail", "w-1")), "job")
    assert await owners.return_jobs("w-1") is None
    assert await owners.free("w-1") is None
    assert redis.llen(keys.rq_queue(keys.own_queue("mail", "w-1"))) == 1
    assert (await owners.owner("ada")) is not None


async def test_jobs_go_to_the_worker_that_owns_the_account(
    owners: OwnershipClient, redis: Redis, redis_url: str
) -> None:
    """It has the warm connection; whoever does not work gets nothing, and webhooks need no connection to mail."""
    set_to_work(redis, "w-1", "w-2", "w-3")
    add_accounts(redis, *numbered(5))
    for worker, account in (("w-1", "a0"), ("w-2", "a1"), ("w-3", "a2")):
        await owners.claim(worker, account)
    redis.set(keys.worker("w-2"), "0")
    redis.delete(keys.worker("w-3"))
    hook = operations.DeliverWebhooks(endpoint="one")
    async with running_client(redis_url) as client:
        jobs = {
            account: await client.enqueue(operations.ACCOUNT_CONNECT, account, NOTHING)
            for account in ("a0", "a1", "a2", "a3", "")
        }
        delivery = await client.enqueue(operations.WEBHOOK_DELIVER, "a0", hook)
    assert redis.lrange(keys.rq_queue("mail-w-1"), 0, -1) == [jobs["a0"].encode()]
    shared = [jobs[account].encode() for account in ("a1", "a2", "a3", "")]
    assert redis.lrange(keys.rq_queue("mail"), 0, -1) == shared
    assert redis.lrange(keys.rq_queue("webhook"), 0, -1) == [delivery.encode()]
    assert redis.hget(keys.rq_job(jobs["a0"]), "origin") == b"mail-w-1"
    assert redis.hget(keys.rq_job(jobs["a1"]), "origin") == b"mail"
    queues = {keys.rq_queue(name).encode() for name in ("mail", "mail-w-1", "webhook")}
    assert redis.smembers(keys.RQ_QUEUES) == queues


async def test_the_jobs_of_a_dead_worker_go_to_the_front_in_their_order(
    owners: OwnershipClient, redis: Redis, redis_url: str
) -> None:
    """They have waited longest, and what was asked for first is done first."""
    set_to_work(redis, "w-1")
    add_accounts(redis, "ada")
    await owners.claim("w-1", "ada")
    async with running_client(redis_url) as client:
        taken, *own = [await client.enqueue(operations.ACCOUNT_CONNECT, "ada", NOTHING) for _ in range(4)]
        redis.lmove(keys.rq_queue("mail-w-1"), keys.taken("w-1", "mail"), "LEFT", "RIGHT")
        redis.delete(keys.worker("w-1"))
        others = [await client.enqueue(operations.ACCOUNT_CONNECT, "ada", NOTHING) for _ in range(2)]
    assert await owners.return_jobs("w-1") == 4
    expected = [taken, *own, *others]
    assert redis.lrange(keys.rq_queue("mail"), 0, -1) == [job.encode() for job in expected]
    assert {redis.hget(keys.rq_job(job), "origin") for job in expected} == {b"mail"}
    assert redis.smembers(keys.RQ_QUEUES) == {keys.rq_queue("mail").encode()}


async def test_lost_keys_are_put_right(owners: OwnershipClient, redis: Redis) -> None:
    """Every account has a living owner or is free, and owners that nobody knew to be dead get on the reaper's list."""
    set_to_work(redis, "w-1", "w-dead")
    add_accounts(redis, "ada", "bob", "cid", "dan")
    for worker, account in (("w-1", "ada"), ("w-dead", "bob"), ("w-1", "dan")):
        await owners.claim(worker, account)
    redis.delete(keys.owned("w-1"), keys.worker("w-dead"), keys.WORKERS)
    redis.sadd(keys.UNOWNED, "gone", "ada")
    redis.hdel(keys.ACCOUNTS, "dan")
    redis.sadd(keys.RQ_QUEUES, keys.rq_queue("mail-w-older"), keys.rq_queue("mail"), keys.rq_queue("mail-w-1"))
    repairs = await owners.reconcile()
    assert (repairs.freed, repairs.struck) == (1, 1)
    assert redis.smembers(keys.UNOWNED) == {b"cid"}
    assert redis.smembers(keys.owned("w-1")) == {b"ada"}
    assert redis.smembers(keys.WORKERS) == {b"w-dead", b"w-older"}
    repairs = await owners.reconcile()
    assert (repairs.freed, repairs.struck) == (0, 0)
