"""Whether this installation can work."""

from __future__ import annotations

from redis.exceptions import RedisError

from gateway.redis import keys
from gateway.store.store import Store


class HealthCheck:
    """Looks at what the gateway depends on."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def check(self) -> dict[str, bool]:
        """Return what is needed and whether it is there."""
        try:
            await self._store.data.call("PING")
            names = await self._store.control.call("SMEMBERS", keys.WORKERS)
            alive = names and await self._store.control.call("EXISTS", *(keys.worker(name.decode()) for name in names))
        except (RedisError, OSError):
            return {"redis": False, "workers": False}
        return {"redis": True, "workers": bool(alive)}
