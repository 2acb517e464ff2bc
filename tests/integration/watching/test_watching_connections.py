"""Which mailboxes have a connection of their own, and when an account is connected again."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import ConnectError
from gateway.redis import keys
from gateway.testing.fault_proxy import FaultProxy
from gateway_workers.watching import Periods
from tests.integration.queue.rig import eventually
from tests.integration.watching.rig import Watching, letter

pytestmark = pytest.mark.anyio


async def test_a_mailbox_with_a_subconnection_is_watched_like_the_inbox(world: Watching) -> None:
    user, phone = await world.user()
    await asyncio.to_thread(phone.create, "Orders")
    account = await world.create(user, phone, subconnections=("Orders",))
    await account.confirmed("Orders")
    await account.confirmed("INBOX")
    await asyncio.to_thread(phone.append, letter("order"), "Orders")
    await account.settled(["order"], "Orders")
    assert [event["path"] for event in await account.events("messageNew")] == ["Orders"]


async def test_a_mailbox_without_one_is_left_to_a_worker(world: Watching) -> None:
    user, phone = await world.user()
    await asyncio.to_thread(phone.create, "Orders")
    account = await world.create(user, phone)
    await account.confirmed("INBOX")
    assert await account.indexed("Orders") is None
    assert (await account.asked("Orders"))["total"] == 0


async def test_only_the_mailboxes_of_path_are_told_of(world: Watching) -> None:
    user, phone = await world.user()
    for path in ("Orders", "Private"):
        await asyncio.to_thread(phone.create, path)
    account = await world.create(user, phone, path=("INBOX", "Orders"))
    await account.confirmed()
    await asyncio.to_thread(phone.append, letter("private"), "Private")
    await asyncio.to_thread(phone.append, letter("order"), "Orders")
    await account.sync()
    await account.told("messageNew")
    assert await account.subjects() == ["order"]


async def test_an_account_whose_mailboxes_change_is_watched_anew(world: Watching) -> None:
    account = await world.account()
    await account.confirmed()
    await asyncio.to_thread(account.phone.create, "Orders")
    await world.create(account.user, account.phone, subconnections=("Orders",))
    await account.confirmed("Orders")
    await asyncio.to_thread(account.phone.append, letter("order"), "Orders")
    await account.settled(["order"], "Orders")


async def test_an_account_that_connects_is_looked_at_once_over_one_connection(stopped: Watching) -> None:
    """A fleet that connects anew costs the servers no more than that, however long each takes."""
    async with FaultProxy(stopped.address) as proxy, stopped.worker(periods=Periods(tick=0.001)):
        user, phone = await stopped.user()
        account = await stopped.create(user, phone, address=proxy.address)
        await account.confirmed()
        await asyncio.to_thread(phone.append, letter("news"))
        await account.settled(["news"])
        assert proxy.accepted == 1


async def test_a_server_that_hangs_up_again_and_again_is_asked_less_and_less(stopped: Watching) -> None:
    """A login proves nothing: the second loss in a row makes the next attempt wait, and is an attempt in the plan."""
    async with FaultProxy(stopped.address) as proxy, stopped.worker(periods=Periods(survival=3600.0)):
        user, phone = await stopped.user()
        account = await stopped.create(user, phone, address=proxy.address)
        await account.confirmed()
        proxy.drop_all()
        await eventually(lambda: _accepted(proxy, 2), "it is connected again at once", 10)
        await account.confirmed()
        proxy.drop_all()
        await account.state("connecting")
        await eventually(lambda: _planned(stopped), "another attempt is planned", 10)
        assert await account.indexed() is None


async def test_a_job_that_cannot_connect_does_not_park_an_account_that_is_watched(world: Watching) -> None:
    """A server may have had enough of connections: the one that is there says that the account is well."""
    account = await world.account()
    await account.confirmed()
    await world.services.account_health.outcome(account.id, ConnectError("too many connections"))
    await account.state("connectError")
    await world.services.dispatcher.connect(account.id)
    await account.state("connected")
    assert await account.indexed() is not None
    told = [event["event"] for event in await account.events("connectError", "authenticationSuccess")]
    assert told == ["authenticationSuccess", "connectError", "authenticationSuccess"]


async def test_an_account_that_waits_for_somebody_is_not_connected_by_its_next_owner(stopped: Watching) -> None:
    async with FaultProxy(stopped.address) as proxy:
        async with stopped.worker("first"):
            user, phone = await stopped.user()
            account = await stopped.create(user, phone, address=proxy.address)
            await account.confirmed()
        await stopped.services.account_store.set_state(account.id, "authenticationError", None)
        before = proxy.accepted
        async with stopped.worker("second"):
            await eventually(lambda: _owned(stopped, account.id), "the second worker owns it", 10)
            await stopped.services.accounts.reconnect(account.id)
            await account.state("connected")
            await account.confirmed()
        assert proxy.accepted == before + 1


async def _accepted(proxy: FaultProxy, count: int) -> bool:
    return proxy.accepted >= count


async def _planned(world: Watching) -> bool:
    return bool(await world.services.store.control.call("ZCARD", keys.DUE))


async def _owned(world: Watching, account: str) -> bool:
    return await world.services.ownership.owner(account) is not None
