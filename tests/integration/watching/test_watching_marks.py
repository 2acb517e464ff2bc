"""The marks of mailboxes that the index answers for, when Redis goes and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.redis import keys
from gateway.services.sync import Owned
from gateway.store.index import BoxRecord
from gateway_workers.watching import WatchTools, watch_tools
from tests.integration.services.world import World, open_world
from tests.rigs.redis_server import RedisServer

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(durable_redis: RedisServer, anyio_backend: str) -> AsyncIterator[World]:
    """An account on a Redis of the test's own."""
    async with open_world(durable_redis.url) as world:
        await world.add_account()
        yield world


async def _confirmed(world: World, *, epoch: int = 7) -> tuple[WatchTools, Owned]:
    stored = await world.services.account_store.get("ann")
    assert stored is not None
    tools, owned = watch_tools(world.services, lambda: False), Owned(config=stored.config, epoch=epoch, index="whole")
    assert await world.services.index.fence("ann", epoch)
    await tools.confirm(owned, BoxRecord(path="INBOX"), dirty=0, cursor_kind="imap")
    assert await _marks(world) == 1
    return tools, owned


async def _marks(world: World) -> int:
    names = await world.services.store.data.call("HKEYS", keys.live("ann"))
    return sum(name.startswith(b"box:") for name in names)


async def test_a_mark_that_could_not_be_taken_off_is_taken_off_when_redis_is_back(
    world: World, durable_redis: RedisServer
) -> None:
    tools, owned = await _confirmed(world)
    await asyncio.to_thread(durable_redis.kill)
    await tools.unconfirm("ann", "INBOX", owned.epoch)
    await tools.unconfirm_stale()
    await asyncio.to_thread(durable_redis.start)
    assert await _marks(world) == 1
    await tools.unconfirm_stale()
    assert await _marks(world) == 0


async def test_a_mark_that_was_set_anew_meanwhile_stays(world: World, durable_redis: RedisServer) -> None:
    """Else every listing would go to the mail server, although the mailbox is watched, until something happens."""
    tools, owned = await _confirmed(world)
    await asyncio.to_thread(durable_redis.kill)
    await tools.unconfirm("ann", "INBOX", owned.epoch)
    await asyncio.to_thread(durable_redis.start)
    await tools.confirm(owned, BoxRecord(path="INBOX"), dirty=0, cursor_kind="imap")
    await tools.unconfirm_stale()
    assert await _marks(world) == 1


async def test_a_mark_of_the_next_owner_stays(world: World, durable_redis: RedisServer) -> None:
    """A worker that was taken for dead goes on for a moment while another one watches the mailbox already."""
    tools, owned = await _confirmed(world)
    await asyncio.to_thread(durable_redis.kill)
    await tools.unconfirm("ann", "INBOX", owned.epoch)
    await asyncio.to_thread(durable_redis.start)
    others, theirs = await _confirmed(world, epoch=8)
    await tools.unconfirm_stale()
    await tools.unconfirm("ann", "INBOX", owned.epoch)
    assert await _marks(world) == 1
    await others.unconfirm("ann", "INBOX", theirs.epoch)
    assert await _marks(world) == 0
