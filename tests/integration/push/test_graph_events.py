"""Events of a mailbox over Graph: the same as over IMAP."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway_sandbox.testing import ALICE
from gateway_workers.watching import Periods
from tests.integration.push.rig import PushWorld, telephone, worker
from tests.integration.queue.rig import eventually

pytestmark = pytest.mark.anyio

OFTEN = Periods(full_pass=2.0, pushed=0.5)
NEVER = 1_000_000.0


def letter(subject: str) -> bytes:
    return f"From: bob@example.test\r\nTo: {ALICE}\r\nSubject: {subject}\r\n\r\nx\r\n".encode()


async def told(world: PushWorld, *names: str) -> list[dict[str, Any]]:
    return [event for event in await world.log() if event["event"] in names]


async def test_deletion_tells_the_mailbox_that_the_message_was_in(called: PushWorld) -> None:
    """Whoever deletes, and in whichever mailbox: watched, not watched, or below another one."""
    phone = await asyncio.to_thread(telephone, called)
    name = f"Above {secrets.token_hex(4)}"

    def fill() -> dict[str, str]:
        above = phone.call("POST", "/me/mailFolders", {"displayName": name})["id"]
        below = phone.call("POST", f"/me/mailFolders/{above}/childFolders", {"displayName": "Below"})["id"]
        places = {"INBOX": "inbox", "Archive": "archive", f"{name}/Below": below}
        return {
            phone.call("POST", f"/me/mailFolders/{folder}/messages", {"subject": path})["id"]: path
            for path, folder in places.items()
        }

    async with worker(called, Periods(full_pass=NEVER, pushed=NEVER)):
        where = await asyncio.to_thread(fill)

        async def all_new() -> bool:
            return {event["data"]["id"]: event["path"] for event in await told(called, "messageNew")} == where

        await eventually(all_new, "all are told", 20)
        for id in where:
            await asyncio.to_thread(phone.call, "POST", f"/me/messages/{id}/permanentDelete")

        async def all_gone() -> bool:
            return {event["data"]["id"]: event["path"] for event in await told(called, "messageDeleted")} == where

        await eventually(all_gone, "all deletions are told", 20)
        assert len(await told(called, "messageDeleted")) == len(where)
    phone.close()


async def test_account_tells_of_what_came_since_the_time_it_is_to_tell_from(called: PushWorld) -> None:
    """In every mailbox, and of nothing older."""
    phone = await asyncio.to_thread(telephone, called)
    for subject, age in (("old", timedelta(days=3)), ("new", timedelta(hours=1))):
        called.sandbox.clock.ahead = -age
        for mailbox in ("INBOX", "Archive"):
            await asyncio.to_thread(called.sandbox.deliver, ALICE, letter(f"{subject} {mailbox}"), mailbox)
    called.sandbox.clock.ahead = timedelta()
    since = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    async with worker(called, OFTEN, notify_from=since):
        await called.deliver("last")

        async def last() -> bool:
            return "last" in {event["data"]["subject"] for event in await told(called, "messageNew")}

        await eventually(last, "what comes now is told", 20)
        assert Counter((event["path"], event["data"]["subject"]) for event in await told(called, "messageNew")) == {
            ("INBOX", "new INBOX"): 1,
            ("Archive", "new Archive"): 1,
            ("INBOX", "last"): 1,
        }
    phone.close()


@pytest.mark.parametrize("failure", ["delta_expired", "delta_invalid", "resync_required"])
async def test_what_happens_while_the_service_forgets_is_told_once_and_nothing_is_reset(
    called: PushWorld, failure: str
) -> None:
    """Everything is read anew and compared: what was there is no news, what has gone is missed."""
    phone = await asyncio.to_thread(telephone, called)
    async with worker(called, OFTEN):
        for subject in ("stays", "changes", "goes"):
            await called.deliver(subject)

        async def three() -> dict[str, str]:
            new = await told(called, "messageNew")
            return {event["data"]["subject"]: event["data"]["id"] for event in new} if len(new) == 3 else {}

        ids = await eventually(three, "all are told", 20)
        called.sandbox.fail(failure, user=ALICE)
        await called.deliver("comes")
        await asyncio.to_thread(phone.call, "PATCH", f"/me/messages/{ids['changes']}", {"isRead": True})
        await asyncio.to_thread(phone.call, "POST", f"/me/messages/{ids['goes']}/permanentDelete")
        await asyncio.to_thread(phone.call, "POST", f"/me/messages/{ids['stays']}/move", {"destinationId": "archive"})
        expected = {
            ("messageNew", "INBOX"): 4,
            ("messageUpdated", "INBOX"): 1,
            ("messageDeleted", "INBOX"): 2,
            ("messageNew", "Archive"): 1,
        }

        async def all_told() -> bool:
            events = [event for event in await called.log() if event["event"].startswith(("message", "mailbox"))]
            return Counter((event["event"], event["path"]) for event in events) == expected

        await eventually(all_told, "everything is told once", 20)
        await called.deliver("last")
        expected["messageNew", "INBOX"] += 1
        await eventually(all_told, "and what comes later", 20)
    phone.close()
