"""Exports of an account whose mailbox is in memory, by workers that die when a test wants it."""

from __future__ import annotations

import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.model.export import ExportRequest
from gateway.provider import PageRequest, Session
from gateway.testing.context import session_context
from tests.contract.memory_provider import MemorySession
from tests.contract.memory_service import MailService
from tests.integration.services.world import World

YEAR = datetime(2024, 1, 1, tzinfo=UTC)
PERIOD: dict[str, Any] = {"start_date": YEAR, "end_date": YEAR + timedelta(days=365)}


class Killed(BaseException):
    """The worker is dead."""


class Exporting:
    """An account in memory, and its export.

    Attributes:
        calls: calls of the mail service so far.
        dies_at: the call at which the worker is killed.
        poison: id of a message that kills whoever reads it.
        on_call: called before each call.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.service = MailService()
        self.calls = 0
        self.dies_at: int | None = None
        self.poison: str | None = None
        self.on_call: Any = lambda name: None
        self.id = ""

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Open a session that fails as the test wants."""
        yield DyingSession(self)

    def fill(self, count: int, mailbox: str = "INBOX", *, start: int = 0) -> None:
        """Store messages, an hour apart."""
        for number in range(start, start + count):
            raw = f"From: a@example.test\r\nSubject: {mailbox} {number}\r\n\r\nText {number}\r\n".encode()
            self.service.store(mailbox, raw, received=YEAR + timedelta(hours=number))

    async def begin(self, **request: Any) -> str:
        """Ask for an export."""
        asked = ExportRequest(**{**PERIOD, **request})
        self.id = (await self.world.services.exports.create("ann", asked)).export_id
        return self.id

    async def step(self, **options: Any) -> None:
        """Do what a job does."""
        await self.world.services.export_runner.step("ann", self.id, self.session, **options)

    async def run(self, **options: Any) -> Any:
        """Do what jobs do, until the export has ended; killed ones are started again."""
        for _ in range(1000):
            with contextlib.suppress(Killed):
                await self.step(**options)
            found = await self.world.services.exports.get("ann", self.id)
            if found.status not in ("queued", "processing"):
                return found
            self.world.clock.advance(1)
        raise AssertionError(f"it does not end: {found}")

    async def file(self) -> bytes:
        """Download it."""
        file = await self.world.services.exports.file("ann", self.id)
        return b"".join([piece async for piece in self.world.services.exports.read(file, 0, file.size - 1)])

    async def subjects(self) -> list[str]:
        """The subjects of the messages in the file."""
        return [json.loads(line)["subject"] for line in gzip.decompress(await self.file()).splitlines()]


class DyingSession(MemorySession):
    """A session in which the worker may die at any call."""

    def __init__(self, exporting: Exporting) -> None:
        super().__init__(exporting.service, session_context(None))
        self._exporting = exporting

    def _call(self, name: str) -> None:
        self._exporting.calls += 1
        self._exporting.on_call(name)
        if self._exporting.calls == self._exporting.dies_at:
            raise Killed

    async def mailboxes(self, **options: Any) -> Any:
        self._call("mailboxes")
        return await super().mailboxes(**options)

    async def search(self, mailbox: str, query: Any, page: PageRequest) -> Any:
        self._call("search")
        return await super().search(mailbox, query, page)

    async def message(self, id: str, **options: Any) -> Any:
        self._call("message")
        if id == self._exporting.poison:
            raise Killed
        return await super().message(id, **options)
