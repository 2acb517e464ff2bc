"""The subscription of an account: made, renewed, made anew, given up; and what it says believed when it is ours."""

from __future__ import annotations

import os
import random
import re
from datetime import timedelta
from itertools import pairwise

import pytest

from gateway.testing.clock import FakeClock
from tests.integration.push.rig import PushWorld

pytestmark = pytest.mark.anyio

DAYS = int(os.environ.get("PUSH_DAYS", "30"))
SEED = int(os.environ.get("PUSH_SEED", "0")) or random.randrange(1, 1 << 31)


def pass_time(world: PushWorld, clock: FakeClock, time: timedelta) -> None:
    clock.advance(time.total_seconds())
    world.sandbox.clock.ahead += time


def set_clock(world: PushWorld, clock: FakeClock, skew: timedelta = timedelta()) -> None:
    world.sandbox.clock.ahead += clock() + skew - world.sandbox.clock()


async def test_subscription_is_made_at_once_and_calls(world: PushWorld) -> None:
    kept = await world.keep()
    assert (kept.active, kept.gap) == (True, True)
    shown = await world.shown()
    assert shown.push is not None
    assert shown.outlook_subscription is not None
    assert (shown.push.active, shown.outlook_subscription.state.state) == (True, "created")
    await world.deliver()
    assert len((await world.called()).messages) == 1
    assert not (await world.keep()).gap


async def test_it_is_renewed_twice_a_day_and_not_more_often(world: PushWorld, clock: FakeClock) -> None:
    await world.keep()
    ends = []
    for _ in range(25):
        ends.append((await world.subscriptions())[0]["expirationDateTime"])
        pass_time(world, clock, timedelta(hours=1))
        assert (await world.keep()).active
    assert [before == after for before, after in pairwise(ends)].count(False) == 2


async def test_one_that_was_lost_in_silence_is_noticed_within_half_a_day(world: PushWorld, clock: FakeClock) -> None:
    await world.keep()
    (lost,) = await world.subscriptions()
    await world.remove(lost["id"])
    pass_time(world, clock, timedelta(hours=12))
    assert await world.keep() == (True, 60.0, True)
    (made,) = await world.subscriptions()
    assert made["id"] != lost["id"]


@pytest.mark.parametrize(
    ("event", "gap", "same"),
    [("reauthorizationRequired", False, True), ("subscriptionRemoved", True, False), ("missed", True, True)],
)
async def test_what_the_service_says_of_it_is_followed(world: PushWorld, event: str, gap: bool, same: bool) -> None:
    await world.keep()
    (before,) = await world.subscriptions()
    await world.lifecycle(event)
    assert (await world.keep(told=await world.told())) == (True, 60.0, gap)
    (after,) = await world.subscriptions()
    assert (after["id"] == before["id"]) == same
    await world.deliver()
    assert (await world.called()).messages


async def test_failures_are_tried_again_later_each_time(world: PushWorld, clock: FakeClock) -> None:
    """And the account says what is wrong."""
    world.callee.answers = False
    attempts = []
    for _ in range(180):
        before = world.callee.validations
        assert not (await world.keep()).active
        if world.callee.validations > before:
            attempts.append(clock())
        pass_time(world, clock, timedelta(minutes=1))
    pauses = [(after - before).total_seconds() for before, after in pairwise(attempts)]
    assert pauses == [60, 60, 120, 240, 480, 960, 1920, 3600]
    shown = await world.shown()
    assert shown.push is not None
    assert shown.outlook_subscription is not None
    assert (shown.push.active, shown.push.code) == (False, "ValidationError")
    assert shown.outlook_subscription.state.create_retry_count == 9
    world.callee.answers = True
    pass_time(world, clock, timedelta(hours=1))
    assert (await world.keep()).active
    assert (await world.shown()).push == shown.push.__class__(active=True)


async def test_renewing_that_fails_leaves_it_active_and_is_tried_again(world: PushWorld, clock: FakeClock) -> None:
    await world.keep()
    pass_time(world, clock, timedelta(hours=12))
    world.sandbox.fail("graph_unavailable")
    async with await world.services.sessions.open("alice") as session:
        session.deadline = 0.0
        assert (await world.services.push.keep("alice", session)).active
    world.sandbox.reset()
    set_clock(world, clock)
    pass_time(world, clock, timedelta(minutes=1))
    assert (await world.keep()) == (True, 60.0, False)


async def test_another_address_gets_a_subscription_of_its_own(world: PushWorld) -> None:
    await world.keep()
    (before,) = await world.subscriptions()
    url = world.callee.url.replace("127.0.0.1", "localhost")
    await world.services.runtime_settings.update({"notificationBaseUrl": f"{url}/"})
    assert (await world.keep()).gap
    (after,) = await world.subscriptions()
    assert after["notificationUrl"] == f"{url}/oauth/msg/notification?account=alice"
    assert after["lifecycleNotificationUrl"] == f"{url}/oauth/msg/lifecycle?account=alice"
    assert before["id"] != after["id"]


async def test_without_an_address_there_is_none(world: PushWorld) -> None:
    """Neither at the service any more."""
    await world.keep()
    await world.services.runtime_settings.update({"serviceUrl": None})
    assert (await world.keep()) == (False, 60.0, False)
    shown = await world.shown()
    assert shown.push is not None
    assert (shown.push.code, shown.outlook_subscription) == ("NoPublicAddress", None)
    assert await world.subscriptions() == []


async def test_mailbox_of_somebody_else_is_asked(world: PushWorld) -> None:
    await world.account("team", shared="shared@sandbox.test")
    assert not (await world.keep("team")).active
    shown = await world.shown("team")
    assert shown.push is not None
    assert shown.push.code == "NotSupported"
    assert "own mailbox" in (shown.push.text or "")


async def test_one_that_was_forgotten_is_taken_over(world: PushWorld) -> None:
    """Redis came back from a backup: what it calls with is known from the service itself."""
    await world.keep()
    (before,) = await world.subscriptions()
    await world.forget()
    assert (await world.keep()).active
    (after,) = await world.subscriptions()
    assert after["id"] == before["id"]
    await world.deliver()
    assert (await world.called()).messages


async def test_left_over_of_a_deleted_account_is_replaced(world: PushWorld) -> None:
    await world.account("before")
    await world.keep("before")
    await world.services.accounts.delete("before")
    assert (await world.keep()).active
    (one,) = await world.subscriptions()
    assert one["notificationUrl"].endswith("?account=alice")


async def test_two_accounts_of_one_mailbox_do_not_take_it_from_each_other(world: PushWorld) -> None:
    await world.account("twin")
    assert (await world.keep()).active
    assert not (await world.keep("twin")).active
    assert (await world.keep()).active
    shown = await world.shown("twin")
    assert shown.push is not None
    assert shown.push.code == "SubscribedElsewhere"
    (one,) = await world.subscriptions()
    assert one["notificationUrl"].endswith("?account=alice")


async def test_calls_of_another_subscription_are_not_believed(world: PushWorld) -> None:
    """With the right secret, too: that of an earlier one may have leaked."""
    await world.keep()
    (before,) = await world.subscriptions()
    await world.lifecycle("subscriptionRemoved")
    await world.keep(told=await world.told())
    body = f'{{"value": [{{"subscriptionId": "{before["id"]}", "clientState": "{before["clientState"]}"}}]}}'
    await world.services.push.called("alice", body.encode())
    assert not await world.called(within=0)


async def test_calls_for_an_account_that_cannot_be_opened_any_more_are_taken(world: PushWorld) -> None:
    """Its app is gone: the service is not told of that, and would call for four hours."""
    await world.keep()
    stored = await world.services.account_store.get("alice")
    assert stored is not None
    assert stored.config.oauth2 is not None
    await world.services.apps.delete(stored.config.oauth2.app)
    await world.services.push.called("alice", b'{"value": []}')
    assert not await world.called(within=0)


async def test_a_month_with_faults_leaves_no_gap_that_is_not_told(world: PushWorld, clock: FakeClock) -> None:
    """Where the service does not call, that is known, or found out at the first look after half a day.

    And that calls were missed is told, so that everything is looked at.
    """
    print(f"PUSH_SEED={SEED} PUSH_DAYS={DAYS}")
    chance = random.Random(SEED)
    end, lost_at, was_active, checked = clock() + timedelta(days=DAYS), None, False, 0
    while clock() < end:
        fault = chance.choice(["none"] * 8 + ["lost", "removed", "silenced", "endpoint", "old limit", "skew"])
        world.callee.answers = fault != "endpoint"
        told: frozenset[str] = frozenset()
        if fault == "old limit":
            world.sandbox.fail("old_subscription_limit", seconds=chance.randrange(100_000))
        elif fault == "skew":
            set_clock(world, clock, skew=timedelta(seconds=chance.randrange(-300, 300)))
        elif fault == "lost" and (there := await world.subscriptions()):
            await world.remove(there[0]["id"])
            lost_at = lost_at or clock()
        elif fault in ("removed", "silenced") and was_active and lost_at is None:
            await world.lifecycle("subscriptionRemoved" if fault == "removed" else "reauthorizationRequired")
            told = await world.told()
        kept = await world.keep(told=told)
        assert kept.gap or was_active or not kept.active, "what happened meanwhile is looked at"
        if kept.gap or not kept.active:
            lost_at = None
        if lost_at is not None:
            assert clock() - lost_at <= timedelta(hours=12 + 4)
        elif kept.active and world.callee.answers:
            await world.deliver()
            assert (await world.called()).messages, f"silent at {clock()} after {fault}"
            checked += 1
        was_active = kept.active
        pass_time(world, clock, timedelta(minutes=chance.choice((1, 5, 30, 90, 240))))
    assert len(await world.subscriptions()) <= 1
    assert checked > DAYS


async def counted(world: PushWorld) -> dict[str, int]:
    """What the metrics say, without what is nought."""
    lines = (await world.services.metrics.text()).decode().splitlines()
    found = [re.fullmatch(r'outlook_subscriptions{status="(\w+)"} (\d+)', line) for line in lines]
    return {match[1]: int(match[2]) for match in found if match is not None and match[2] != "0"}


async def test_subscriptions_are_counted_by_what_became_of_them(world: PushWorld, clock: FakeClock) -> None:
    assert await counted(world) == {}
    await world.services.runtime_settings.update({"serviceUrl": None})
    await world.keep()
    assert await counted(world) == {"unset": 1}
    await world.services.runtime_settings.update({"serviceUrl": world.callee.url})
    world.callee.answers = False
    await world.keep()
    assert await counted(world) == {"failed": 1}
    world.callee.answers = True
    pass_time(world, clock, timedelta(minutes=1))
    await world.keep()
    assert await counted(world) == {"valid": 1}
    pass_time(world, clock, timedelta(days=7))
    assert await counted(world) == {"expired": 1}
    await world.services.accounts.delete("alice")
    assert await counted(world) == {}
