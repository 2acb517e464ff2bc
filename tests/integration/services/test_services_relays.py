"""Relays: mail goes through them in place of an account's own server, and they tell how that went."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from gateway.errors import InvalidRequestError, ResourceNotFoundError
from gateway.model.relay import RelayCreate, RelayUpdate
from gateway.model.submission import OutboxEntry, SubmitRequest
from gateway.provider import Envelope, SubmitReceipt
from gateway.redis import keys
from gateway.services.container import Services
from gateway.store.outbox import OutboxMessage
from tests.integration.services.outbox import WORKER
from tests.integration.services.world import World
from tests.unit.smtp.smtp_sink import SmtpSink

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sink() -> AsyncIterator[SmtpSink]:
    """A relay that takes everything."""
    async with SmtpSink() as sink:
        yield sink


@pytest.fixture
async def services(world: World) -> Services:
    """Services with the account `ann`, which signs in with OAuth2."""
    await world.add_account()
    return world.services


async def register(services: Services, sink: SmtpSink, **members: Any) -> str:
    wire = {"gateway": "r", "name": "R", "host": "localhost", "port": sink.server.port, "user": "u", "pass": "p"}
    return (await services.relays.create(msgspec.convert({**wire, **members}, RelayCreate))).gateway


async def submit(services: Services, relay: str = "r", **members: Any) -> str:
    wire = {"to": [{"address": "bob@example.test"}], "subject": "s", "text": "t", "gateway": relay, **members}
    queue_id = (await services.submissions.submit("ann", msgspec.convert(wire, SubmitRequest))).queue_id
    assert queue_id is not None
    return queue_id


async def deliver(services: Services, queue_id: str) -> list[OutboxEntry]:
    """Run the job of an entry; return what was filed under Sent."""
    filed = []

    async def own_server(message: bytes, envelope: Envelope) -> SubmitReceipt:
        raise AssertionError("the account's own server was asked")

    async def file_copy(entry: OutboxEntry, message: OutboxMessage) -> None:
        filed.append(entry)

    await services.deliveries.deliver("ann", queue_id, WORKER, own_server, file_copy)
    return filed


async def test_mail_goes_through_the_relay_and_is_filed(services: Services, sink: SmtpSink, world: World) -> None:
    await register(services, sink)
    queue_id = await submit(services)
    assert (await services.submissions.get(queue_id)).gateway == "r"
    (filed,) = await deliver(services, queue_id)
    ((envelope, message),) = sink.received
    assert (envelope.rcpt_to, filed.gateway) == (("bob@example.test",), "r")
    assert b"Subject: s" in message
    assert any(command.upper().startswith(b"AUTH") for command in sink.commands)
    told = await services.relays.get("r")
    assert (told.deliveries, told.last_use, told.last_error) == (1, world.clock(), None)
    (told_last, *_) = await services.events.recent("ann", 9)
    assert told_last.event == "messageSent"
    assert (await services.accounts.get("ann")).smtp_status is None


async def test_a_connection_serves_one_message_after_the_other(services: Services, sink: SmtpSink) -> None:
    await register(services, sink)
    for _ in range(3):
        await deliver(services, await submit(services))
    assert (len(sink.received), sink.connections) == (3, 1)
    await services.relays.aclose()
    assert sink.commands[-1].upper() == b"QUIT"


async def test_a_changed_relay_is_used_as_it_is_now(services: Services, sink: SmtpSink, world: World) -> None:
    await register(services, sink)
    await deliver(services, await submit(services))
    world.clock.advance(1)
    async with SmtpSink() as other:
        await services.relays.update("r", msgspec.convert({"port": other.server.port}, RelayUpdate))
        await deliver(services, await submit(services))
        assert (len(sink.received), len(other.received)) == (1, 1)


async def test_a_relay_that_refuses_tells_why(services: Services, sink: SmtpSink) -> None:
    """The account's own server is well all the same."""
    await register(services, sink)
    sink.answers[b"RCPT"] = b"550 5.7.1 Relaying denied"
    queue_id = await submit(services)
    await deliver(services, queue_id)
    assert (await services.submissions.get(queue_id)).state == "failed"
    error = (await services.relays.get("r")).last_error
    assert error is not None
    assert (error.status, error.response_code) == ("error", 550)
    assert (await services.accounts.get("ann")).smtp_status is None
    sink.answers.clear()
    await deliver(services, await submit(services))
    told = await services.relays.get("r")
    assert (told.deliveries, told.last_error) == (1, None)


async def test_a_relay_that_is_away_is_tried_again(services: Services, sink: SmtpSink) -> None:
    await register(services, sink)
    sink.answers[b"MAIL"] = b"451 4.3.0 Later"
    queue_id = await submit(services)
    await deliver(services, queue_id)
    assert (await services.submissions.get(queue_id)).state == "retrying"


async def test_mail_for_a_relay_that_was_deleted_fails(services: Services, sink: SmtpSink) -> None:
    await register(services, sink)
    queue_id = await submit(services)
    await services.relays.delete("r")
    await deliver(services, queue_id)
    entry = await services.submissions.get(queue_id)
    assert entry.progress.error is not None
    assert (entry.state, entry.progress.error.code) == ("failed", "GatewayNotFound")
    assert sink.received == []


async def test_a_relay_that_is_not_there_is_refused_at_once(services: Services) -> None:
    with pytest.raises(ResourceNotFoundError) as refused:
        await submit(services, "nowhere")
    assert refused.value.error_code == "GatewayNotFound"


async def test_passwords_are_sealed_masked_and_kept(services: Services, sink: SmtpSink) -> None:
    await register(services, sink, **{"pass": "VERY-PRIVATE"})
    stored = await services.databases.control.hgetall(keys.RELAYS)
    assert "VERY-PRIVATE" not in repr(stored)
    shown = await services.relays.get("r")
    assert (shown.user, shown.pass_) == ("u", "******")
    await services.relays.update("r", msgspec.convert({"pass": shown.pass_, "name": "Other"}, RelayUpdate))
    assert (await services.relays.require("r")).password == "VERY-PRIVATE"
    assert (await services.relays.get("r")).name == "Other"
    with pytest.raises(InvalidRequestError):
        await services.relays.update("r", msgspec.convert({"pass": None}, RelayUpdate))
    await services.relays.update("r", msgspec.convert({"user": None, "pass": None}, RelayUpdate))
    assert (await services.relays.get("r")).pass_ is None


async def test_relays_are_created_replaced_listed_and_deleted(services: Services, sink: SmtpSink) -> None:
    made = await services.relays.create(
        msgspec.convert({"gateway": None, "name": "New", "host": "localhost", "port": 25}, RelayCreate)
    )
    assert made.state == "new"
    await register(services, sink)
    assert (
        await services.relays.create(
            msgspec.convert({"gateway": "r", "name": "Again", "host": "localhost", "port": 25}, RelayCreate)
        )
    ).state == "existing"
    listed = await services.relays.list(0, 20)
    assert sorted(relay.name for relay in listed.gateways) == ["Again", "New"]
    await services.relays.delete("r")
    with pytest.raises(ResourceNotFoundError):
        await services.relays.delete("r")
    assert (await services.relays.list(0, 20)).total == 1
