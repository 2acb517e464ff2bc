"""An outbox, the service that it sends through, and a worker, for tests."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from gateway.model.submission import OutboxEntry, SubmitRequest
from gateway.provider import Envelope, MessageSource, SubmitReceipt
from gateway.redis import keys
from gateway.store.due import DueWork
from gateway.store.outbox import OutboxMessage
from tests.integration.services.world import World

#: Name of the worker.
WORKER = "worker"


class Service:
    """A submission service that follows a script.

    Attributes:
        errors: raised by the next submissions, one each.
        taken: what it accepted.
        copies: what was filed under Sent.
    """

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.taken: list[tuple[bytes, Envelope]] = []
        self.copies: list[OutboxMessage] = []
        self.gate: asyncio.Event | None = None

    async def hand_over(self, message: bytes | MessageSource, envelope: Envelope) -> SubmitReceipt:
        """Take a message, or raise what the script says."""
        if self.gate is not None:
            await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        self.taken.append((await MessageSource.of(message).octets(), envelope))
        return SubmitReceipt(response="250 2.0.0 queued")

    async def file_copy(self, entry: OutboxEntry, message: OutboxMessage) -> None:
        """Remember the copy."""
        self.copies.append(message)


class Outbox:
    """An account that sends, and a worker that is told when to."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.service = Service()

    async def submit(self, **members: Any) -> str:
        """Queue a message and return its queue id."""
        wire = {"to": [{"address": "bob@example.test"}], "subject": "s", "text": "t", **members}
        result = await self.world.services.submissions.submit("ann", msgspec.convert(wire, SubmitRequest))
        assert result.queue_id is not None
        return result.queue_id

    async def deliver(self, queue_id: str) -> None:
        """Run the job of an entry."""
        service = self.service
        await self.world.services.deliveries.deliver("ann", queue_id, WORKER, service.hand_over, service.file_copy)

    async def worker_lives(self, lives: bool) -> None:
        """Give signs of life for the worker, or have none."""
        control, key = self.world.services.store.control, keys.worker(WORKER)
        await (control.call("SET", key, "1") if lives else control.call("DEL", key))

    async def entry(self, queue_id: str) -> OutboxEntry:
        """Return an entry."""
        return await self.world.services.submissions.get(queue_id)

    async def due(self, queue_id: str) -> bool:
        """Whether the entry is due now; claims it."""
        claimed = await self.world.services.due.claim(self.world.clock())
        return DueWork("outbox.send", "ann", queue_id) in claimed
