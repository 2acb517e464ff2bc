"""How often a service is asked whether an account's mailboxes are still the same."""

from __future__ import annotations

import dataclasses
import secrets

import pytest

from gateway.errors import MailboxUnavailableError, NotFoundError, ProviderError, RateLimitError
from gateway.provider import MailboxChanges
from gateway.testing.context import session_context
from gateway_sandbox.testing import ALICE
from gateway_workers.watching import WatchTools, watch_tools
from gateway_workers.watching.mailbox_list import MailboxList
from tests.contract.memory_provider import MemorySession
from tests.contract.memory_service import MailService
from tests.integration.push.rig import PushWorld

pytestmark = pytest.mark.anyio


class Time:
    """A monotonic clock that stands still."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Looks:
    """Counts how often every mailbox is to be looked at."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def tools(world: PushWorld, clock: Time) -> WatchTools:
    return dataclasses.replace(watch_tools(world.services, lambda: False), clock=clock)


def calls(world: PushWorld) -> int:
    return int(world.sandbox.statistics()["graph"]["requests"].get(ALICE, 0))


async def test_service_is_asked_once_a_minute_at_most_and_in_one_call(world: PushWorld) -> None:
    clock, looks = Time(), Looks()
    mailboxes = MailboxList(tools(world, clock), "alice", looks)
    name = f"Counted {secrets.token_hex(4)}"
    async with await world.services.sessions.open("alice") as session:
        await mailboxes.ask(session)
        await session.create_mailbox(name)
        before = calls(world)
        clock.now += 59
        await mailboxes.ask(session)
        assert (calls(world), looks.count) == (before, 0)
        clock.now += 1
        await mailboxes.ask(session)
        assert (calls(world), looks.count) == (before + 1, 1)
        clock.now += 60
        await mailboxes.ask(session)
        assert (calls(world), looks.count) == (before + 2, 1)
        await session.delete_mailbox(name)


class Refusing(MemorySession):
    """A session that answers every question with the same error, or that it cannot tell."""

    error: ProviderError | None = None
    asked = 0

    async def mailbox_changes(self, since: str | None) -> MailboxChanges | None:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return None


@pytest.mark.parametrize("error", [None, NotFoundError("no such call"), MailboxUnavailableError("no access")])
async def test_service_that_cannot_tell_is_not_asked_again(world: PushWorld, error: ProviderError | None) -> None:
    """And nothing else is held up by it: Microsoft's cloud in China does not know the question."""
    clock, looks = Time(), Looks()
    session = Refusing(MailService(), session_context(None))
    session.error = error
    mailboxes = MailboxList(tools(world, clock), "alice", looks)
    for _ in range(3):
        await mailboxes.ask(session)
        clock.now += 60
    assert (session.asked, looks.count) == (1, 0)


async def test_service_that_asks_for_a_pause_is_asked_again_later(world: PushWorld) -> None:
    clock, looks = Time(), Looks()
    session = Refusing(MailService(), session_context(None))
    session.error = RateLimitError("not now", retry_after=1)
    mailboxes = MailboxList(tools(world, clock), "alice", looks)
    for _ in range(2):
        with pytest.raises(RateLimitError):
            await mailboxes.ask(session)
        clock.now += 60
    assert session.asked == 2
