"""What happens when a receiver does not take an event."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import redis

from gateway.model.webhook import RouteUpdate
from gateway.redis import keys
from gateway.services.webhooks.permits import MOST_TO_HOST, MOST_TO_URL
from gateway.settings import Egress
from tests.integration.queue.rig import eventually
from tests.integration.webhooks.hooks import Hooks, open_hooks, subjects, working
from tests.rigs.receiver import Reply
from tests.rigs.redis_server import RedisServer

pytestmark = pytest.mark.anyio

FAILURE = Reply(500, body=b"out of order")


async def test_a_failed_delivery_is_repeated_and_those_behind_it_wait(hooks: Hooks) -> None:
    await hooks.enable()
    await hooks.account()
    hooks.receiver.then("/hook", FAILURE, FAILURE)
    first, second = await hooks.mail("ann", "first", "second")
    (failed,) = await hooks.recorded(1)
    assert (failed.state, failed.status, failed.error, failed.answer) == ("failed", 500, "HTTP 500", "out of order")
    assert failed.next_attempt is not None
    assert timedelta(seconds=4) <= failed.next_attempt - failed.time <= timedelta(seconds=6)
    await hooks.quiet()
    await hooks.pass_time(7)
    await hooks.recorded(2)
    await hooks.quiet()
    await hooks.pass_time(19)
    requests = await hooks.receiver.wait(4)
    assert [request.headers["webhook-id"] for request in requests] == [first.event_id] * 3 + [second.event_id]
    assert [request.headers["x-ee-wh-attempts-made"] for request in requests] == ["0", "1", "2", "0"]
    # Redis dates the event, and its clock goes on while the one here stands still.
    assert requests[2].headers["x-ee-wh-queued-time"] in ("24s", "25s", "26s")
    assert requests[0].body == requests[2].body


async def test_nothing_is_repeated_before_its_time(hooks: Hooks) -> None:
    """More mail is no reason to try an endpoint again that has just failed."""
    await hooks.enable()
    await hooks.account()
    hooks.receiver.then("/hook", FAILURE)
    await hooks.mail("ann", "first")
    await hooks.recorded(1)
    await hooks.quiet()
    await hooks.mail("ann", "second")
    await hooks.pass_time(2)
    await hooks.quiet()
    assert len(hooks.receiver.received) == 1
    await hooks.pass_time(5)
    assert subjects(await hooks.receiver.wait(3)) == ["first", "first", "second"]


async def test_an_endpoint_with_trouble_says_so_until_it_recovers(hooks: Hooks) -> None:
    await hooks.account()
    route = await hooks.route("/route")
    hooks.receiver.then("/route", FAILURE)
    await hooks.mail()
    await hooks.recorded(1)
    await hooks.quiet()
    shown = await hooks.services.webhooks.routes.get(route)
    assert shown.webhook_error_flag is not None
    assert (shown.webhook_error_flag.message, shown.webhook_error_flag.disabled) == ("HTTP 500", False)
    await hooks.pass_time(7)
    await hooks.recorded(2)
    await hooks.quiet()
    assert (await hooks.services.webhooks.routes.get(route)).webhook_error_flag is None


async def test_an_event_is_given_up_after_three_days_and_the_next_one_is_tried(hooks: Hooks) -> None:
    await hooks.enable()
    await hooks.account()
    hooks.receiver.always("/hook", FAILURE)
    old, young = await hooks.mail("ann", "old", "young")
    attempts = 0
    while not await hooks.deliveries(state="dead"):
        attempts += 1
        await hooks.receiver.wait(attempts)
        await hooks.quiet()
        if not await hooks.deliveries(state="dead"):
            last = (await hooks.deliveries())[0]
            assert last.next_attempt is not None
            await hooks.pass_time((last.next_attempt - hooks.clock()).total_seconds())
    first = hooks.receiver.received[0]
    assert 70 < attempts < 100
    assert {request.headers["webhook-id"] for request in hooks.receiver.received[:attempts]} == {old.event_id}
    assert hooks.clock() - hooks.services.clock() == timedelta(0)
    assert first.event["data"]["subject"] == "old"
    await hooks.receiver.wait(attempts + 1)
    assert hooks.receiver.received[attempts].headers["webhook-id"] == young.event_id
    dead = await eventually(lambda: hooks.deliveries(state="dead"), "a dead letter")
    assert {record.event_id for record in dead} <= {old.event_id, young.event_id}


async def fail_until_it_takes_long(hooks: Hooks, path: str) -> int:
    """Let an event fail until the next attempt is minutes away; return how many there were."""
    attempts = 0
    while True:
        attempts += 1
        hooks.receiver.then(path, FAILURE)
        if attempts == 1:
            await hooks.mail("ann", "one")
        await hooks.recorded(attempts)
        await hooks.quiet()
        last = (await hooks.deliveries())[0]
        assert last.next_attempt is not None
        wait = (last.next_attempt - hooks.clock()).total_seconds()
        if wait > 60:
            return attempts
        await hooks.pass_time(wait)


async def test_a_mended_route_gets_at_once_what_waits_for_it(hooks: Hooks) -> None:
    await hooks.account()
    route = await hooks.route("/route")
    attempts = await fail_until_it_takes_long(hooks, "/route")
    await hooks.services.webhooks.routes.update(route, RouteUpdate(target_url=hooks.receiver.url("/mended")))
    await hooks.pass_time(1)
    assert subjects(await hooks.receiver.wait(1, "/mended")) == ["one"]
    assert len(hooks.receiver.at("/route")) == attempts


async def test_mended_settings_get_at_once_what_waits_for_them(hooks: Hooks) -> None:
    await hooks.enable("/hook")
    await hooks.account()
    await fail_until_it_takes_long(hooks, "/hook")
    await hooks.enable("/mended")
    await hooks.pass_time(1)
    assert subjects(await hooks.receiver.wait(1, "/mended")) == ["one"]


async def test_a_mended_url_of_an_account_gets_at_once_what_waits_for_it(hooks: Hooks) -> None:
    await hooks.enable()
    await hooks.account("ann", webhooks=hooks.receiver.url("/ann"))
    await fail_until_it_takes_long(hooks, "/ann")
    await hooks.change("ann", webhooks=hooks.receiver.url("/mended"))
    await hooks.pass_time(1)
    assert subjects(await hooks.receiver.wait(1, "/mended")) == ["one"]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(hooks: Hooks, status: int) -> None:
    await hooks.enable()
    await hooks.account()
    hooks.receiver.then("/hook", Reply(status, {"location": hooks.receiver.url("/elsewhere")}))
    await hooks.mail()
    (failed,) = await hooks.recorded(1)
    assert (failed.state, failed.error) == ("failed", f"HTTP {status}")
    assert hooks.receiver.at("/elsewhere") == []


async def test_an_endpoint_that_is_gone_is_disabled_until_somebody_edits_it(hooks: Hooks) -> None:
    await hooks.account()
    route = await hooks.route("/route")
    hooks.receiver.then("/route", Reply(410))
    await hooks.mail("ann", "unwanted")
    (dead,) = await hooks.recorded(1)
    assert (dead.state, dead.error) == ("dead", "HTTP 410")
    flag = (await hooks.services.webhooks.routes.get(route)).webhook_error_flag
    assert flag is not None
    assert flag.disabled
    await hooks.mail("ann", "unheard")
    await hooks.pass_time(3600)
    await hooks.quiet()
    assert len(hooks.receiver.received) == 1


async def test_an_endpoint_that_was_gone_begins_anew_when_it_is_edited(hooks: Hooks) -> None:
    await hooks.account()
    route = await hooks.route("/route")
    hooks.receiver.then("/route", Reply(410))
    await hooks.mail("ann", "unwanted")
    await hooks.recorded(1)
    await hooks.mail("ann", "unheard")
    await hooks.quiet()
    await hooks.keep_up()
    await hooks.services.webhooks.routes.update(route, RouteUpdate(enabled=True))
    await hooks.mail("ann", "wanted")
    assert subjects(await hooks.receiver.wait(2, "/route")) == ["unwanted", "wanted"]


async def test_the_shared_url_that_is_gone_does_not_take_an_accounts_own_with_it(hooks: Hooks) -> None:
    await hooks.enable()
    await hooks.account("ann")
    await hooks.account("bob", webhooks=hooks.receiver.url("/bob"))
    hooks.receiver.then("/hook", Reply(410))
    await hooks.mail("ann", "unwanted")
    await hooks.recorded(1)
    await hooks.quiet()
    await hooks.mail("bob", "hello")
    assert subjects(await hooks.receiver.wait(1, "/bob")) == ["hello"]
    await hooks.enable()
    await hooks.mail("ann", "wanted")
    assert subjects(await hooks.receiver.wait(2)) == ["unwanted", "wanted"]


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_endpoint_is_left_alone_as_long_as_it_asks(hooks: Hooks, status: int) -> None:
    """By every account, and no longer."""
    await hooks.enable()
    await hooks.account("ann")
    await hooks.account("bob")
    hooks.receiver.then("/hook", Reply(status, {"retry-after": "120"}))
    await hooks.mail("ann", "one")
    await hooks.recorded(1)
    await hooks.quiet()
    await hooks.mail("bob", "two")
    await hooks.pass_time(60)
    await hooks.quiet()
    assert len(hooks.receiver.received) == 1
    await hooks.pass_time(61)
    assert sorted(subjects((await hooks.receiver.wait(3))[1:])) == ["one", "two"]


async def test_a_date_to_come_back_at_is_understood(hooks: Hooks) -> None:
    await hooks.enable()
    await hooks.account()
    when = hooks.clock() + timedelta(minutes=30)
    hooks.receiver.then("/hook", Reply(503, {"retry-after": when.strftime("%a, %d %b %Y %H:%M:%S GMT")}))
    await hooks.mail()
    (failed,) = await hooks.recorded(1)
    assert failed.next_attempt is not None
    assert abs(failed.next_attempt - when) <= timedelta(seconds=1)


async def test_a_hanging_endpoint_delays_only_itself(hooks: Hooks) -> None:
    """Forty accounts wait for one that never answers; another endpoint of the same accounts has its events at once."""
    await hooks.enable("/hanging")
    accounts = [await hooks.account(f"account-{number}") for number in range(40)]
    await hooks.route("/prompt", filter="event == 'messageNew'")
    hooks.receiver.always("/hanging", Reply(until=asyncio.Event()))
    for account in accounts:
        await hooks.mail(account, account)
    requests = await hooks.receiver.wait(40, "/prompt", timeout=5)
    assert sorted(subjects(requests)) == sorted(accounts)
    assert hooks.receiver.most["/hanging"] == MOST_TO_URL


async def test_accounts_with_urls_of_their_own_at_a_hanging_host_delay_only_each_other(hooks: Hooks) -> None:
    await hooks.settings(webhooksEnabled=True, webhookEvents=["messageNew"])
    accounts = [f"account-{number}" for number in range(80)]
    for account in accounts:
        hooks.receiver.always(f"/{account}", Reply(until=asyncio.Event()))
        await hooks.account(account, webhooks=hooks.receiver.url(f"/{account}"))
        await hooks.mail(account)
    await hooks.account("bob", webhooks=f"http://localhost:{hooks.receiver.port}/bob")
    await hooks.mail("bob", "hello")
    assert subjects(await hooks.receiver.wait(1, "/bob", timeout=5)) == ["hello"]
    await eventually(lambda: hooks.jobs() == 0, "an empty queue")
    assert len({request.path for request in hooks.receiver.received}) == 1 + MOST_TO_HOST


async def test_accounts_that_wait_for_a_slow_endpoint_have_their_turn(hooks: Hooks) -> None:
    """There are more than may deliver to it at a time."""
    await hooks.enable()
    accounts = [await hooks.account(f"account-{number}") for number in range(40)]
    answered = asyncio.Event()
    hooks.receiver.always("/hook", Reply(until=answered))
    for account in accounts:
        await hooks.mail(account, account)
    await hooks.receiver.wait(MOST_TO_URL)
    answered.set()
    requests = await hooks.receiver.wait(40)
    assert sorted(subjects(requests)) == sorted(accounts)


async def test_a_connection_that_breaks_off_is_a_failure_like_any_other(hooks: Hooks) -> None:
    await hooks.enable()
    await hooks.account()
    hooks.receiver.then("/hook", Reply(drop=True))
    await hooks.mail()
    (failed,) = await hooks.recorded(1)
    assert failed.error is not None
    assert (failed.state, failed.status, failed.error.split(":")[0]) == ("failed", None, "ConnectFailed")
    assert "127.0.0.1" not in failed.error
    await hooks.quiet()
    await hooks.pass_time(7)
    await hooks.receiver.wait(2)


async def test_an_address_inside_is_not_connected_to(redis_url: str) -> None:
    """Not by its own name, nor by another notation of it."""
    async with open_hooks(redis_url, egress=Egress()) as hooks:
        await hooks.account()
        port = hooks.receiver.port
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "127.1", "[::1]"):
            await hooks.enable(webhooks=f"http://{host}:{port}/hook")
            await hooks.mail()
            found = await eventually(hooks.deliveries, "an attempt")
            assert found[0].error is not None
            assert found[0].error.startswith(("EgressRefused", "NameNotFound")), (host, found[0].error)
            await hooks.quiet()
        assert hooks.receiver.received == []


async def test_what_a_worker_was_at_when_it_died_is_delivered_by_another(redis_url: str) -> None:
    """The receiver has the event twice then, with one id."""
    async with open_hooks(redis_url, work=False) as hooks:
        await hooks.enable()
        await hooks.account()
        hooks.receiver.then("/hook", Reply(until=asyncio.Event()))
        async with working(hooks):
            await hooks.mail("ann", "one", "two")
            await hooks.receiver.wait(1)
        async with working(hooks):
            requests = await hooks.receiver.wait(3)
        assert subjects(requests) == ["one", "one", "two"]
        assert requests[0].headers["webhook-id"] == requests[1].headers["webhook-id"]


async def test_a_job_that_was_lost_is_made_up_for(redis_url: str) -> None:
    """As after a Redis that came back without its last writes: what is due says what there is to do."""
    async with open_hooks(redis_url, work=False) as hooks:
        await hooks.enable()
        await hooks.account()
        await hooks.mail("ann", "one")
        with redis.Redis.from_url(redis_url) as database:
            assert database.delete(keys.rq_queue("webhook")) == 1
        async with working(hooks):
            await hooks.mail("ann", "two")
            assert hooks.jobs() == 0
            await hooks.pass_time(125)
            assert subjects(await hooks.receiver.wait(2)) == ["one", "two"]


async def test_a_job_that_was_never_queued_is_made_up_for(redis_url: str) -> None:
    """Whoever announced the event died just then."""
    async with open_hooks(redis_url, work=False) as hooks:
        await hooks.enable()
        await hooks.account()

        with redis.Redis.from_url(redis_url) as database:
            database.delete(keys.DUE, keys.rq_queue("webhook"), *database.keys("*:hook:*"))

        async def die(*_: object, **__: object) -> str:
            raise asyncio.CancelledError

        hooks.services.jobs.enqueue = die  # type: ignore[method-assign]
        with pytest.raises(asyncio.CancelledError):
            await hooks.mail("ann", "one")
        del hooks.services.jobs.enqueue
        async with working(hooks):
            await hooks.pass_time(125)
            assert subjects(await hooks.receiver.wait(1)) == ["one"]


async def test_the_last_event_of_an_account_is_repeated_when_it_fails(hooks: Hooks) -> None:
    await hooks.enable()
    await hooks.account()
    hooks.receiver.then("/hook", FAILURE, FAILURE)
    await hooks.services.accounts.delete("ann")
    await hooks.recorded(1)
    await hooks.quiet()
    await hooks.pass_time(7)
    await hooks.recorded(2)
    await hooks.quiet()
    await hooks.pass_time(19)
    requests = await hooks.receiver.wait(3)
    assert {request.event["event"] for request in requests} == {"accountDeleted"}
    assert [request.headers["x-ee-wh-attempts-made"] for request in requests] == ["0", "1", "2"]
    await hooks.recorded(3)


async def test_what_could_not_be_queued_is_queued_when_redis_is_back(durable_redis: RedisServer) -> None:
    async with open_hooks(durable_redis.url, work=False) as hooks:
        await hooks.enable()
        await hooks.account()
        (event,) = await hooks.mail("ann", "one")
        with redis.Redis.from_url(durable_redis.url) as database:
            database.delete(keys.rq_queue("webhook"), *database.keys("*:hook:*"))
        durable_redis.kill()
        await hooks.services.webhooks.waker.announced("ann")
        durable_redis.start()
        await hooks.services.webhooks.waker.wake_missed()
        async with working(hooks):
            (request,) = await hooks.receiver.wait(1)
        assert request.headers["webhook-id"] == event.event_id
