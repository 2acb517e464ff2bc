"""Which queues are paused: workers start none of their jobs, and end those under way."""

from __future__ import annotations

from gateway.redis import keys
from gateway.redis.coalescer import Coalescer


class Pauses:
    """One set for all processes, which the script that starts jobs looks at."""

    def __init__(self, caller: Coalescer) -> None:
        """Take the control plane."""
        self._caller = caller

    async def all(self) -> frozenset[str]:
        """Return the names of the paused queues, each that of all workers."""
        return frozenset(name.decode() for name in await self._caller.call("SMEMBERS", keys.PAUSED))

    async def has(self, queue: str) -> bool:
        """Tell whether a queue is paused."""
        return bool(await self._caller.call("SISMEMBER", keys.PAUSED, queue))

    async def set(self, queue: str, *, paused: bool) -> None:
        """Pause a queue, or resume it; once this returns no worker starts any of its jobs."""
        await self._caller.call("SADD" if paused else "SREM", keys.PAUSED, queue)
