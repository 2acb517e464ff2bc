"""A server of sessions that are opened in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from gateway.errors import ConnectError
from gateway_workers.sessions import SessionPool


class FakeSession:
    """A session that knows only whether its connection lives."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.alive = True
        self.open = True
        self.readers = 3

    async def check(self) -> None:
        """Raise when the connection is gone."""
        if not self.alive:
            raise ConnectError("the server hung up")


class Server:
    """Opens sessions and remembers them."""

    def __init__(self) -> None:
        self.opened: list[FakeSession] = []
        self.refusal: Exception | None = None
        self.slow: asyncio.Event | None = None
        self.hanging_logout = False
        self.now = 0.0

    @contextlib.asynccontextmanager
    async def open(self, account: str) -> AsyncIterator[FakeSession]:
        """Open a session."""
        if self.refusal is not None:
            raise self.refusal
        if self.slow is not None:
            await self.slow.wait()
        session = FakeSession(account)
        self.opened.append(session)
        yield session
        session.open = False
        if self.hanging_logout:
            await asyncio.Event().wait()

    def pool(self, **options: float) -> SessionPool:
        """A pool of sessions of this server, with its clock."""
        return SessionPool(self.open, clock=lambda: self.now, **options)  # type: ignore[arg-type]
