"""What a receiver gets, and in which order."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from itertools import pairwise

import pytest
from standardwebhooks.webhooks import Webhook

import gateway
from gateway.model.account import CustomHeader
from gateway.model.webhook import RouteUpdate
from tests.integration.webhooks.hooks import Hooks, subjects
from tests.rigs.receiver import Received, Reply

pytestmark = pytest.mark.anyio

SECRET = "a secret of the settings"


async def test_an_event_arrives_as_receivers_of_the_reference_expect_it(hooks: Hooks) -> None:
    await hooks.enable(serviceSecret=SECRET)
    await hooks.account()
    (event,) = await hooks.mail("ann", "Hello")
    (request,) = await hooks.receiver.wait(1)
    assert request.event["serviceUrl"] == "https://gateway.test"
    assert {name: request.event[name] for name in ("account", "event", "path", "specialUse")} == {
        "account": "ann",
        "event": "messageNew",
        "path": "INBOX",
        "specialUse": "\\Inbox",
    }
    assert request.event["data"]["subject"] == "Hello"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == f"email-gateway/{gateway.__version__}"
    assert request.headers["x-ee-wh-event-id"] == request.event["eventId"] == event.event_id
    assert request.headers["x-ee-wh-attempts-made"] == "0"
    assert request.headers["x-ee-wh-queued-time"] == "0s"
    assert request.headers["x-ee-wh-id"] == f"{event.event_id}-default"
    assert "x-ee-wh-custom-route" not in request.headers
    signature = hmac.new(SECRET.encode(), request.body, hashlib.sha256).digest()
    assert request.headers["x-ee-wh-signature"] == base64.urlsafe_b64encode(signature).decode().rstrip("=")


async def test_a_receiver_of_standard_webhooks_verifies_it(hooks: Hooks) -> None:
    await hooks.enable()
    await hooks.account()
    secret, _ = await hooks.services.runtime_settings.rotate_webhook_secret()
    (event,) = await hooks.mail()
    (request,) = await hooks.receiver.wait(1)
    assert Webhook(secret).verify(request.body.decode(), request.headers) == request.event
    assert request.headers["webhook-id"] == event.event_id
    assert int(request.headers["webhook-timestamp"]) == int(hooks.clock.time())
    with pytest.raises(Exception, match="signature"):
        Webhook(secret).verify(request.body.decode().replace("Hello", "Hullo"), request.headers)


async def test_two_secrets_sign_until_the_next_rotation(hooks: Hooks) -> None:
    """A receiver may change over at any time in between."""
    await hooks.enable()
    await hooks.account()
    secrets = []
    for number in range(3):
        secret, live = await hooks.services.runtime_settings.rotate_webhook_secret()
        assert live == 2
        secrets.append(secret)
        await hooks.mail("ann", f"{number}")
        await hooks.receiver.wait(number + 1)
        await hooks.quiet()
    assert [_verified(request, secrets) for request in hooks.receiver.received] == [
        [True, False, False],
        [True, True, False],
        [False, True, True],
    ]


def _verified(request: Received, secrets: list[str]) -> list[bool]:
    """Tell which secrets verify a request, by the algorithm of the specification."""
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    given = [part.removeprefix("v1,") for part in request.headers["webhook-signature"].split(" ")]
    made = [hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, "sha256").digest() for secret in secrets]
    return [base64.b64encode(signature).decode() in given for signature in made]


async def test_events_of_an_account_arrive_in_order_through_one_connection_and_few_jobs(hooks: Hooks) -> None:
    await hooks.enable()
    await hooks.account()
    expected = [f"{number}" for number in range(60)]
    await hooks.mail("ann", *expected[:20])
    await hooks.mail("ann", *expected[20:40])
    await hooks.mail("ann", *expected[40:])
    requests = await hooks.receiver.wait(60)
    assert subjects(requests) == expected
    assert len({request.connection for request in requests}) == 1
    # Some receivers drop what has an id that they know.
    assert len({request.headers["x-ee-wh-id"] for request in requests}) == 60
    assert hooks.receiver.most["/hook"] == 1
    await hooks.quiet()
    assert 1 <= hooks.jobs_done() <= 4


async def test_accounts_do_not_wait_for_each_other(hooks: Hooks) -> None:
    """Of eight accounts at one endpoint, seven get on while one waits for its answer."""
    await hooks.enable()
    accounts = [await hooks.account(f"account-{number}") for number in range(8)]
    answered = asyncio.Event()
    hooks.receiver.then("/hook", Reply(until=answered))
    for number in range(5):
        for account in accounts:
            await hooks.mail(account, f"{number}")
    await hooks.receiver.wait(7 * 5 + 1)
    answered.set()
    requests = await hooks.receiver.wait(8 * 5)
    for account in accounts:
        own = [request for request in requests if request.event["account"] == account]
        assert subjects(own) == ["0", "1", "2", "3", "4"]


async def test_an_account_may_have_its_own_url_and_headers(hooks: Hooks) -> None:
    await hooks.enable(webhooksCustomHeaders=[{"key": "X-Tenant", "value": "all"}, {"key": "X-Shared", "value": "1"}])
    await hooks.account("ann")
    own = (CustomHeader(key="x-tenant", value="bob's"), CustomHeader(key="X-EE-Wh-Signature", value="forged"))
    await hooks.account("bob", webhooks=hooks.receiver.url("/bob"), webhooks_custom_headers=own)
    await hooks.mail("ann")
    await hooks.mail("bob")
    (ann,), (bob,) = await hooks.receiver.wait(1), await hooks.receiver.wait(1, "/bob")
    assert (ann.headers["x-tenant"], ann.headers["x-shared"]) == ("all", "1")
    assert (bob.headers["x-tenant"], bob.headers["x-shared"]) == ("bob's", "1")
    assert bob.headers["x-ee-wh-signature"] != "forged"
    assert bob.event["account"] == "bob"


async def test_an_account_without_its_own_url_any_more_goes_back_to_the_shared_one(hooks: Hooks) -> None:
    await hooks.enable()
    await hooks.account("ann", webhooks=hooks.receiver.url("/ann"))
    await hooks.mail("ann", "one")
    await hooks.receiver.wait(1, "/ann")
    await hooks.quiet()
    await hooks.change("ann", webhooks="")
    await hooks.mail("ann", "two")
    assert subjects(await hooks.receiver.wait(1)) == ["two"]


async def test_user_and_password_of_a_url_become_basic_authentication(hooks: Hooks) -> None:
    await hooks.enable(webhooks=hooks.receiver.url("/hook", user="user:p%40ss"))
    await hooks.account()
    await hooks.mail()
    (request,) = await hooks.receiver.wait(1)
    assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")) == b"user:p@ss"
    (record,) = await hooks.recorded(1)
    assert "user" not in json.dumps(record.request_headers)


async def test_only_the_events_that_are_chosen_are_delivered(hooks: Hooks) -> None:
    await hooks.enable(webhookEvents=["messageDeleted"])
    await hooks.account()
    await hooks.mail("ann", "one")
    await hooks.quiet()
    await hooks.settings(webhookEvents=["messageNew"])
    await hooks.mail("ann", "two")
    assert subjects(await hooks.receiver.wait(1)) == ["two"]
    await hooks.quiet()
    assert len(hooks.receiver.received) == 1


async def test_no_event_is_delivered_when_none_is_chosen_and_every_one_by_a_star(hooks: Hooks) -> None:
    await hooks.enable(webhookEvents=[])
    await hooks.account()
    await hooks.mail("ann", "one")
    await hooks.quiet()
    await hooks.settings(webhookEvents=["*"])
    await hooks.account("bob")
    (request,) = await hooks.receiver.wait(1)
    assert (request.event["event"], request.event["account"]) == ("accountAdded", "bob")


async def test_new_mail_may_be_told_of_in_the_inbox_alone(hooks: Hooks) -> None:
    await hooks.enable(inboxNewOnly=True)
    await hooks.account()
    await hooks.mail("ann", "archived", path="Archive")
    await hooks.mail("ann", "labelled", path="[Gmail]/All Mail", labels=("\\Inbox",))
    await hooks.mail("ann", "hello")
    assert subjects(await hooks.receiver.wait(2)) == ["labelled", "hello"]


async def test_nothing_is_delivered_while_webhooks_are_off_nor_afterwards(hooks: Hooks) -> None:
    await hooks.account()
    await hooks.mail("ann", "before")
    await hooks.enable()
    await hooks.mail("ann", "on")
    await hooks.receiver.wait(1)
    await hooks.settings(webhooksEnabled=False)
    await hooks.mail("ann", "off")
    await hooks.quiet()
    assert subjects(hooks.receiver.received) == ["on"]


async def test_a_route_gets_what_its_filter_lets_through_as_its_mapping_makes_it(hooks: Hooks) -> None:
    await hooks.account()
    route = await hooks.route(
        "/route",
        filter="event == 'messageNew' && contains(data.subject, 'invoice')",
        map="{who: account, what: data.subject}",
        custom_headers=(CustomHeader(key="X-Key", value="of the route"),),
    )
    await hooks.mail("ann", "holiday", "invoice 7")
    (request,) = await hooks.receiver.wait(1, "/route")
    assert request.event == {"who": "ann", "what": "invoice 7"}
    assert request.headers["x-ee-wh-custom-route"] == route
    assert request.headers["x-key"] == "of the route"
    assert (await hooks.recorded(1))[0].request_headers["X-Key"] == "******"
    shown = await hooks.services.webhooks.routes.get(route)
    assert (shown.tcount, shown.webhook_error_flag) == (1, None)


async def test_routes_are_served_beside_the_default_endpoint_and_whatever_that_selects(hooks: Hooks) -> None:
    await hooks.enable(webhookEvents=[])
    await hooks.account()
    await hooks.route("/one")
    await hooks.route("/two", enabled=False)
    await hooks.mail("ann", "hello")
    assert subjects(await hooks.receiver.wait(1, "/one")) == ["hello"]
    await hooks.quiet()
    assert {request.path for request in hooks.receiver.received} == {"/one"}


async def test_a_route_that_is_changed_or_deleted_follows_at_once(hooks: Hooks) -> None:
    await hooks.account()
    route = await hooks.route("/one", filter="event == 'messageNew'")
    await hooks.mail("ann", "first")
    await hooks.receiver.wait(1, "/one")
    await hooks.services.webhooks.routes.update(route, RouteUpdate(target_url=hooks.receiver.url("/two")))
    await hooks.mail("ann", "second")
    assert subjects(await hooks.receiver.wait(1, "/two")) == ["second"]
    await hooks.quiet()
    await hooks.services.webhooks.routes.delete(route)
    await hooks.mail("ann", "third")
    await hooks.quiet()
    assert len(hooks.receiver.received) == 2
    assert await hooks.deliveries(endpoint=route) == []


async def test_a_filter_that_does_too_much_work_loses_its_event_and_nothing_else(hooks: Hooks) -> None:
    await hooks.account()
    doubling = " | ".join(["[@, @][]"] * 40)
    await hooks.route("/heavy", filter=f"data.subject == 'plain' || ({doubling})")
    await hooks.mail("ann", "heavy", "plain")
    assert subjects(await hooks.receiver.wait(1, "/heavy")) == ["plain"]
    (dead,) = await hooks.recorded(1, state="dead")
    assert dead.error is not None
    assert "too much work" in dead.error


async def test_the_last_event_of_an_account_outlives_it(hooks: Hooks) -> None:
    await hooks.enable()
    await hooks.account("ann", webhooks=hooks.receiver.url("/ann"))
    await hooks.services.accounts.delete("ann")
    (request,) = await hooks.receiver.wait(1, "/ann")
    assert (request.event["event"], request.event["data"]) == ("accountDeleted", {"account": "ann"})
    assert request.headers["webhook-id"] == request.event["eventId"]


async def test_what_was_attempted_is_kept_with_the_answer(hooks: Hooks) -> None:
    await hooks.enable()
    await hooks.account()
    await hooks.account("bob")
    events = await hooks.mail("ann", "one", "two", "three")
    events += await hooks.mail("bob", "four")
    found = await hooks.recorded(4)
    assert {record.event_id for record in found} == {event.event_id for event in events}
    assert all(newer.time >= older.time for newer, older in pairwise(found))
    assert {(record.state, record.status, record.event, record.endpoint) for record in found} == {
        ("delivered", 204, "messageNew", "default")
    }
    assert found[0].request_headers is not None
    assert {"webhook-id", "X-EE-Wh-Event-Id"} <= found[0].request_headers.keys()
    assert [record.account for record in await hooks.deliveries(account="bob")] == ["bob"]


async def test_records_are_read_page_by_page(hooks: Hooks) -> None:
    await hooks.enable()
    await hooks.account()
    await hooks.route("/route")
    await hooks.mail("ann", *(f"{number}" for number in range(7)))
    everything = await hooks.recorded(14)
    operations, cursor, pages = hooks.services.webhooks.operations, None, []
    while True:
        page = await operations.deliveries(endpoint=None, account=None, state=None, cursor=cursor, size=4)
        pages += page.deliveries
        cursor = page.next_cursor
        if cursor is None:
            break
    assert pages == everything
