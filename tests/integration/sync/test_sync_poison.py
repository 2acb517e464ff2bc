"""A message that kills whoever reads it is found, left alone and named, and the mailbox goes on."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import Iterator

import psutil
import pytest

from gateway.errors import ServiceUnavailableError
from gateway_workers.memory import MIB, limit_memory
from tests.integration.services.world import open_world
from tests.integration.sync.scripted import DeathError, Taking

pytestmark = pytest.mark.anyio


async def test_a_deadly_message_is_quarantined_after_three_deaths(taking: Taking) -> None:
    await taking.take()
    taking.session.put(*map(str, range(1, 11)))
    taking.session.deadly = {"7"}
    assert await taking.take_whatever_dies() == 3
    assert await taking.ids() == ["1", "2", "3", "4", "5", "6", "8", "9", "10"]
    (event,) = await taking.events("messageQuarantined")
    assert event["data"] == {"id": "7", "uid": 7, "attempts": 3, "reason": "unreadable"}
    assert (await taking.held())["7"]["status"] == "failed"
    assert await taking.ids("messageQuarantined") == ["7"]


async def test_a_message_that_takes_more_memory_than_a_worker_may_have_is_quarantined(taking: Taking) -> None:
    await taking.take()
    taking.session.put(*map(str, range(1, 11)))
    taking.session.hungry = {"7"}
    with _memory_limit():
        assert await taking.take_whatever_dies() == 3
    assert await taking.ids("messageQuarantined") == ["7"]
    assert len(await taking.ids()) == 9


async def test_several_deadly_messages_do_not_condemn_their_neighbours(taking: Taking) -> None:
    await taking.take()
    taking.session.put(*map(str, range(1, 21)))
    taking.session.deadly = {"3", "4", "15"}
    await taking.take_whatever_dies()
    assert await taking.ids("messageQuarantined") == ["3", "4", "15"]
    assert await taking.ids() == [str(number) for number in range(1, 21) if str(number) not in taking.session.deadly]


async def test_what_was_quarantined_is_not_read_again(taking: Taking) -> None:
    await taking.take()
    taking.session.put("1", "2")
    taking.session.deadly = {"2"}
    await taking.take_whatever_dies()
    taking.session.read.clear()
    taking.session.put("3")
    await taking.take()
    assert taking.session.read == ["3"]
    assert await taking.ids() == ["1", "3"]


async def test_a_lonely_deadly_message_dies_three_times_too(taking: Taking) -> None:
    await taking.take()
    taking.session.put("1")
    taking.session.deadly = {"1"}
    assert await taking.take_whatever_dies() == 3
    assert taking.session.read == ["1", "1", "1"]


async def test_deaths_of_others_do_not_count_against_a_message(taking: Taking) -> None:
    """A worker that was killed for another reason in the middle of a batch costs one reading, no message."""
    await taking.take()
    taking.session.put(*map(str, range(1, 6)))
    deaths = [DeathError(), DeathError()]

    async def die() -> None:
        if deaths:
            raise deaths.pop()

    taking.session.on_read = die
    assert await taking.take_whatever_dies() == 2
    assert await taking.ids() == ["1", "2", "3", "4", "5"]
    assert await taking.ids("messageQuarantined") == []


async def test_a_message_that_takes_forever_counts_as_deadly(redis_url: str) -> None:
    async with open_world(redis_url) as world:
        taking = Taking(world, time_limit=0.05)
        await taking.begin()
        await taking.take()
        taking.session.put("1")
        taking.session.on_read = _hang
        for _ in range(3):
            with pytest.raises(ServiceUnavailableError):
                await taking.take()
        await taking.take()
        assert await taking.ids("messageQuarantined") == ["1"]


async def _hang() -> None:
    await asyncio.Event().wait()


async def test_no_start_is_remembered_when_all_is_well(taking: Taking) -> None:
    await taking.take()
    taking.session.put("1", "2", "3")
    await taking.take()
    assert await taking.services.store.data.call("KEYS", "*:starts") == []


@contextlib.contextmanager
def _memory_limit() -> Iterator[None]:
    """Let this process reserve half a gibibyte more than it has."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit_memory(psutil.Process().memory_info().data // MIB + 512)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
