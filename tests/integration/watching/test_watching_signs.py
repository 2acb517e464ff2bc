"""When an account was last heard from is known while nothing happens in it, and stands still when it is not heard."""

from __future__ import annotations

import asyncio
import re

import pytest

from gateway.redis import keys
from gateway.store.signs import Signs
from gateway.testing.fault_proxy import FaultProxy, Faults
from gateway_workers.watching import Periods
from tests.integration.queue.rig import eventually
from tests.integration.watching.rig import Account, Watching, letter

pytestmark = pytest.mark.anyio

PERIODS = Periods(probe=0.2, answer=30, tick=0.05, report=0.05)


async def signs(world: Watching, account: Account) -> Signs:
    """Return what is known."""
    (found,) = await world.services.signs.of([account.id])
    return found


async def test_an_account_in_which_nothing_happens_gives_signs_of_life(stopped: Watching) -> None:
    """Each probe that is answered is one; what is in the mailboxes was last looked at before."""
    async with stopped.worker(periods=PERIODS):
        account = await stopped.account()
        await account.confirmed()

        async def quiet() -> Signs | None:
            first = await signs(stopped, account)
            return first if first.alive and first.synced and first.alive > first.synced else None

        seen: list[Signs] = [await eventually(quiet, "a probe after the last look")]

        async def later() -> Signs | None:
            found, first = await signs(stopped, account), seen[-1]
            if found.synced != first.synced:
                # What the server told while it settled was looked at, too.
                seen.append(found)
                return None
            return found if found.alive and first.alive and found.alive > first.alive else None

        second: Signs = await eventually(later, "a later sign of life, and no later look")
        await asyncio.to_thread(stopped.dovecot.deliver, account.user, letter("news"))
        await account.settled(["news"])
        await eventually(lambda: _synced_after(stopped, account, second), "the look at the news is noted")
        detail = await stopped.services.accounts.get(account.id)
        assert detail.alive_time is not None and detail.sync_time is not None
        states = await stopped.services.overview.states()
        assert states["connected"].silent_since is not None


async def test_a_connection_that_says_nothing_gives_no_sign_of_life(stopped: Watching) -> None:
    async with FaultProxy(stopped.address) as proxy, stopped.worker(periods=PERIODS):
        user, phone = await stopped.user()
        silent = await stopped.create(user, phone, address=proxy.address)
        speaking = await stopped.account()
        await silent.confirmed()
        await speaking.confirmed()
        proxy.to_client = proxy.to_server = Faults(stall_after=0)
        before = [await signs(stopped, account) for account in (silent, speaking)]

        async def five_probes_later() -> bool:
            now = await signs(stopped, speaking)
            return bool(now.alive and before[1].alive and (now.alive - before[1].alive).total_seconds() > 1)

        await eventually(five_probes_later, "the other one is heard from")
        now = await signs(stopped, silent)
        assert now.alive is not None and before[0].alive is not None
        # What was under way when it fell silent may still be noted.
        assert (now.alive - before[0].alive).total_seconds() < 0.5
        proxy.to_client = proxy.to_server = Faults()


async def test_a_worker_tells_how_many_mailboxes_it_watches_and_how_long_looking_takes(stopped: Watching) -> None:
    async with stopped.worker(periods=PERIODS):
        user, phone = await stopped.user()
        await asyncio.to_thread(phone.create, "Orders")
        account = await stopped.create(user, phone, subconnections=("Orders",))
        await account.confirmed()
        await account.confirmed("Orders")

        async def watched() -> bool:
            text = (await stopped.services.metrics.text()).decode()
            return re.search(r"^gateway_worker_watches\{[^}]*\} 2", text, re.MULTILINE) is not None

        await eventually(watched, "two mailboxes are watched")
        text = (await stopped.services.metrics.text()).decode()
        for kind in ("full", "mailbox"):
            found = re.search(rf'^gateway_sync_seconds_count\{{pass="{kind}"\}} (\S+)', text, re.MULTILINE)
            assert found is not None and float(found[1]) >= 1


async def test_an_account_tells_how_many_connections_workers_hold_to_it(stopped: Watching) -> None:
    """Those that watch, and the warm ones of jobs; none when the worker has said nothing for a while."""
    async with stopped.worker("w-1", periods=PERIODS):
        account = await stopped.account()
        await account.confirmed()

        async def held() -> bool:
            return (await stopped.services.accounts.get(account.id)).connections == 1

        await eventually(held, "the watched inbox is told of")
        await stopped.services.store.control.call("DEL", keys.connections("w-1"))
        await eventually(held, "what was forgotten is told again")
    await stopped.services.store.control.call("DEL", keys.connections("w-1"))
    assert (await stopped.services.accounts.get(account.id)).connections == 0


async def test_nothing_is_noted_of_an_account_that_is_gone(world: Watching) -> None:
    account = await world.account()
    await account.confirmed()
    await world.services.accounts.delete(account.id)
    await world.services.signs.note(world.services.clock(), alive=[account.id], synced=[account.id])
    for name in (keys.ALIVE, keys.SYNCED):
        assert account.id.encode() not in await world.services.store.control.call("HKEYS", name)


async def _synced_after(world: Watching, account: Account, before: Signs) -> bool:
    now = await signs(world, account)
    return bool(now.synced and before.synced and now.synced > before.synced)
