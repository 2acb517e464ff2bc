"""Events delivered again, and test events."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gateway.errors import InvalidRequestError, ResourceNotFoundError
from gateway.model.event import Event
from gateway.model.webhook import ReplayRequest, TestRequest
from gateway.store.events import order
from tests.integration.webhooks.hooks import Hooks, subjects
from tests.rigs.receiver import Reply

pytestmark = pytest.mark.anyio


async def replay(hooks: Hooks, **request: Any) -> tuple[int, int]:
    """Have events delivered again, and return how many of how many accounts."""
    started = await hooks.services.webhooks.operations.replay(ReplayRequest(**request))
    return started.queued, started.accounts


async def delivered(hooks: Hooks, *names: str, account: str = "ann") -> list[Event]:
    """Have messages delivered."""
    before = len(hooks.receiver.at("/hook"))
    events = await hooks.mail(account, *names)
    await hooks.receiver.wait(before + len(names))
    await hooks.quiet()
    return events


async def test_events_are_delivered_again_by_their_ids_in_the_order_of_the_log(hooks: Hooks) -> None:
    await hooks.enable()
    await hooks.account()
    events = await delivered(hooks, "one", "two", "three")
    chosen = (events[2].event_id, events[0].event_id, "0" * 32)
    assert await replay(hooks, account="ann", events=chosen) == (2, 1)
    again = (await hooks.receiver.wait(5))[3:]
    assert subjects(again) == ["one", "three"]
    assert [request.headers["webhook-id"] for request in again] == [events[0].event_id, events[2].event_id]
    assert {request.headers["x-gateway-replay"] for request in again} == {"true"}
    assert "x-gateway-replay" not in hooks.receiver.received[0].headers
    assert {record.replay for record in (await hooks.recorded(5))[:2]} == {True}


async def test_events_of_a_time_are_delivered_again_for_all_accounts(hooks: Hooks) -> None:
    await hooks.enable()
    for account in ("ann", "bob", "zoe"):
        await hooks.account(account)
    await delivered(hooks, "early", account="ann")
    await hooks.keep_up()
    begin = hooks.clock()
    await delivered(hooks, "one", "two", account="ann")
    await delivered(hooks, "three", account="bob")
    await hooks.keep_up()
    end = hooks.clock()
    await hooks.keep_up()
    await delivered(hooks, "late", account="bob")
    assert await replay(hooks, from_=begin, to=end) == (3, 2)
    again = (await hooks.receiver.wait(8))[5:]
    assert sorted(subjects(again)) == ["one", "three", "two"]
    await hooks.quiet()
    assert await replay(hooks, account="bob", from_=end) == (1, 1)
    assert subjects(await hooks.receiver.wait(9))[8:] == ["late"]


async def test_what_the_endpoint_does_not_select_is_not_delivered_again_either(hooks: Hooks) -> None:
    await hooks.enable(webhookEvents=["messageNew"])
    await hooks.account()
    route = await hooks.route("/route", filter="data.subject == 'two'")
    await delivered(hooks, "one", "two")
    # The account's own first event is not among the chosen ones; the filter of a route runs at the delivery.
    assert await replay(hooks, account="ann", from_=hooks.clock() - timedelta(days=1)) == (2, 1)
    await hooks.receiver.wait(4)
    await replay(hooks, endpoint=route, from_=hooks.clock() - timedelta(days=1))
    assert subjects(await hooks.receiver.wait(2, "/route")) == ["two", "two"]


async def test_a_route_gets_by_replay_what_happened_before_it_was_made(hooks: Hooks) -> None:
    await hooks.account()
    (event,) = await hooks.mail("ann", "before")
    route = await hooks.route("/route")
    assert await replay(hooks, endpoint=route, account="ann", events=(event.event_id,)) == (1, 1)
    assert subjects(await hooks.receiver.wait(1, "/route")) == ["before"]


async def test_new_events_come_before_those_that_are_delivered_again(hooks: Hooks) -> None:
    await hooks.enable()
    await hooks.account()
    events = await delivered(hooks, "one", "two")
    hooks.receiver.then("/hook", Reply(500))
    await replay(hooks, account="ann", events=tuple(event.event_id for event in events))
    await hooks.receiver.wait(3)
    await hooks.quiet()
    await hooks.mail("ann", "new")
    await hooks.pass_time(7)
    assert subjects(await hooks.receiver.wait(6))[3:] == ["new", "one", "two"]


async def test_an_event_that_was_given_up_can_be_delivered_again(hooks: Hooks) -> None:
    await hooks.enable()
    await hooks.account()
    hooks.receiver.then("/hook", Reply(500))
    (event,) = await hooks.mail("ann", "late")
    await hooks.recorded(1)
    await hooks.quiet()
    hooks.receiver.then("/hook", Reply(500))
    await hooks.pass_time(timedelta(days=3, minutes=1).total_seconds())
    await hooks.recorded(1, state="dead")
    await hooks.quiet()
    assert await replay(hooks, account="ann", events=(event.event_id,)) == (1, 1)
    requests = await hooks.receiver.wait(3)
    assert {request.headers["webhook-id"] for request in requests} == {event.event_id}
    assert requests[2].headers["x-ee-wh-attempts-made"] == "0"


async def test_a_replay_to_an_endpoint_that_waits_begins_at_once(hooks: Hooks) -> None:
    """Whoever asks for it has mended the endpoint, most likely."""
    await hooks.enable()
    await hooks.account()
    hooks.receiver.then("/hook", Reply(500))
    (event,) = await hooks.mail("ann", "one")
    await hooks.recorded(1)
    await hooks.quiet()
    await replay(hooks, account="ann", events=(event.event_id,))
    assert subjects(await hooks.receiver.wait(3)) == ["one", "one", "one"]


async def test_a_replay_says_what_it_lacks(hooks: Hooks) -> None:
    await hooks.enable()
    await hooks.account()
    for wrong in ({}, {"account": "ann"}, {"events": ("x",)}):
        with pytest.raises(InvalidRequestError):
            await replay(hooks, **wrong)
    for missing in ({"endpoint": "wh0"}, {"account": "nobody"}):
        with pytest.raises(ResourceNotFoundError):
            await replay(hooks, from_=hooks.clock(), **missing)
    await hooks.settings(webhooksEnabled=False)
    with pytest.raises(ResourceNotFoundError):
        await replay(hooks, from_=hooks.clock(), account="ann")


async def test_a_test_event_tells_what_the_endpoint_answers(hooks: Hooks) -> None:
    route = await hooks.route("/route", filter="`false`", map="account")
    hooks.receiver.then("/route", Reply(418, body=b"short and stout"))
    operations = hooks.services.webhooks.operations
    refused = await operations.test(TestRequest(endpoint=route))
    assert (refused.success, refused.status, refused.answer) == (False, 418, "short and stout")
    taken = await operations.test(TestRequest(endpoint=route))
    assert (taken.success, taken.status, taken.error) == (True, 204, None)
    (_, request) = hooks.receiver.at("/route")
    assert request.event["event"] == "test"
    assert request.headers["x-ee-wh-custom-route"] == route
    assert await hooks.deliveries() == []


async def test_a_test_event_is_sent_by_a_worker(hooks: Hooks) -> None:
    await hooks.enable()
    await hooks.account("ann", webhooks=hooks.receiver.url("/ann"))
    await hooks.services.jobs.start()
    answer = await hooks.services.webhooks.operations.ask_test(TestRequest(account="ann"))
    assert b'"success":true' in answer
    assert hooks.receiver.at("/ann")[0].event["account"] == "ann"


def test_ids_of_a_log_are_ordered_by_number() -> None:
    assert order("9-10") > order("9-9") > order("8-100")
