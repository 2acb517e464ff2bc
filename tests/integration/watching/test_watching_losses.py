"""What is lost comes back: connections, workers, the index."""

from __future__ import annotations

import asyncio

import pytest

from gateway.model.account import FlushRequest
from gateway.redis import keys
from gateway.testing.fault_proxy import FaultProxy, Faults
from gateway_workers.watching import Periods
from tests.integration.queue.rig import eventually
from tests.integration.watching.rig import Account, Watching, letter

pytestmark = pytest.mark.anyio


async def _index_keys(world: Watching, account: str) -> list[bytes]:
    """Every key of the account but its record, its grant, its numbering and its log."""
    kept = {keys.account(account), keys.grant(account), keys.numbers(account), keys.numbers_back(account)}
    kept.add(keys.events(account))
    found = await world.services.store.data.call("KEYS", keys.account_pattern(account))
    return [key for key in found if key.decode() not in kept and b":out" not in key and b":hook" not in key]


async def test_mail_that_came_while_nobody_watched_is_announced_once(stopped: Watching) -> None:
    async with stopped.worker():
        account = await stopped.account()
        await asyncio.to_thread(stopped.dovecot.deliver, account.user, letter("before"))
        await account.settled(["before"])
    await asyncio.to_thread(stopped.dovecot.deliver, account.user, letter("meanwhile"))
    async with stopped.worker():
        await account.settled(["meanwhile", "before"])
    assert await account.subjects() == ["before", "meanwhile"]


async def test_a_connection_that_was_cut_is_built_anew_and_nothing_is_missed(world: Watching) -> None:
    account = await world.account()
    await account.confirmed()
    await asyncio.to_thread(world.dovecot.kick, account.user)
    await asyncio.to_thread(world.dovecot.deliver, account.user, letter("while away"))
    await account.settled(["while away"])
    assert await account.subjects() == ["while away"]
    await account.state("connected")


async def test_a_dead_connection_is_noticed_though_nobody_closes_it(stopped: Watching) -> None:
    async with FaultProxy(stopped.address) as proxy, stopped.worker(periods=Periods(probe=0.3, answer=0.5, tick=0.1)):
        user, phone = await stopped.user()
        account = await stopped.create(user, phone, address=proxy.address)
        await account.confirmed()
        proxy.to_client = proxy.to_server = Faults(stall_after=0)
        await eventually(lambda: _void(account), "the mark is taken off", 10)
        await asyncio.to_thread(stopped.dovecot.deliver, user, letter("in the dark"))
        proxy.to_client = proxy.to_server = Faults()
        await account.settled(["in the dark"])
        assert await account.subjects() == ["in the dark"]


async def _void(account: Account) -> bool:
    return await account.indexed() is None


async def test_a_lost_index_comes_back_by_itself_and_announces_no_old_mail(stopped: Watching) -> None:
    async with stopped.worker(periods=Periods(probe=0.5, tick=0.1)):
        account = await stopped.account()
        for number in range(5):
            await asyncio.to_thread(account.phone.append, letter(number))
        before = await account.settled(["4", "3", "2", "1", "0"])
        lost = await _index_keys(stopped, account.id)
        assert lost
        await stopped.services.store.data.call("DEL", *lost)
        resets = await account.told("mailboxReset")
        assert {event["data"]["reason"] for event in resets} == {"syncStateLost"}
        assert await account.confirmed() == before
        await asyncio.to_thread(stopped.dovecot.deliver, account.user, letter("news"))
        await account.settled(["news", "4", "3", "2", "1", "0"])
        assert await account.subjects() == ["0", "1", "2", "3", "4", "news"]


async def test_messages_alone_can_be_lost_too(stopped: Watching) -> None:
    async with stopped.worker():
        account = await stopped.account()
        for number in range(3):
            await asyncio.to_thread(account.phone.append, letter(number))
        await account.settled(["2", "1", "0"])
        for key in await _index_keys(stopped, account.id):
            if b":box:" in key:
                await stopped.services.store.data.call("DEL", key)
        await asyncio.to_thread(stopped.dovecot.deliver, account.user, letter("news"))
        await account.settled(["news", "2", "1", "0"])
        await account.told("mailboxReset")
        assert set(await account.subjects()) <= {"0", "1", "2", "news"}
        assert len(await account.subjects()) <= 4


async def test_flush_begins_anew_and_announces_from_the_given_time(world: Watching) -> None:
    user, phone = await world.user()
    world.dovecot.fill(user, 3)
    account = await world.create(user, phone)
    await account.confirmed()
    # Only what came in the second in which the account was created.
    before = await account.subjects()
    assert set(before) <= {"Message 2"}
    await world.services.accounts.flush(account.id, FlushRequest(flush=True, notify_from="2020-01-01T00:00:00Z"))
    await account.told("messageNew", len(before) + 3)
    assert await account.subjects() == [*before, "Message 0", "Message 1", "Message 2"]
    await account.confirmed()


async def test_a_deleted_account_is_no_longer_watched_and_leaves_no_keys(world: Watching) -> None:
    account = await world.account()
    await account.confirmed()
    await world.services.accounts.delete(account.id)

    async def nothing_left() -> bool:
        return not await world.services.store.data.call("KEYS", keys.account_pattern(account.id))

    await asyncio.to_thread(world.dovecot.deliver, account.user, letter("to nobody"))
    await eventually(nothing_left, "no key is left", 10)
