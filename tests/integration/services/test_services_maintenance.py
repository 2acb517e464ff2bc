"""Periodic work of the workers: planned things happen, and a Redis that is away ends none of it."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import pytest

from gateway.errors import RateLimitError, ServiceUnavailableError
from gateway.queue import operations
from gateway.redis import keys
from gateway.store.due import CLAIM, DueWork
from gateway_workers.liveness import Liveness
from gateway_workers.maintenance import queue_due_work
from tests.integration.services.world import World

pytestmark = pytest.mark.anyio


async def test_what_is_claimed_and_not_finished_is_due_again(world: World) -> None:
    """The worker that claimed it may have died; meanwhile nobody else takes it."""
    due, work = world.services.due, DueWork("grant.renew", "ann")
    await due.put(work, world.clock())
    assert await due.claim(world.clock()) == [work]
    assert await due.claim(world.clock()) == []
    world.clock.advance(CLAIM + 1)
    assert await due.claim(world.clock()) == [work]
    await due.done(work)
    world.clock.advance(CLAIM + 1)
    assert await due.claim(world.clock()) == []


async def test_what_is_due_while_its_queue_is_paused_is_queued_after_that(world: World) -> None:
    """A job for it each minute of a long pause would fill the queue."""
    services, work = world.services, DueWork("outbox.send", "ann", "q1")
    waiting = keys.rq_queue("send")
    await services.due.put(work, world.clock())
    await services.queues.pause("submit", paused=True)
    for _ in range(3):
        for claimed in await services.due.claim(world.clock()):
            await services.dispatcher.due(claimed)
        world.clock.advance(CLAIM + 1)
    assert await services.store.control.call("LLEN", waiting) == 0
    await services.queues.pause("submit", paused=False)
    assert await services.due.claim(world.clock()) == [work]
    await services.dispatcher.due(work)
    assert await services.store.control.call("LLEN", waiting) == 1


async def test_due_work_goes_on_after_jobs_could_not_be_queued(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One refused enqueue used to end the loop for good: no renewal, no reconnection, no retry from then on."""
    services, stop = world.services, asyncio.Event()
    monkeypatch.setattr("gateway_workers.maintenance.PERIOD", 0.01)
    refused = asyncio.Event()
    queued: list[str] = []

    async def enqueue(operation: operations.Operation, account: str, arguments: object) -> str:
        if not refused.is_set():
            refused.set()
            raise ServiceUnavailableError("the job could not be queued")
        queued.append(account)
        return "job"

    monkeypatch.setattr(services.jobs, "enqueue", enqueue)
    await services.due.put(DueWork("grant.renew", "ann"), world.clock())
    task = asyncio.create_task(queue_due_work(services, stop))
    async with asyncio.timeout(10):
        await refused.wait()
        world.clock.advance(CLAIM + 1)
        while not queued and not task.done():
            await asyncio.sleep(0)
    stop.set()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(task, 5)
    assert queued == ["ann"]


async def test_a_worker_that_begins_is_not_taken_for_a_dead_one(world: World) -> None:
    """Another worker sweeps at the moment it registers: struck off the list, its jobs would be lost at its death."""
    seen: list[bool] = []

    class Watching:
        """Sees what a sweep would see after each command."""

        connections = 1

        async def call(self, *command: Any) -> Any:
            answer = await world.services.store.control.call(*command)
            listed = await world.services.store.control.call("SISMEMBER", keys.WORKERS, "new")
            alive = await world.services.store.control.call("EXISTS", keys.worker("new"))
            seen.append(bool(listed) and not alive)
            return answer

    async def nothing() -> None:
        """Stand for duties that are not looked at here."""

    watching: Any = Watching()
    reaper: Any = None
    liveness = Liveness("new", watching, reaper, on_lost=nothing, on_beat=nothing)
    await liveness.register()
    assert len(seen) > 1 and not any(seen)
    await world.services.store.control.call("SREM", keys.WORKERS, "new")
    await liveness.beat()
    assert await world.services.store.control.call("SISMEMBER", keys.WORKERS, "new")


async def test_a_throttled_connection_attempt_is_made_again_when_the_service_allows_it(world: World) -> None:
    """An account whose first attempt was throttled must not stay "connecting" for good."""
    await world.add_account()
    health, work = world.services.account_health, DueWork("account.connect", "ann")
    await health.connecting("ann")
    await health.postponed("ann", RateLimitError("slow down", retry_after=20))
    world.clock.advance(19)
    assert work not in await world.services.due.claim(world.clock())
    world.clock.advance(timedelta(minutes=1).total_seconds())
    assert work in await world.services.due.claim(world.clock())
    assert (await world.services.accounts.recent_state("ann"))[0] == "connecting"


async def test_a_server_that_lets_in_and_hangs_up_is_asked_less_and_less(world: World) -> None:
    """A login proves nothing; only a connection that lasted does."""
    await world.add_account()
    services, work = world.services, DueWork("account.connect", "ann")
    health = services.account_health
    await services.due.done(work)
    waits = []
    for _ in range(6):
        await health.connected("ann")
        at_once = await health.lost("ann")
        seconds = 0
        while not at_once and work not in await services.due.claim(world.clock()):
            world.clock.advance(1)
            seconds += 1
        waits.append(seconds)
    assert waits[0] == 0
    assert 6 <= waits[1] < waits[2] <= 20
    assert all(24 <= wait <= 37 for wait in waits[4:])
    await health.connected("ann")
    await health.proven("ann")
    assert await health.lost("ann") is True
