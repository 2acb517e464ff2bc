"""Large messages in the outbox: their bodies lie there in pieces, and come out as they were put in."""

from __future__ import annotations

import asyncio
import base64
import os

import msgspec
import pytest

from gateway.errors import ResourceNotFoundError
from gateway.model.submission import OutboxEntry
from gateway.provider import Envelope, MessageSource, SubmitReceipt
from gateway.redis import keys
from gateway.services.deliveries import ABANDONED, LOOK
from gateway.smtp.client import SLOWEST_UPLOAD
from gateway.store.idempotency import KeyRecord
from gateway.store.outbox import PIECE, OutboxMessage, OutboxStore
from tests.integration.services.outbox import WORKER, Outbox
from tests.integration.services.world import World

pytestmark = pytest.mark.anyio

HEAD = b"From: ann@example.test\r\nTo: bob@example.test\r\nBcc: eve@example.test\r\nMessage-ID: <l@x.test>\r\n\r\n"
CONTENT = base64.encodebytes(os.urandom(3 * PIECE)).replace(b"\n", b"\r\n")


@pytest.fixture
async def outbox(world: World) -> Outbox:
    """The outbox of a connected account."""
    await world.add_account()
    return Outbox(world)


async def submit(outbox: Outbox, content: bytes = CONTENT) -> str:
    """Queue a large message."""
    members = {"to": None, "subject": None, "text": None}
    return await outbox.submit(raw=base64.b64encode(HEAD + content).decode(), **members)


async def left(outbox: Outbox) -> list[bytes]:
    """Return the names of what lies in Redis of messages."""
    data = outbox.world.services.databases.data
    return [key async for key in data.scan_iter(match="*out:*", count=1000)]


async def read(message: bytes | MessageSource) -> list[bytes]:
    """Read a message as providers do."""
    return [chunk async for chunk in MessageSource.of(message).chunks()]


@pytest.mark.parametrize("length", [PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 1])
async def test_a_large_message_comes_out_as_it_was_put_in(outbox: Outbox, length: int) -> None:
    """In pieces where there are several, any number of times, and nothing of it is left afterwards."""
    queue_id = await submit(outbox, CONTENT[:length])
    taken: list[list[bytes]] = []
    whole = []

    async def hand_over(message: bytes | MessageSource, envelope: Envelope) -> SubmitReceipt:
        taken.extend([await read(message), await read(message)])
        source = MessageSource.of(message)
        whole.append((source.size, source.ascii, source.header))
        assert b"".join([chunk async for chunk in source.chunks(7, source.size - 3)]) == b"".join(taken[0])[7:-3]
        return SubmitReceipt(response="250 ok")

    async def file_copy(entry: OutboxEntry, message: OutboxMessage) -> None:
        assert message.sent_copy is not None
        taken.append(await read(message.sent_copy))

    await outbox.world.services.deliveries.deliver("ann", queue_id, WORKER, hand_over, file_copy)
    first, second, copy = (b"".join(chunks) for chunks in taken)
    assert first == second
    assert (len(taken[0]) > 1) == (length > PIECE)
    assert all(len(chunk) <= PIECE for chunk in taken[0]) or length <= PIECE
    header, end, body = first.partition(b"\r\n\r\n")
    assert body == CONTENT[:length]
    assert b"eve@" not in header
    assert b"eve@" in copy.partition(b"\r\n\r\n")[0]
    assert copy.partition(b"\r\n\r\n")[2] == body
    assert whole == [(len(first), True, header + end)]
    assert await left(outbox) == []


async def test_the_body_of_a_large_message_is_sealed_and_stays_until_it_is_sent(outbox: Outbox) -> None:
    """Each piece for its own place."""
    queue_id = await submit(outbox)
    data, name = outbox.world.services.databases.data, keys.outbox_body("ann", queue_id)
    assert await data.ttl(name) == -1
    pieces = await data.hgetall(name)
    assert len(pieces) == -(-len(CONTENT) // PIECE)
    assert CONTENT[:100] not in b"".join(pieces.values())
    await outbox.world.services.submissions.cancel(queue_id)
    assert not await data.exists(name)


async def test_a_body_without_an_entry_is_not_kept(outbox: Outbox) -> None:
    """A process may die between the two, or find that the message is known by its key already."""
    services = outbox.world.services
    queue_id = await outbox.submit(text="known")
    entry, store = await outbox.entry(queue_id), OutboxStore(services.store)
    entry = msgspec.structs.replace(entry, idempotency_key="k")
    record = KeyRecord(request="r", owner="first")
    assert await store.add(entry, OutboxMessage(raw=b"a: b\r\n\r\nsmall"), record) is None
    again = msgspec.structs.replace(entry, queue_id="0" * 20)
    known = await store.add(again, OutboxMessage(raw=HEAD + CONTENT), KeyRecord(request="r", owner="second"))
    assert known == record
    assert 0 < await services.databases.data.ttl(keys.outbox_body("ann", "0" * 20)) <= 3600
    await store.remove("ann", "0" * 20)
    assert not await services.databases.data.exists(keys.outbox_body("ann", "0" * 20))


async def test_a_message_of_which_a_part_cannot_be_read_is_tried_again(outbox: Outbox) -> None:
    """What was read of it was not handed over."""
    queue_id = await submit(outbox)
    data, name = outbox.world.services.databases.data, keys.outbox_body("ann", queue_id)
    lost = await data.hget(name, "2")
    await data.hdel(name, "2")
    sent: list[bytes] = []

    async def hand_over(message: bytes | MessageSource, envelope: Envelope) -> SubmitReceipt:
        sent.append(b"".join(await read(message)))
        return SubmitReceipt(response="250 ok")

    deliver = outbox.world.services.deliveries.deliver
    await deliver("ann", queue_id, WORKER, hand_over, outbox.service.file_copy)
    assert (await outbox.entry(queue_id)).state == "retrying"
    assert sent == []
    await data.hset(name, "2", lost)
    await outbox.world.services.submissions.retry(queue_id)
    await deliver("ann", queue_id, WORKER, hand_over, outbox.service.file_copy)
    assert [message.partition(b"\r\n\r\n")[2] for message in sent] == [CONTENT]


async def test_a_large_message_may_take_longer_than_others(outbox: Outbox) -> None:
    """A worker that lives may still be sending it: that it might be out is not said before its time."""
    queue_id = await submit(outbox)
    outbox.service.gate = asyncio.Event()
    service, deliver = outbox.service, outbox.world.services.deliveries.deliver
    allowed: list[float] = []
    job = asyncio.ensure_future(deliver("ann", queue_id, WORKER, service.hand_over, service.file_copy, allowed.append))
    while (await outbox.entry(queue_id)).state != "sending":
        await asyncio.sleep(0)
    await outbox.worker_lives(True)
    outbox.world.clock.advance(ABANDONED.total_seconds() + 10)
    await outbox.deliver(queue_id)
    assert (await outbox.entry(queue_id)).state == "sending"
    outbox.service.gate.set()
    await job
    ((octets, _),) = outbox.service.taken
    assert allowed == [2 * len(octets) / SLOWEST_UPLOAD]


@pytest.mark.parametrize("lives", [True, False])
async def test_a_body_is_not_taken_away_from_who_files_the_copy(outbox: Outbox, lives: bool) -> None:
    """Another job finds the message sent meanwhile; it leaves it alone as long as that worker lives."""
    queue_id = await submit(outbox)
    filing, go_on, copies = asyncio.Event(), asyncio.Event(), []

    async def file_copy(entry: OutboxEntry, message: OutboxMessage) -> None:
        filing.set()
        await go_on.wait()
        copies.append(b"".join(await read(message.raw)))

    service = outbox.service
    job = asyncio.ensure_future(
        outbox.world.services.deliveries.deliver("ann", queue_id, WORKER, service.hand_over, file_copy)
    )
    await filing.wait()
    await outbox.worker_lives(lives)
    outbox.world.clock.advance(LOOK.total_seconds())
    assert await outbox.due(queue_id)
    await outbox.deliver(queue_id)
    assert bool(await left(outbox)) == lives
    go_on.set()
    await job
    assert service.copies == []
    assert [copy.partition(b"\r\n\r\n")[2] for copy in copies] == ([CONTENT] if lives else [])
    with pytest.raises(ResourceNotFoundError):
        await outbox.entry(queue_id)
    assert await left(outbox) == []
