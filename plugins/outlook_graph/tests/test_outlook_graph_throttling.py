"""Nothing that Microsoft refuses for a while reaches a caller who can wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.errors import RateLimitError, ServiceUnavailableError
from gateway.model.message import FlagUpdate, MessageUpdate
from gateway.provider import PageRequest, Session
from gateway_outlook_graph import Limits
from gateway_outlook_graph.budget import Budget
from gateway_outlook_graph.gate import Gate
from gateway_outlook_graph.pace import LEAST, MOST, START, Pace
from gateway_outlook_graph.priority import Priority
from gateway_outlook_graph.provider import OutlookGraphProvider
from gateway_sandbox.testing import ALICE, BOB

if TYPE_CHECKING:
    from conftest import World

pytestmark = pytest.mark.anyio


def letter(subject: str) -> bytes:
    header = f"From: {BOB}\r\nTo: {ALICE}\r\nSubject: {subject}\r\nMessage-ID: <{subject.replace(' ', '-')}@x.test>\r\n"
    return f"{header}MIME-Version: 1.0\r\n\r\nHello.\r\n".encode()


class Time:
    """A clock that moves when somebody sleeps.

    Attributes:
        slept: the seconds of each sleep.
        woken: called after each.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self.woken: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.woken()
        await asyncio.sleep(0)


def in_fast_time(outlook: World) -> OutlookGraphProvider:
    """Return a provider for which a pause is over at once: all who sleep move the same clock."""
    clock = Time()
    patient = Limits(patience=1_000_000.0)
    return OutlookGraphProvider(outlook.environment, limits=patient, sleep=clock.sleep, clock=clock)


@asynccontextmanager
async def opened(outlook: World, provider: OutlookGraphProvider, number: int = 1) -> AsyncIterator[list[Session]]:
    """Open Alice's mailbox a few times; its inbox and archive are empty."""
    await asyncio.to_thread(outlook.as_new)
    account = await outlook.account()
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(provider.open(*account)) for _ in range(number)]


def counted(outlook: World, what: str) -> int:
    return int(outlook.sandbox.statistics()["graph"][what].get(ALICE, 0))


async def test_a_storm_of_refusals_reaches_nobody_and_never_are_there_five_calls(outlook: World) -> None:
    """429 and 503 at the same time, while messages are stored, changed and listed by several sessions."""
    provider = in_fast_time(outlook)
    async with opened(outlook, provider, 6) as sessions:
        outlook.sandbox.fail("throttled", user=ALICE, seconds=0, share=0.1)
        outlook.sandbox.fail("graph_unavailable", user=ALICE, share=0.1)
        refused = counted(outlook, "throttled")

        async def store(number: int) -> str:
            stored = await sessions[number % 5].append("Archive", letter(f"stored {number}"), flags=("\\Seen",))
            assert stored.id is not None
            return stored.id

        async with asyncio.TaskGroup() as group:
            storing = [group.create_task(store(number)) for number in range(25)]
            pages = [group.create_task(sessions[5].messages("Archive", PageRequest(size=5))) for _ in range(5)]
        ids = [task.result() for task in storing]
        changed = await sessions[0].update_many(ids, MessageUpdate(flags=FlagUpdate(add="\\Flagged")))
        outlook.sandbox.reset()
        listed = await sessions[5].messages("Archive", PageRequest(size=50))
    assert all(len(task.result().messages) <= 5 for task in pages)
    assert (list(changed.done), changed.failed, changed.unknown) == (ids, {}, ())
    assert {entry.id for entry in listed.messages} == set(ids), "none twice, none lost"
    assert all(entry.flagged for entry in listed.messages)
    assert counted(outlook, "throttled") > refused, "there was no storm"
    assert counted(outlook, "peak") <= 4


async def test_a_pause_is_waited_for_as_long_as_the_caller_waits(outlook: World) -> None:
    """Longer than any patience of our own; and each pause of a storm is longer than the one before."""
    clock = Time()
    provider = OutlookGraphProvider(outlook.environment, sleep=clock.sleep, clock=clock)
    async with opened(outlook, provider) as (session,):
        outlook.sandbox.fail("throttled", user=ALICE, seconds=1)
        clock.woken = lambda: outlook.sandbox.reset() if sum(clock.slept) > 90 else None
        session.deadline = clock.now + 200
        await session.check()
    assert 90 < sum(clock.slept) < 200
    assert clock.slept[1:] == sorted(clock.slept[1:])
    assert clock.slept[-1] > 10, "Retry-After said one second each time"


@pytest.mark.parametrize("failure", ["throttled", "graph_unavailable"])
async def test_a_pause_beyond_the_deadline_is_told_before_it(outlook: World, failure: str) -> None:
    """The caller gets the reason, and how long to wait, not merely silence."""
    clock = Time()
    provider = OutlookGraphProvider(outlook.environment, sleep=clock.sleep, clock=clock)
    async with opened(outlook, provider) as (session,):
        outlook.sandbox.fail(failure, user=ALICE)
        session.deadline = deadline = clock.now + 20
        with pytest.raises((RateLimitError, ServiceUnavailableError)) as caught:
            await session.check()
    assert clock.now <= deadline
    if failure == "throttled":
        assert isinstance(caught.value, RateLimitError)
        assert caught.value.retry_after is not None
        assert caught.value.retry_after > 20


async def test_a_download_waits_for_a_pause_too(outlook: World) -> None:
    clock = Time()
    provider = OutlookGraphProvider(outlook.environment, sleep=clock.sleep, clock=clock)
    async with opened(outlook, provider) as (session,):
        stored = await session.append("Archive", letter("to download"))
        assert stored.id is not None
        outlook.sandbox.fail("throttled", user=ALICE, seconds=3)
        clock.woken = outlook.sandbox.reset
        octets = b"".join([chunk async for chunk in session.source(stored.id)])
    assert b"to download" in octets
    assert clock.slept[0] >= 3


async def test_somebody_who_lists_does_not_wait_for_an_import(outlook: World) -> None:
    """What is stored leaves one of the four places to those who read."""
    async with opened(outlook, outlook.provider, 9) as (reader, *writers):
        await reader.messages("INBOX", PageRequest(size=5))
        outlook.sandbox.fail("slow", user=ALICE, seconds=0.05)
        stored = 0

        async def fill(session: Session, writer: int) -> None:
            nonlocal stored
            for number in range(3):
                await session.append("Archive", letter(f"import {writer} {number}"))
                stored += 1

        async with asyncio.TaskGroup() as group:
            for number, session in enumerate(writers):
                group.create_task(fill(session, number))
            while stored == 0:
                await asyncio.sleep(0.005)
            begun, at = stored, time.monotonic()
            await reader.messages("INBOX", PageRequest(size=5))
            meanwhile, took = stored - begun, time.monotonic() - at
    outlook.sandbox.reset()
    assert stored == 24
    # 23 messages of two calls each, three at once: 0.8 s, which a list in their row would have waited for.
    assert meanwhile <= 10, took


def test_calls_that_are_refused_together_are_one_refusal() -> None:
    """Four calls run side by side: the pause would be sixteen times as long as it has to be."""
    clock = Time()
    gate = Gate(4, 0.5, Budget(10_000, 600.0, clock), clock)
    assert [gate.refused(0) for _ in range(4)] == [0.5] * 4
    clock.now += 0.5
    assert [gate.refused(0) for _ in range(4)] == [1.0] * 4


def test_an_app_is_slowed_down_by_refusals_and_speeds_up_again() -> None:
    clock = Time()
    pace = Pace(clock)
    for _ in range(10):
        pace.refused()
    assert pace.rate == START / 2, "refusals of one moment tell of the same thing"
    for _ in range(20):
        clock.now += 2
        pace.refused()
    assert pace.rate == LEAST
    for _ in range(1000):
        pace.accepted()
    assert 100 < pace.rate < START
    for _ in range(1_000_000):
        pace.accepted()
    assert pace.rate == MOST


def test_the_rate_of_an_app_is_kept_and_people_go_first() -> None:
    clock = Time()
    pace = Pace(clock, rate=20.0)

    def second(priority: Priority) -> int:
        end, taken = clock.now + 1.0, 0
        while True:
            wait = pace.take(priority)
            if clock.now + wait >= end:
                clock.now = end
                return taken
            clock.now += wait
            taken += wait == 0

    # What may be used at once is used up first.
    assert second(Priority.BACKGROUND) in (20, 21, 22, 23)
    assert second(Priority.BACKGROUND) in (19, 20, 21)
    assert pace.take(Priority.INTERACTIVE) == 0
    assert second(Priority.INTERACTIVE) in (20, 21, 22, 23)
    assert pace.take(Priority.BACKGROUND) > pace.take(Priority.INTERACTIVE)


async def test_mailboxes_of_an_app_share_its_rate(outlook: World) -> None:
    """Graph counts per app: what is refused in one mailbox slows the others down before they are refused."""
    provider = in_fast_time(outlook)
    alice, bob = await outlook.account(), await outlook.account(BOB)
    async with provider.open(*alice) as one, provider.open(*bob) as other:
        assert one._client._pace is other._client._pace  # type: ignore[attr-defined]
        assert one._client._gate is not other._client._gate  # type: ignore[attr-defined]
        before = one._client._pace.rate  # type: ignore[attr-defined]
        outlook.sandbox.fail("throttled", user=ALICE, seconds=0, share=0.5)
        for _ in range(4):
            await one.check()
        assert other._client._pace.rate < before  # type: ignore[attr-defined]
