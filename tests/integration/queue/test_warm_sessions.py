"""Jobs on warm connections that turn out to be dead."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from gateway.errors import ConnectError
from gateway.queue import operations
from gateway_workers.context import JobContext
from tests.integration.queue.rig import Answer, running_client, running_worker

pytestmark = pytest.mark.anyio

CONNECT, MOVE = operations.ACCOUNT_CONNECT, operations.MESSAGES_MOVE
NOTHING = operations.NoArguments()
MOVING = operations.MoveMessage(message="m-1", path="Archive")


class NumberedSession:
    """A session that knows nothing but its number and until when it may be waited for."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.deadline: float | None = None


class MailServer:
    """Hands out numbered sessions; using a dead one raises."""

    def __init__(self) -> None:
        self.opened = 0
        self.dead: set[int] = set()
        self.used: list[int] = []
        self.deadlines: list[float | None] = []

    @contextlib.asynccontextmanager
    async def open(self, account: str) -> AsyncIterator[NumberedSession]:
        """Open a session."""
        self.opened += 1
        yield NumberedSession(self.opened)

    async def use(self, context: JobContext, arguments: Any) -> Answer:
        """The handler of every operation here."""
        async with context.session() as opened:
            session = cast("NumberedSession", opened).number
            self.used.append(session)
            self.deadlines.append(cast("NumberedSession", opened).deadline)
            if session in self.dead:
                raise ConnectError("the server hung up")
            return Answer(str(session))

    @property
    def handlers(self) -> dict[str, Any]:
        """A read and a write."""
        return {CONNECT.name: self.use, MOVE.name: self.use}


async def test_a_read_on_a_dead_warm_connection_is_run_again_on_a_fresh_one(redis_url: str) -> None:
    """Servers hang up on idle connections; no caller should notice."""
    server = MailServer()
    async with (
        running_client(redis_url) as client,
        running_worker(redis_url, server.handlers, opener=server.open),
    ):
        assert await client.call(CONNECT, "ada", NOTHING, timeout=5) == b'{"text":"1"}'
        server.dead.add(1)
        assert await client.call(CONNECT, "ada", NOTHING, timeout=5) == b'{"text":"2"}'
    assert server.used == [1, 1, 2]


async def test_a_write_is_not_run_again(redis_url: str) -> None:
    """It may have been done before the connection broke."""
    server = MailServer()
    async with (
        running_client(redis_url) as client,
        running_worker(redis_url, server.handlers, opener=server.open),
    ):
        await client.call(MOVE, "ada", MOVING, timeout=5)
        server.dead.add(1)
        with pytest.raises(ConnectError):
            await client.call(MOVE, "ada", MOVING, timeout=5)
    assert server.used == [1, 1]


async def test_a_server_that_is_down_is_tried_once_more_and_no_oftener(redis_url: str) -> None:
    """Neither a fresh connection that fails nor a second failure is repeated."""
    server = MailServer()
    async with (
        running_client(redis_url) as client,
        running_worker(redis_url, server.handlers, opener=server.open),
    ):
        await client.call(CONNECT, "ada", NOTHING, timeout=5)
        server.dead.update(range(1, 100))
        with pytest.raises(ConnectError):
            await client.call(CONNECT, "ada", NOTHING, timeout=5)
        with pytest.raises(ConnectError):
            await client.call(CONNECT, "ada", NOTHING, timeout=5)
    assert server.used == [1, 1, 2, 3]


async def test_a_session_knows_until_when_its_caller_waits(redis_url: str) -> None:
    """A service that asks for a pause can then be waited for, or be told of in time."""
    server = MailServer()
    async with (
        running_client(redis_url) as client,
        running_worker(redis_url, server.handlers, opener=server.open),
    ):
        before = time.monotonic()
        await client.call(CONNECT, "ada", NOTHING, timeout=7)
        after = time.monotonic()
    (deadline,) = server.deadlines
    assert deadline is not None
    # The caller's clock is the wall's.
    assert before + 6 < deadline < after + 8
