"""How many accounts connect at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway_workers.watching.ramp import Ramp

pytestmark = pytest.mark.anyio


class Crowd:
    """Tasks that want in, and stay until they are told to leave.

    Attributes:
        inside: who is.
        leaving: tells each to leave.
    """

    def __init__(self, *, most: int = 4, few: int = 2) -> None:
        self.busy = False
        self.inside: list[int] = []
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.leaving: dict[int, asyncio.Event] = {}
        self._ramp = Ramp(lambda: self.busy, most=most, few=few)

    async def come(self, *names: int) -> None:
        """Come one after the other."""
        for name in names:
            self.leaving[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._stay(name))
        await _settle()

    async def leave(self, name: int) -> None:
        """Leave."""
        self.leaving[name].set()
        await _settle()

    async def _stay(self, name: int) -> None:
        async with self._ramp:
            self.inside.append(name)
            try:
                await self.leaving[name].wait()
            finally:
                self.inside.remove(name)


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_so_many_are_let_in_and_the_others_in_their_order() -> None:
    crowd = Crowd()
    await crowd.come(1, 2, 3, 4, 5, 6)
    assert crowd.inside == [1, 2, 3, 4]
    await crowd.leave(3)
    await crowd.leave(1)
    assert crowd.inside == [2, 4, 5, 6]


async def test_few_are_let_in_while_somebody_waits_for_answers() -> None:
    crowd = Crowd()
    crowd.busy = True
    await crowd.come(1, 2, 3, 4)
    assert crowd.inside == [1, 2]
    crowd.busy = False
    await crowd.leave(1)
    assert crowd.inside == [2, 3, 4]


async def test_those_who_are_inside_when_it_gets_busy_stay_and_nobody_follows() -> None:
    crowd = Crowd()
    await crowd.come(1, 2, 3, 4, 5)
    crowd.busy = True
    await crowd.leave(1)
    await crowd.leave(2)
    assert crowd.inside == [3, 4]
    await crowd.leave(3)
    assert crowd.inside == [4, 5]


async def _waiting(crowd: Crowd) -> None:
    crowd.tasks[2].cancel()
    await _settle()
    await crowd.leave(1)


async def _called(crowd: Crowd) -> None:
    crowd.leaving[1].set()
    while crowd.inside:
        await asyncio.sleep(0)
    crowd.tasks[2].cancel()
    await _settle()


@pytest.mark.parametrize("give_up", [_waiting, _called])
async def test_whoever_gives_up_takes_no_place(give_up: Callable[[Crowd], Awaitable[None]]) -> None:
    crowd = Crowd(most=1)
    await crowd.come(1, 2, 3)
    await give_up(crowd)
    assert crowd.tasks[2].cancelled()
    assert crowd.inside == [3]
