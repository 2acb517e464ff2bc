"""Which events arise from an account's fate and from its submissions, and what they tell."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.errors import (
    ConnectError,
    MessageRefusedError,
    OutcomeUnknownError,
    ReauthorizationError,
    Remedy,
    ServiceUnavailableError,
)
from gateway.model.account import FlushRequest
from gateway.model.submission import SubmitRequest
from gateway.provider import Envelope, SubmitReceipt
from gateway.smtp.answers import Phase
from gateway.smtp.errors import answer_error
from tests.integration.services.outbox import WORKER
from tests.integration.services.world import World

pytestmark = pytest.mark.anyio

REFUSED = ReauthorizationError(
    "the password was refused",
    native_code="AUTHENTICATIONFAILED",
    remedy=Remedy(code="password", title="The password is wrong", who="user", steps=("Sign in again.",)),
)
AWAY = ConnectError("the server cannot be reached", native_code="ECONNREFUSED")


class Story:
    """An account, and what was told of it."""

    def __init__(self, world: World) -> None:
        self.services = world.services
        self.health = world.services.account_health
        self._told = 0

    async def news(self) -> list[dict[str, Any]]:
        """Return the events since the last call."""
        logged = await self.services.event_store.read("ann")
        new, self._told = logged[self._told :], len(logged)
        return [msgspec.json.decode(event.json) for event in new]

    async def names(self) -> list[str]:
        """Return their names."""
        return [event["event"] for event in await self.news()]


@pytest.fixture
async def story(world: World) -> Story:
    """One that begins with the first sign-in."""
    await world.add_account()
    return Story(world)


async def test_the_first_connection_is_told_and_the_next_ones_are_not(story: Story) -> None:
    added, *others = await story.news()
    assert (added["event"], added["data"], others) == ("accountAdded", {"account": "ann"}, [])
    await story.health.connecting("ann")
    await story.health.syncing("ann")
    await story.health.connected("ann")
    success, initialized = await story.news()
    assert (success["event"], success["data"]) == ("authenticationSuccess", {"user": "ann@example.test"})
    assert (initialized["event"], initialized["data"]) == ("accountInitialized", {"initialized": True})
    await story.health.connected("ann")
    assert await story.names() == []


async def test_a_flush_makes_the_next_connection_a_first_one(story: Story) -> None:
    await story.health.connected("ann")
    await story.names()
    await story.services.accounts.flush("ann", FlushRequest(flush=True))
    await story.health.connected("ann")
    assert await story.names() == ["accountInitialized"]


async def test_an_error_is_told_once_until_it_is_another_or_is_over(story: Story) -> None:
    """Whoever is called out of bed by a webhook is called once."""
    await story.health.connected("ann")
    await story.names()
    for _ in range(3):
        await story.health.outcome("ann", AWAY)
    (unreached,) = await story.news()
    assert (unreached["event"], unreached["account"]) == ("connectError", "ann")
    assert unreached["data"] == {"response": AWAY.message, "serverResponseCode": "ECONNREFUSED"}
    for _ in range(2):
        await story.health.outcome("ann", REFUSED)
    (refused,) = await story.news()
    assert refused["event"] == "authenticationError"
    assert refused["data"]["response"] == REFUSED.message
    assert refused["data"]["serverResponseCode"] == "AUTHENTICATIONFAILED"
    assert refused["data"]["remedy"]["who"] == "user"
    await story.health.connected("ann")
    assert await story.names() == ["authenticationSuccess"]
    await story.health.outcome("ann", AWAY)
    assert await story.names() == ["connectError"]


async def test_an_account_that_is_gone_tells_nothing_more(story: Story) -> None:
    await story.services.accounts.delete("ann")
    await story.health.outcome("ann", AWAY)
    await story.health.connected("ann")
    assert await story.names() == []
    feed = await story.services.event_store.feed()
    assert [entry.name for entry in feed if entry.name] == ["accountAdded", "accountDeleted"]


async def submitted(story: Story, *outcomes: Exception | SubmitReceipt, attempts: int = 3) -> list[dict[str, Any]]:
    """Submit a message whose attempts end like this; return what was told."""
    wire = {"to": [{"address": "bob@example.test"}], "subject": "s", "text": "t", "deliveryAttempts": attempts}
    queued = await story.services.submissions.submit("ann", msgspec.convert(wire, SubmitRequest))
    await story.names()
    left = list(outcomes)

    async def hand_over(message: bytes, envelope: Envelope) -> SubmitReceipt:
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def file_copy(*_: Any) -> None:
        return None

    clock: Any = story.services.clock
    while left:
        await story.services.deliveries.deliver("ann", str(queued.queue_id), WORKER, hand_over, file_copy)
        clock.advance(100_000)
    told = await story.news()
    assert {event["data"]["queueId"] for event in told} == {queued.queue_id}
    assert {event["data"].get("messageId") for event in told if event["event"] != "messageSent"} <= {queued.message_id}
    return told


async def test_a_message_that_was_taken_is_told_with_the_id_that_it_had_and_has(story: Story) -> None:
    (plain,) = await submitted(story, SubmitReceipt(response="250 2.0.0 OK"))
    assert plain["event"] == "messageSent"
    assert plain["data"]["response"] == "250 2.0.0 OK"
    assert plain["data"]["envelope"] == {"from": "ann@example.test", "to": ["bob@example.test"]}
    assert "originalMessageId" not in plain["data"]
    (renamed,) = await submitted(story, SubmitReceipt(response="250 2.0.0 OK", message_id="<new@service>"))
    assert renamed["data"]["messageId"] == "<new@service>"
    assert renamed["data"]["originalMessageId"].endswith("@example.test>")


async def test_each_attempt_that_failed_is_told_and_the_end_once(story: Story) -> None:
    busy = ServiceUnavailableError("not now")
    refused = answer_error(550, "5.1.1 no such user", phase=Phase.ENVELOPE, command="RCPT TO")
    first, second, failed = await submitted(story, busy, refused)
    assert [first["event"], second["event"], failed["event"]] == [
        "messageDeliveryError",
        "messageDeliveryError",
        "messageFailed",
    ]
    assert first["data"]["job"] == {
        "id": first["data"]["queueId"],
        "attemptsMade": 1,
        "attempts": 3,
        "nextAttempt": first["data"]["job"]["nextAttempt"],
    }
    assert isinstance(first["data"]["job"]["nextAttempt"], str)
    assert "smtpResponse" not in first["data"]
    assert second["data"]["job"]["nextAttempt"] is False
    assert second["data"]["smtpResponse"] == "550 5.1.1 no such user"
    assert (second["data"]["smtpResponseCode"], second["data"]["smtpCommand"]) == (550, "RCPT TO")
    assert set(failed["data"]) == {"messageId", "queueId", "error"}


@pytest.mark.parametrize(
    ("outcome", "names"),
    [
        (MessageRefusedError("no"), ["messageDeliveryError", "messageFailed"]),
        (OutcomeUnknownError("who knows"), ["messageDeliveryError"]),
    ],
)
async def test_a_message_that_may_be_out_is_not_told_to_have_failed(
    story: Story, outcome: Exception, names: list[str]
) -> None:
    """Whoever sent it again because of that would send it twice."""
    told = await submitted(story, outcome)
    assert [event["event"] for event in told] == names
    assert told[0]["data"]["errorCode"] == outcome.error_code  # type: ignore[attr-defined]
