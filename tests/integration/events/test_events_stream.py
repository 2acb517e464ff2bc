"""GET /v1/changes and GET /v1/events: who hears what, in which order, and what a client that was away gets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.redis import keys
from gateway.tail import RefusedError
from tests.integration.events.served import SERVICE_URL, Served
from tests.integration.queue.rig import eventually

pytestmark = pytest.mark.anyio

PRIVATE = "ann@example.test at imap.test hung up"


def ids(changes: list[dict[str, Any]]) -> list[str]:
    """Return the ids of the messages that events tell of."""
    return [change["payload"]["data"]["id"] for change in changes]


async def test_a_listener_is_told_states_and_the_events_it_asked_for(served: Served) -> None:
    account = await served.account()
    async with served.listening(account=account, events="messageDeleted") as listener:
        await served.unreachable(account, PRIVATE)
        [event] = await served.happen(account, "m1")
        state, told = await listener.take(2)
    assert (state["account"], state["type"], state["key"]) == (account, "state", "connectError")
    assert state["payload"]["error"]["response"] == PRIVATE
    assert (told["account"], told["type"], told["key"]) == (account, "event", "messageDeleted")
    payload = told["payload"]
    assert payload.pop("date")
    assert payload == {
        "serviceUrl": SERVICE_URL,
        "account": account,
        "path": "INBOX",
        "event": "messageDeleted",
        "eventId": event.event_id,
        "data": {"id": "m1"},
    }


async def test_an_error_that_is_over_is_not_told_again(served: Served) -> None:
    """A listener that resumes hears of the state, not of what some server said in a former one."""
    account = await served.account()
    async with served.listening(account=account) as listener:
        place = listener.place
        await served.unreachable(account, PRIVATE)
        await served.services.account_health.syncing(account)
        await listener.take(2)
    async with served.listening(after=place, account=account) as listener:
        states = await listener.take(2)
    assert [(state["key"], state["payload"]) for state in states] == [("connectError", None), ("syncing", None)]


async def test_whoever_resumes_misses_nothing_and_gets_nothing_twice(served: Served) -> None:
    account = await served.account()
    async with served.listening(account=account, events="*") as listener:
        await served.happen(account, "m1", "m2", "m3")
        assert ids(await listener.take(2)) == ["m1", "m2"]
        place = listener.place
    await served.happen(account, "m4")
    async with served.listening(after=place, account=account, events="*") as listener:
        await served.happen(account, "m5")
        assert ids(await listener.take(3)) == ["m3", "m4", "m5"]
    async with served.listening(account=account, events="*", lastEventId=place) as listener:
        assert ids(await listener.take(3)) == ["m3", "m4", "m5"]


async def test_a_listener_far_behind_gets_everything_in_order(served: Served) -> None:
    """More than what the process holds in memory."""
    account = await served.account()
    async with served.listening(account=account) as listener:
        place = listener.place
        for batch in range(5):
            await served.happen(account, *(f"{batch}-{number}" for number in range(400)))
    async with served.listening(after=place, account=account, events="messageDeleted") as listener:
        assert ids(await listener.take(2000)) == [f"{batch}-{number}" for batch in range(5) for number in range(400)]


async def test_the_token_of_an_account_hears_of_that_account_alone(served: Served) -> None:
    mine, other = await served.account(), await served.account()
    token = await served.token_of(mine)
    async with served.listening(token, events="*") as listener:
        await served.happen(other, "theirs")
        await served.happen(mine, "mine")
        assert ids([await listener.next()]) == ["mine"]
    with pytest.raises(RefusedError, match="Unauthorized account"):
        async with served.listening(token, account=other, events="*"):
            pass
    async with served.client(token) as client:
        found = (await client.get("/v1/events", params={"types": "messageDeleted"})).json()
        assert [event["account"] for event in found["events"]] == [mine]
        assert (await client.get("/v1/events", params={"account": other})).status_code == 403


async def test_the_end_of_an_account_is_told_and_leaves_its_id_alone(served: Served) -> None:
    """The feed outlives accounts: it holds which of them there were and what kind of things happened, no more."""
    account = await served.account()
    await served.unreachable(account, PRIVATE)
    await served.happen(account, "m1")
    async with served.listening(events="accountDeleted,messageDeleted") as listener:
        place = listener.place
        await served.services.accounts.delete(account)
        told = await listener.next()
    assert (told["key"], told["account"], told["payload"]["data"]) == ("accountDeleted", account, {"account": account})
    async with served.client() as client:
        found = (await client.get("/v1/events", params={"cursor": place})).json()["events"]
    assert [(event["event"], event["account"]) for event in found] == [("accountDeleted", account)]
    with served.redis_client() as database:
        kept = [fields for _, fields in database.xrange(keys.FEED) if fields[b"a"] == account.encode()]
    kinds = [(fields.get(b"e") or fields[b"k"]).decode() for fields in kept]
    assert kinds == ["accountAdded", "connectError", "connectError", "messageDeleted", "accountDeleted"]
    assert all(set(fields) <= {b"a", b"s", b"e", b"k"} for fields in kept[:-1])
    assert not any(b"imap.test" in value for fields in kept for value in fields.values())


async def test_the_log_is_read_again_page_by_page_to_its_end(served: Served) -> None:
    account = await served.account()
    await served.happen(account, *map(str, range(7)))
    found, cursor = [], None
    async with served.client() as client:
        while True:
            query = {"account": account, "types": "messageDeleted", "pageSize": 3}
            answer = await client.get("/v1/events", params={**query, **({"cursor": cursor} if cursor else {})})
            page = answer.json()
            if not page["events"]:
                break
            found += page["events"]
            cursor = page["nextCursor"]
        assert [event["data"]["id"] for event in found] == list(map(str, range(7)))
        # Whoever keeps the cursor goes on where it ended.
        await served.happen(account, "later")
        later = (await client.get("/v1/events", params={**query, "cursor": page["nextCursor"]})).json()
        assert [event["data"]["id"] for event in later["events"]] == ["later"]


async def test_the_log_of_all_accounts_is_in_the_order_in_which_things_were_announced(served: Served) -> None:
    one, two = await served.account(), await served.account()
    async with served.client() as client:
        query = {"types": "messageDeleted", "cursor": await served.services.feed.end()}
        for number in range(3):
            await served.happen(one, f"one-{number}")
            await served.happen(two, f"two-{number}")
        found = (await client.get("/v1/events", params=query)).json()["events"]
    order = [event["data"]["id"] for event in found]
    assert order == [f"{account}-{number}" for number in range(3) for account in ("one", "two")]


@pytest.mark.parametrize("query", [{"types": "messageGone"}, {"cursor": "x"}, {"pageSize": 0}, {"from": "yesterday"}])
async def test_a_question_that_makes_no_sense_is_refused(served: Served, query: dict[str, Any]) -> None:
    async with served.client() as client:
        assert (await client.get("/v1/events", params=query)).status_code == 400


async def test_an_account_that_is_not_there_is_said_so(served: Served) -> None:
    async with served.client() as client:
        assert (await client.get("/v1/events", params={"account": "nobody"})).status_code == 404
    with pytest.raises(RefusedError):
        async with served.listening(account="nobody"):
            pass


async def test_a_redis_that_is_away_ends_no_stream(served: Served) -> None:
    account = await served.account()
    async with served.listening(account=account, events="*") as listener:
        await asyncio.to_thread(served.redis.kill)
        await asyncio.to_thread(served.redis.start)
        await eventually(served.reaches_redis, "Redis")
        await served.happen(account, "afterwards")
        assert ids([await listener.next()]) == ["afterwards"]
