"""Send the commands of one event loop tick as one pipeline."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.exceptions import RedisError

from gateway.redis.client import Client


class Coalescer:
    """Collects commands that are issued in the same loop tick and sends them together.

    One pipeline is under way at a time; what is issued meanwhile goes out with the next one. That halves the CPU of
    a busy process, because redis-py's cost is per round trip.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._waiting: list[tuple[tuple[Any, ...], asyncio.Future[Any]]] = []
        self._task: asyncio.Task[None] | None = None

    async def call(self, *command: Any) -> Any:
        """Run one command and return its answer.

        Raises:
            redis.exceptions.RedisError: as the command alone would.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((command, future))
        if self._task is None:
            self._task = loop.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        try:
            await asyncio.sleep(0)
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._send(batch)
        finally:
            self._task = None

    async def _send(self, batch: list[tuple[tuple[Any, ...], asyncio.Future[Any]]]) -> None:
        try:
            if len(batch) == 1:
                # The library's method is not annotated.
                answers = [await self._client.execute_command(*batch[0][0])]  # type: ignore[no-untyped-call]
            else:
                pipeline = self._client.pipeline(transaction=False)
                for command, _ in batch:
                    pipeline.execute_command(*command)
                answers = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError) as error:
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
