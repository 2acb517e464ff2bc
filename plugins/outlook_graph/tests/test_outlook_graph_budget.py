"""A mailbox is called no more than its service takes in a while, so that nothing is refused."""

from __future__ import annotations

import asyncio
import os
import random
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from gateway.provider import PageRequest
from gateway_outlook_graph import Limits, OutlookGraphProvider
from gateway_outlook_graph.budget import Budget
from gateway_outlook_graph.priority import Priority
from gateway_sandbox import graph_throttle
from gateway_sandbox.testing import ALICE

if TYPE_CHECKING:
    from conftest import World

IMPORTED = int(os.environ.get("IMPORT_MESSAGES", "300"))


class Time:
    """A clock that moves when somebody sleeps; so does the sandbox's.

    Attributes:
        outlook: with the sandbox.
        slept: seconds altogether.
    """

    def __init__(self, outlook: World | None = None) -> None:
        self.now = 0.0
        self.slept = 0.0
        self.outlook = outlook

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds
        if self.outlook is not None:
            self.outlook.sandbox.clock.ahead += timedelta(seconds=seconds)
        await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(20))
def test_in_no_window_there_are_more_calls_than_allowed(seed: int) -> None:
    chance, clock = random.Random(seed), Time()
    budget = Budget(1000, 600.0, clock)
    made: list[float] = []
    while clock.now < 3000:
        priority = chance.choice(list(Priority))
        if budget.wait(priority) == 0.0:
            budget.spend(1)
            made.append(clock.now)
        else:
            clock.now += chance.choice((0.01, 1.0, 30.0))
    most = max(sum(begin <= moment < begin + 600 for moment in made) for begin in set(made))
    assert 900 < most <= 1000


def test_background_leaves_calls_for_those_who_wait() -> None:
    clock = Time()
    budget = Budget(1000, 600.0, clock)
    while budget.wait(Priority.BACKGROUND) == 0.0:
        budget.spend(1)
    left = 0
    while budget.wait(Priority.INTERACTIVE) == 0.0:
        budget.spend(1)
        left += 1
    assert left == 50


def test_calls_of_a_batch_are_paid_for_afterwards() -> None:
    clock = Time()
    budget = Budget(120, 600.0, clock)
    budget.spend(59)
    assert budget.wait(Priority.INTERACTIVE) == 0.0
    budget.spend(20)
    wait = budget.wait(Priority.INTERACTIVE)
    clock.now += wait
    assert (wait, budget.wait(Priority.INTERACTIVE)) == (pytest.approx(200.0), 0.0)


@pytest.mark.anyio
async def test_import_over_the_limit_of_a_mailbox_is_refused_nothing(
    outlook: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four at once, more than the service takes in ten minutes, while somebody lists another mailbox.

    ``IMPORT_MESSAGES=5000`` does it with the real limit.
    """
    await asyncio.to_thread(outlook.as_new)
    clock, calls = Time(outlook), 2 * IMPORTED
    monkeypatch.setattr(graph_throttle, "_REQUESTS", calls)
    limits = Limits(patience=1_000_000.0, calls=calls)
    provider = OutlookGraphProvider(outlook.environment, limits=limits, sleep=clock.sleep, clock=clock)
    account = await outlook.account()
    numbers = iter(range(IMPORTED))
    before = outlook.sandbox.statistics()["graph"]
    loop, listed = asyncio.get_running_loop(), []

    async def store() -> None:
        async with provider.open(*account) as session:
            for number in numbers:
                raw = (
                    f"From: b@x.test\r\nTo: {ALICE}\r\nSubject: {number}\r\nMessage-ID: <i{number}@x.test>\r\n\r\nx\r\n"
                )
                assert (await session.append("Archive", raw.encode(), flags=("\\Seen",))).id

    async def read(until: asyncio.Task[None]) -> None:
        async with provider.open(*account) as session:
            while not until.done():
                began = loop.time()
                await session.messages("INBOX", PageRequest(size=20))
                listed.append(loop.time() - began)
                await asyncio.sleep(0.05)

    async def store_all() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(store())

    storing = asyncio.create_task(store_all())
    await read(storing)
    await storing
    after = outlook.sandbox.statistics()["graph"]
    assert after["requests"][ALICE] - before["requests"].get(ALICE, 0) > calls
    assert after["throttled"].get(ALICE, 0) == before["throttled"].get(ALICE, 0)
    assert after["peak"][ALICE] <= 4
    assert clock.slept > 300, "there was no limit"
    listed.sort()
    print(f"{IMPORTED} messages, {clock.slept:.0f} s of pauses; listing p95 {listed[len(listed) * 95 // 100]:.3f} s")
    with_archive = await asyncio.to_thread(_count, outlook)
    assert with_archive == IMPORTED


def _count(outlook: World) -> int:
    with outlook.client() as client:
        return int(client.folder_status("Archive", ["MESSAGES"])[b"MESSAGES"])
