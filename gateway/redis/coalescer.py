"""Send the commands of one event loop tick together, over a connection that all share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar

from redis.exceptions import RedisError

from gateway.redis.client import Client, PipeConnection
from gateway.redis.pipe import Exchange, Pipe

T = TypeVar("T")


class Sent(Generic[T]):
    """What is under way already; it may be awaited later, or never, as when something else failed first."""

    __slots__ = ("_answer",)

    def __init__(self, answer: Callable[[], Awaitable[T]]) -> None:
        """Take what waits for the answer."""
        self._answer = answer

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the answer."""
        return self._answer().__await__()


class Coalescer:
    """Collects commands that are issued in the same loop tick and sends them together.

    Those of the next tick go out without waiting for the answers.

    Attributes:
        connections: how often it has connected so far.
    """

    def __init__(self, client: Client) -> None:
        self.connections = 0
        self._client = client
        self._connection: PipeConnection | None = None
        self._pipe: Pipe | None = None
        self._waiting: list[Exchange] = []
        self._connecting: asyncio.Task[None] | None = None

    def call(self, *command: Any) -> asyncio.Future[Any]:
        """Send one command, whose name is a single word; what is returned is its answer.

        Raises:
            redis.exceptions.RedisError: as the command alone would, when it is awaited.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append(Exchange(command, answer, self._client.response_callbacks.get(command[0])))
        return answer

    def _flush(self) -> None:
        if self._pipe is not None:
            if self._waiting:
                waiting, self._waiting = self._waiting, []
                self._pipe.send(waiting)
        elif self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        try:
            if self._connection is None:
                # The library's method is not annotated.
                self._connection = await self._client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
            else:
                await self._connection.disconnect()
            self._pipe = await self._connection.open_pipe(self._end)
            self.connections += 1
        except (RedisError, OSError) as error:
            waiting, self._waiting = self._waiting, []
            for exchange in waiting:
                exchange.settle(error)
            return
        finally:
            self._connecting = None
        self._flush()

    def _end(self) -> None:
        self._pipe = None
