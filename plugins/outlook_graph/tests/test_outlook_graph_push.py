"""Subscriptions to change notifications: made for as long as it goes, renewed, found again, and what they say read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from gateway.errors import (
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    PermanentError,
    UnsupportedOperationError,
)
from gateway.provider import Account, Notification, PageRequest, Push, PushSubscription, Session
from gateway_outlook_graph import OutlookGraphProvider
from gateway_sandbox import graph_subscriptions
from gateway_sandbox.testing import ALICE, BOB, CAROL
from tests.rigs.graph_subscriber import Subscriber, running_subscriber

if TYPE_CHECKING:
    from conftest import World

pytestmark = pytest.mark.anyio

SECRET = "s3cret-" * 5


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    with running_subscriber() as running:
        yield running


@asynccontextmanager
async def opened(outlook: World, *, shared: str | None = None) -> AsyncIterator[Session]:
    """Open a mailbox on the sandbox's clock."""
    environment = msgspec.structs.replace(outlook.environment, clock=outlook.sandbox.clock)
    async with OutlookGraphProvider(environment).open(*await outlook.account(shared=shared)) as session:
        yield session


@pytest.fixture
async def session(outlook: World) -> AsyncIterator[Session]:
    """A mailbox without subscriptions."""
    async with opened(outlook) as session:
        push = await session.push()
        for one in await push.existing():
            await push.delete(one.id)
        yield session


@pytest.fixture
async def push(session: Session) -> Push:
    return await session.push()


async def subscribed(push: Push, subscriber: Subscriber) -> PushSubscription:
    return await push.create(subscriber.url("/n?account=a"), subscriber.url("/l?account=a"), SECRET)


def read(outlook: World, told: list[dict[str, Any]]) -> list[Notification]:
    return list(outlook.provider.notifications(msgspec.json.encode({"value": told})))


async def test_subscription_lasts_as_long_as_the_service_grants(
    outlook: World, push: Push, subscriber: Subscriber
) -> None:
    made = await subscribed(push, subscriber)
    lifetime = made.expires - outlook.sandbox.clock()
    assert timedelta(days=7) > lifetime > timedelta(days=6, hours=23)
    assert [path for path, _ in subscriber.validations] == ["/n", "/l"]
    (found,) = await push.existing()
    assert (found.id, found.notification_url, found.secret) == (made.id, subscriber.url("/n?account=a"), SECRET)
    assert SECRET not in repr(found)


async def test_the_older_limit_is_kept_where_it_still_holds(outlook: World, push: Push, subscriber: Subscriber) -> None:
    outlook.sandbox.fail("old_subscription_limit")
    made = await subscribed(push, subscriber)
    lifetimes = [made.expires - outlook.sandbox.clock(), await push.renew(made.id) - outlook.sandbox.clock()]
    assert all(timedelta(minutes=4_230) > lifetime > timedelta(minutes=4_200) for lifetime in lifetimes)


async def test_renewed_subscription_ends_later(outlook: World, push: Push, subscriber: Subscriber) -> None:
    made = await subscribed(push, subscriber)
    outlook.sandbox.clock.ahead += timedelta(days=3)
    assert await push.renew(made.id) - made.expires > timedelta(days=2, hours=23)


async def test_subscription_that_is_not_there_can_be_deleted_and_not_renewed(
    push: Push, subscriber: Subscriber
) -> None:
    made = await subscribed(push, subscriber)
    await push.delete(made.id)
    await push.delete(made.id)
    with pytest.raises(NotFoundError):
        await push.renew(made.id)
    assert await push.existing() == []


async def test_subscription_that_ran_out_cannot_be_renewed(outlook: World, push: Push, subscriber: Subscriber) -> None:
    made = await subscribed(push, subscriber)
    outlook.sandbox.clock.ahead += timedelta(days=7)
    with pytest.raises(NotFoundError):
        await push.renew(made.id)


async def test_second_subscription_is_a_conflict(push: Push, subscriber: Subscriber) -> None:
    await subscribed(push, subscriber)
    with pytest.raises(ConflictError):
        await subscribed(push, subscriber)


async def test_address_that_does_not_answer_is_told_to_be_refused(push: Push, subscriber: Subscriber) -> None:
    subscriber.valid = False
    with pytest.raises(PermanentError) as refused:
        await subscribed(push, subscriber)
    assert refused.value.native_code == "ValidationError"


async def test_mailbox_of_somebody_else_is_not_subscribed_to(outlook: World) -> None:
    """Microsoft would take it, and never call."""
    async with opened(outlook, shared="shared@sandbox.test") as session:
        with pytest.raises(UnsupportedOperationError, match="own mailbox"):
            await session.push()


async def test_app_sees_what_it_has_on_one_mailbox_alone(
    outlook: World, subscriber: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its subscriptions to all mailboxes come in one list, in pages."""
    monkeypatch.setattr(graph_subscriptions, "_PAGE", 1)
    context = await outlook.app_context()
    environment = msgspec.structs.replace(outlook.environment, clock=outlook.sandbox.clock)
    provider, made = OutlookGraphProvider(environment), {}
    for user in (ALICE, BOB, CAROL):
        async with provider.open(Account(id=user, user=user, email=user), context) as session:
            made[user] = (await subscribed(await session.push(), subscriber)).id
    for user, id in made.items():
        async with provider.open(Account(id=user, user=user, email=user), context) as session:
            push = await session.push()
            assert [one.id for one in await push.existing()] == [id]
            await push.delete(id)


async def test_what_is_told_names_the_message_and_the_place_is_found(
    outlook: World, session: Session, push: Push, subscriber: Subscriber
) -> None:
    await asyncio.to_thread(outlook.as_new)
    await subscribed(push, subscriber)
    outlook.deliver(f"From: {BOB}\r\nTo: {ALICE}\r\nSubject: told\r\n\r\nx\r\n".encode())
    told = await asyncio.to_thread(subscriber.wait, lambda found: len(found) >= 1)
    (entry,) = (await session.messages("INBOX", PageRequest())).messages
    assert {(one.kind, one.message, one.secret) for one in read(outlook, told)} == {("changed", entry.id, SECRET)}
    assert await push.places([entry.id]) == {entry.id: "INBOX"}
    await session.move(entry.id, "Archive")
    assert await push.places([entry.id]) == {entry.id: "Archive"}
    await session.delete(entry.id)
    assert await push.places([entry.id]) == {}


@pytest.mark.parametrize(
    ("event", "kind"),
    [("reauthorizationRequired", "reauthorize"), ("subscriptionRemoved", "removed"), ("missed", "missed")],
)
async def test_what_happens_to_the_subscription_is_told(
    outlook: World, push: Push, subscriber: Subscriber, event: str, kind: str
) -> None:
    made = await subscribed(push, subscriber)
    outlook.sandbox.http.post("/sandbox/lifecycle", json={"event": event, "user": ALICE}).raise_for_status()
    told = await asyncio.to_thread(subscriber.wait, lambda found: len(found) >= 1)
    assert [(one.kind, one.subscription, one.message) for one in read(outlook, told)] == [(kind, made.id, None)]


async def test_silent_subscription_speaks_again_once_it_is_renewed(
    outlook: World, push: Push, subscriber: Subscriber
) -> None:
    made = await subscribed(push, subscriber)
    lifecycle = {"event": "reauthorizationRequired", "user": ALICE}
    outlook.sandbox.http.post("/sandbox/lifecycle", json=lifecycle).raise_for_status()
    await push.renew(made.id)
    outlook.deliver(b"Subject: again\r\n\r\nx\r\n")
    await asyncio.to_thread(subscriber.wait, lambda found: any(one.get("changeType") == "created" for one in found))


async def test_poison_is_refused_or_left_out(outlook: World, push: Push, subscriber: Subscriber) -> None:
    made = await subscribed(push, subscriber)
    outlook.sandbox.fail("poison", user=ALICE)
    outlook.deliver(b"Subject: poisoned\r\n\r\nx\r\n")
    await asyncio.to_thread(subscriber.wait, lambda _: len(subscriber.bodies) >= 9)
    read_bodies, refused = [], 0
    for body in subscriber.bodies:
        try:
            read_bodies += outlook.provider.notifications(body)
        except InvalidRequestError:
            refused += 1
    assert refused == 3
    assert {one.secret for one in read_bodies} == {SECRET, "not yours"}
    assert made.id in {one.subscription for one in read_bodies}


def test_call_with_more_than_a_service_ever_tells_is_refused(outlook: World) -> None:
    """Anybody can call, and what is read costs time."""
    with pytest.raises(InvalidRequestError):
        outlook.provider.notifications(b'{"value": [' + b"{}," * 100_000 + b"{}]}")
