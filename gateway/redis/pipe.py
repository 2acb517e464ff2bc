"""Commands and answers on one connection, without waiting for an answer before the next command is written."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import hiredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

_NOTHING = object()


class Exchange:
    """One command and what becomes of it."""

    __slots__ = ("_convert", "answer", "command")

    def __init__(
        self, command: tuple[Any, ...], answer: asyncio.Future[Any], convert: Callable[[Any], Any] | None
    ) -> None:
        """Take a command, the future that gets its answer, and what turns the answer into a Python value."""
        self.command = command
        self.answer = answer
        self._convert = convert

    def settle(self, found: Any) -> None:
        """Give the answer, or the exception that stands for it, to who waits for it."""
        if self.answer.done():
            return
        if isinstance(found, Exception):
            self.answer.set_exception(found)
            # Else a future that nobody awaits any more complains when it goes.
            self.answer.exception()
        else:
            self.answer.set_result(self._convert(found) if self._convert is not None else found)


class Pipe(asyncio.Protocol):
    """Writes commands and gives each its answer; the server keeps their order (Redis documentation, "Pipelining").

    For one round trip redis-py takes a connection out of a pool, makes tasks and timers, and reads through a stream.
    That is several times what the rest of a listing costs.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        error: Callable[[str], Exception],
        *,
        timeout: float | None,
        ended: Callable[[], None],
    ) -> None:
        """Take over a transport that is connected and authenticated.

        Args:
            transport: of the connection.
            error: makes an exception of the text of an error.
            timeout: seconds that an answer may take.
            ended: called when nothing can be sent any more.
        """
        self._transport = transport
        # Who closes the connection waits for that one to be told.
        self._before: asyncio.BaseProtocol = transport.get_protocol()
        self._reader = hiredis.Reader(protocolError=RedisConnectionError, replyError=error, notEnoughData=_NOTHING)
        self._timeout = timeout
        self._ended: Callable[[], None] | None = ended
        self._sent: deque[tuple[float, Exchange]] = deque()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        transport.set_protocol(self)

    def send(self, exchanges: Iterable[Exchange]) -> None:
        """Write commands."""
        now = self._loop.time()
        packed = []
        for exchange in exchanges:
            try:
                packed.append(hiredis.pack_command(exchange.command))
            except (TypeError, ValueError) as error:
                exchange.settle(error)
                continue
            self._sent.append((now, exchange))
        self._transport.write(b"".join(packed))
        if self._timer is None and self._timeout is not None:
            self._timer = self._loop.call_later(self._timeout, self._check)

    def data_received(self, data: bytes) -> None:
        """Give answers to those who wait for them."""
        try:
            self._reader.feed(data)
            while (found := self._reader.gets()) is not _NOTHING:
                if not self._sent:
                    raise RedisConnectionError("An answer that nobody asked for")
                self._sent.popleft()[1].settle(found)
        except RedisConnectionError as error:
            self._end(error)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell who waits for answers that there will be none."""
        self._before.connection_lost(error)
        self._end(RedisConnectionError(f"Connection lost: {type(error).__name__}" if error else "Connection closed"))

    def _check(self) -> None:
        self._timer = None
        if not self._sent or self._timeout is None:
            return
        left = self._sent[0][0] + self._timeout - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._check)
        else:
            self._end(RedisTimeoutError("Timeout reading from socket"))

    def _end(self, error: RedisError) -> None:
        if self._ended is None:
            return
        ended, self._ended = self._ended, None
        if self._timer is not None:
            self._timer.cancel()
        self._transport.abort()
        # What was written may have been done: whether it may be done again is for the caller to know.
        for _, exchange in self._sent:
            exchange.settle(error)
        self._sent.clear()
        ended()
