"""A worker that is called: what it was not called for is found within one period, and what it was, at once."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest

from gateway_workers.watching import Periods
from tests.acceptance.replay import replay, with_ids, without_empty
from tests.integration.push.rig import PushWorld, telephone, worker
from tests.integration.queue.rig import eventually

pytestmark = pytest.mark.anyio

#: Seconds between two looks at everything, as short as the limit on calls allows.
RECONCILE = 5.0
NEVER = 1_000_000.0


async def log(world: PushWorld) -> list[dict[str, Any]]:
    return with_ids(await world.log())


async def told_of_mailboxes(world: PushWorld) -> list[tuple[str, str]]:
    return [(event["event"], event["path"]) for event in await log(world) if event["event"].startswith("mailbox")]


async def test_what_was_not_called_for_is_found_within_one_period(called: PushWorld) -> None:
    """With 30 % of the calls lost, others doubled and out of order, the log equals the mailbox."""
    phone = await asyncio.to_thread(telephone, called)
    async with worker(called, Periods(full_pass=RECONCILE, pushed=RECONCILE)):
        called.sandbox.fail("notifications_dropped", share=0.3)
        called.sandbox.fail("notifications_duplicated", share=0.3)
        called.sandbox.fail("notifications_reordered", share=0.3)
        for _ in range(80):
            await asyncio.to_thread(phone.act)
        there = without_empty(await asyncio.to_thread(phone.truth))

        async def told() -> bool:
            return without_empty(replay(await log(called))) == there

        await eventually(told, "the log equals the mailbox", 1.2 * RECONCILE + 5)
    phone.close()


async def test_what_is_called_for_is_told_at_once_in_every_mailbox(called: PushWorld) -> None:
    """Also in one that nobody watches; no period comes to an end meanwhile."""
    phone = await asyncio.to_thread(telephone, called)
    async with worker(called, Periods(full_pass=NEVER, pushed=NEVER)):
        await asyncio.to_thread(phone.call, "POST", "/me/mailFolders/archive/messages", {"subject": "filed"})
        await called.deliver("news")

        async def told() -> bool:
            new = {event["path"] for event in await log(called) if event["event"] == "messageNew"}
            return new == {"Archive", "INBOX"}

        await eventually(told, "both are told", 10)
    phone.close()


async def test_mailboxes_made_elsewhere_are_told_without_a_look_at_everything(called: PushWorld) -> None:
    """Where nobody calls, as there is no message in them; what comes into them is no reason to look for others."""
    phone = await asyncio.to_thread(telephone, called)
    name = f"Made {secrets.token_hex(4)}"

    async def told(*expected: tuple[str, str]) -> None:
        async def there() -> bool:
            return await told_of_mailboxes(called) == list(expected)

        await eventually(there, f"the log has {expected}", 20)

    async with worker(called, Periods(full_pass=NEVER, pushed=0.5, mailboxes=0.5)):
        folder = await asyncio.to_thread(phone.call, "POST", "/me/mailFolders", {"displayName": name})
        await told(("mailboxNew", name))
        place = f"/me/mailFolders/{folder['id']}"
        await asyncio.to_thread(phone.call, "PATCH", place, {"displayName": f"{name} 2"})
        renamed = (("mailboxNew", name), ("mailboxDeleted", name), ("mailboxNew", f"{name} 2"))
        await told(*renamed)
        await asyncio.to_thread(phone.call, "POST", f"{place}/permanentDelete")
        await told(*renamed, ("mailboxDeleted", f"{name} 2"))
    phone.close()


async def test_every_message_in_a_mailbox_that_is_new_is_told_at_once(called: PushWorld) -> None:
    """A call names the first; no period comes to an end meanwhile."""
    phone = await asyncio.to_thread(telephone, called)
    name = f"New {secrets.token_hex(4)}"

    async def told() -> list[str]:
        new = [event for event in await log(called) if event["event"] == "messageNew" and event["path"] == name]
        return [event["data"]["subject"] for event in new]

    async with worker(called, Periods(full_pass=NEVER, pushed=NEVER, mailboxes=NEVER)):
        folder = await asyncio.to_thread(phone.call, "POST", "/me/mailFolders", {"displayName": name})
        place = f"/me/mailFolders/{folder['id']}"
        expected: list[str] = []
        for subject in ("first", "second", "third"):
            await asyncio.to_thread(phone.call, "POST", f"{place}/messages", {"subject": subject})
            expected.append(subject)

            async def all_told() -> bool:
                return await told() == expected

            await eventually(all_told, f"{subject} is told", 10)
        await asyncio.to_thread(phone.call, "POST", f"{place}/permanentDelete")
    phone.close()
