"""The sign of life of a worker."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from redis.exceptions import RedisError, ResponseError

from gateway.errors import ConfigurationError
from gateway.redis import keys
from gateway.redis.coalescer import Coalescer
from gateway_workers.reaper import Reaper

log = structlog.get_logger()

#: Seconds that a worker is believed to live after its last beat, and seconds between beats.
LEASE = 5.0
BEAT = 1.0


class Liveness:
    """Beats, notices when this worker was declared dead, and looks after the dead.

    After Redis has been away, every worker's key may have run out although all of them live, and the connections they
    noted are those of a server that is no more: then nobody is declared dead for the time of one lease. If it was away
    between two beats, only a connection made anew tells.
    """

    def __init__(
        self,
        name: str,
        caller: Coalescer,
        reaper: Reaper,
        *,
        on_lost: Callable[[], Awaitable[None]],
        on_beat: Callable[[], Awaitable[None]],
        lease: float = LEASE,
        beat: float = BEAT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; `register` begins.

        Args:
            name: of the worker.
            caller: for the commands.
            reaper: cleans up after others.
            on_lost: this worker was declared dead and buried, or Redis has forgotten it.
            on_beat: called after each beat, for work that has to be done now and then.
            lease: seconds from the last beat to being declared dead.
            beat: seconds between beats.
            clock: monotonic seconds.
        """
        self._name = name
        self._caller = caller
        self._reaper = reaper
        self._on_lost = on_lost
        self._on_beat = on_beat
        self._lease = lease
        self._beat = beat
        self._clock = clock
        self._seen_at = clock()
        self._quiet_until = 0.0
        self._connections = caller.connections
        self._away = False
        self._lost = False
        self._sign = "1"
        self._news = asyncio.Event()

    async def certain(self) -> None:
        """Wait while this worker may have been declared dead and has not yet ended what others have now."""
        while self._lost or self._clock() - self._seen_at > self._lease:
            await self._news.wait()

    async def register(self) -> bool:
        """Make this worker known; False when it was. The sign of life comes first: a name without one is a dead one's.

        Raises:
            redis.exceptions.RedisError: Redis is away.
        """
        await self._note_connection()
        await self._set(keys.worker(self._name), self._sign)
        added = await self._caller.call("SADD", keys.WORKERS, self._name)
        self._seen_at = self._clock()
        self._connections = self._caller.connections
        return bool(added)

    async def _note_connection(self) -> None:
        """Note the connection by whose end others know that this process has ended."""
        # An operator may forbid the question.
        with contextlib.suppress(ResponseError):
            await self._set(keys.worker_connection(self._name), await self._caller.call("CLIENT", "ID"))

    async def _set(self, key: str, value: Any) -> None:
        await self._caller.call("SET", key, value, "PX", int(self._lease * 1000))

    async def outlive_namesake(self) -> None:
        """Wait until no worker of this name gives signs of life: one that was killed and started again comes too early.

        Raises:
            ConfigurationError: it does not end.
        """
        end = self._clock() + 2 * self._lease
        while await self._caller.call("EXISTS", keys.worker(self._name)):
            if self._clock() > end:
                raise ConfigurationError(f"another worker is named {self._name}")
            await asyncio.sleep(self._beat)

    async def retire(self) -> None:
        """Go on living to finish jobs, but no longer be at work: no job is routed here, no account belongs here."""
        self._sign = "0"
        await self.register()

    async def withdraw(self) -> None:
        """Give the last sign of life.

        The name stays on the list until a reaper has looked: Redis may hand a job to a waiting connection in the
        moment in which that is closed.
        """
        await self._caller.call("DEL", keys.worker(self._name), keys.worker_connection(self._name))

    async def run(self) -> None:
        """Beat until cancelled; the duties run beside the beats, so that none of them can cost this worker its life."""
        duties: asyncio.Task[None] | None = None
        try:
            while True:
                await asyncio.sleep(self._beat)
                try:
                    await self.beat()
                except (RedisError, OSError) as error:
                    self._note_away(error)
                    continue
                if duties is None or duties.done():
                    duties = asyncio.create_task(self._guarded_duties())
        finally:
            if duties is not None:
                duties.cancel()
                await asyncio.gather(duties, return_exceptions=True)

    async def beat(self) -> None:
        """Give one sign of life.

        Raises:
            redis.exceptions.RedisError: Redis is away.
        """
        seen_at, connections = self._seen_at, self._connections
        # Whoever buries a worker strikes its name off. Nobody does when Redis was away: all keep what they have then.
        if await self.register():
            log.warning("liveness_lost", worker=self._name)
            self._lost = True
        if self._away or self._connections != connections or self._seen_at - seen_at > self._lease:
            self._quiet_until = self._seen_at + self._lease
        if self._away:
            log.info("redis_back", worker=self._name)
        self._away = False
        self._tell()

    async def duties(self) -> None:
        """Do what is due after a beat.

        Raises:
            redis.exceptions.RedisError: Redis is away.
        """
        if self._lost:
            await self._on_lost()
            self._lost = False
            self._tell()
        if self._clock() >= self._quiet_until:
            await self._reaper.sweep()
        await self._on_beat()

    async def _guarded_duties(self) -> None:
        try:
            await self.duties()
        except Exception as error:  # noqa: BLE001 (the next beat tries again)
            log.warning("duties_failed", worker=self._name, error=type(error).__name__)

    def _tell(self) -> None:
        """Let those look again who wait for news."""
        self._news.set()
        self._news.clear()

    def _note_away(self, error: Exception) -> None:
        if not self._away:
            log.warning("redis_lost", worker=self._name, error=type(error).__name__)
        self._away = True
