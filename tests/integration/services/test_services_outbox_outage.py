"""What the outbox remembers when Redis is killed while a message is handed over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest

from gateway.errors import ConnectError, ResourceNotFoundError, ServiceUnavailableError
from gateway.model.submission import IdempotencyResult, OutboxEntry, SubmitRequest
from gateway.provider import Envelope, SubmitReceipt
from gateway.services.idempotency import IdempotencyService, idempotency_key
from gateway.services.merging import MergeService
from gateway.services.originals import Originals
from gateway.services.references import ReferenceService
from gateway.services.rendering import RenderingService
from gateway.services.submissions import SWEEP, SubmissionService
from gateway.store.due import DueWork
from gateway.store.idempotency import IdempotencyStore
from gateway.store.outbox import OutboxMessage, OutboxStore
from gateway.store.templates import TemplateStore
from tests.integration.services.outbox import WORKER
from tests.integration.services.world import World, open_world
from tests.rigs.redis_server import RedisServer

pytestmark = pytest.mark.anyio

REQUEST = msgspec.convert({"to": [{"address": "bob@example.test"}], "subject": "s", "text": "t"}, SubmitRequest)


@pytest.fixture
async def world(durable_redis: RedisServer, anyio_backend: str) -> AsyncIterator[World]:
    """An account on a Redis of the test's own."""
    async with open_world(durable_redis.url) as world:
        await world.add_account()
        yield world


class Service:
    """A submission service during whose work Redis is killed; `killed` is set then."""

    def __init__(self, redis: RedisServer, ends: Callable[[], Awaitable[SubmitReceipt]]) -> None:
        self.taken = 0
        self.killed = asyncio.Event()
        self._redis = redis
        self._ends = ends

    async def hand_over(self, message: bytes, envelope: Envelope) -> SubmitReceipt:
        """Take a message, and kill Redis."""
        self.taken += 1
        await asyncio.to_thread(self._redis.kill)
        self.killed.set()
        return await self._ends()


async def file_copy(entry: OutboxEntry, message: OutboxMessage) -> None:
    """File nothing."""


async def taken() -> SubmitReceipt:
    """Answer that the message is on its way."""
    return SubmitReceipt(response="250 2.0.0 queued")


async def refused() -> SubmitReceipt:
    """Answer nothing."""
    raise ConnectError("gone", code="ECONNRESET")


async def submit(world: World) -> str:
    """Queue a message and return its queue id."""
    result = await world.services.submissions.submit("ann", REQUEST)
    assert result.queue_id is not None
    return result.queue_id


async def events(world: World) -> list[str]:
    """The names of the account's events about messages."""
    found, _ = await world.services.events.log("ann", set(), after="0", until="+", limit=1000)
    names = [str(msgspec.json.decode(event)["event"]) for event in found]
    return [name for name in names if name.startswith("message")]


async def deliver(world: World, redis: RedisServer, service: Service, queue_id: str) -> None:
    """Run the job of an entry; Redis comes back when the message was handed over."""
    delivery = asyncio.create_task(
        world.services.deliveries.deliver("ann", queue_id, WORKER, service.hand_over, file_copy)
    )
    await asyncio.wait_for(service.killed.wait(), 20)
    assert not delivery.done()
    await asyncio.to_thread(redis.start)
    await asyncio.wait_for(delivery, 20)


async def test_a_message_that_was_sent_while_redis_was_away_is_known_to_be_sent(
    world: World, durable_redis: RedisServer
) -> None:
    """Else its sender would hear that nobody knows, and send it again."""
    queue_id = await submit(world)
    service = Service(durable_redis, taken)
    await deliver(world, durable_redis, service, queue_id)
    with pytest.raises(ResourceNotFoundError):
        await world.services.submissions.get(queue_id)
    assert await events(world) == ["messageSent"]
    assert service.taken == 1


async def test_a_message_that_failed_while_redis_was_away_is_tried_again(
    world: World, durable_redis: RedisServer
) -> None:
    queue_id = await submit(world)
    await deliver(world, durable_redis, Service(durable_redis, refused), queue_id)
    entry = await world.services.submissions.get(queue_id)
    assert entry.state == "retrying"
    assert await events(world) == ["messageDeliveryError"]


async def test_a_message_whose_sender_cannot_be_logged_in_without_redis_was_not_sent(
    world: World, durable_redis: RedisServer
) -> None:
    """Credentials are asked for before a message is handed over."""
    queue_id = await submit(world)

    async def log_in() -> SubmitReceipt:
        await world.services.account_store.secrets("ann")
        raise AssertionError("Redis is there")

    await deliver(world, durable_redis, Service(durable_redis, log_in), queue_id)
    assert (await world.services.submissions.get(queue_id)).state == "retrying"


class KillingSender:
    """Queues nothing, because Redis is killed before it can."""

    def __init__(self, redis: RedisServer) -> None:
        self._redis = redis

    async def send(self, account: str, queue_id: str) -> None:
        """Kill Redis."""
        await asyncio.to_thread(self._redis.kill)
        raise ServiceUnavailableError("the job could not be queued")


async def test_a_message_that_is_accepted_is_not_refused_because_its_job_was_not_queued(
    world: World, durable_redis: RedisServer
) -> None:
    """It is due all the same, and a client that is refused submits it again; its key has outlived Redis as well."""
    services = world.services
    rendering = RenderingService(TemplateStore(services.store), services.runtime_settings)
    submissions = SubmissionService(
        accounts=services.account_store,
        outbox=OutboxStore(services.store),
        due=services.due,
        settings=services.runtime_settings,
        references=ReferenceService(Originals(services.jobs), services.runtime_settings),
        rendering=rendering,
        merging=MergeService(rendering, services.blocklists),
        relays=services.relays,
        tracking=services.tracking,
        idempotency=IdempotencyService(IdempotencyStore(services.store), world.clock),
        sender=KillingSender(durable_redis),
        clock=world.clock,
    )
    key = idempotency_key("k", "submit", REQUEST)
    queue_id = (await submissions.submit("ann", REQUEST, key=key)).queue_id
    await asyncio.to_thread(durable_redis.start)
    assert queue_id is not None
    again = await services.submissions.submit("ann", REQUEST, key=key)
    assert (again.queue_id, again.idempotency) == (queue_id, IdempotencyResult(key="k", status="HIT"))
    assert (await submissions.get(queue_id)).state == "queued"
    world.clock.advance(SWEEP.total_seconds())
    assert DueWork("outbox.send", "ann", queue_id) in await services.due.claim(world.clock())
