"""Blocklists: of each list, a hash from recipients to why they are on it; in the control tier."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.model.blocklist import Blocked
from gateway.redis import Script, keys
from gateway.store.store import Store, text_fields, to_json

# The set of lists names those that have somebody on them.
_ADD = Script("""
redis.call('SADD', KEYS[2], ARGV[3])
return redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
""")
_REMOVE = Script("""
local removed = redis.call('HDEL', KEYS[1], ARGV[1])
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SREM', KEYS[2], ARGV[2]) end
return removed
""")


class BlocklistStore:
    """Ids of lists and recipients are in lower case here."""

    def __init__(self, store: Store) -> None:
        self._control = store.control

    async def add(self, list_id: str, entry: Blocked) -> bool:
        """Put somebody on a list; False, and nothing is changed, when they are on it already."""
        key = keys.blocklist(list_id)
        return bool(await _ADD.run(self._control, [key, keys.BLOCKLISTS], entry.recipient, to_json(entry), list_id))

    async def remove(self, list_id: str, recipient: str) -> bool:
        """Take somebody from a list; False when they are not on it."""
        return bool(await _REMOVE.run(self._control, [keys.blocklist(list_id), keys.BLOCKLISTS], recipient, list_id))

    async def find(self, list_id: str, recipients: Sequence[str]) -> list[Blocked | None]:
        """Return the entries of some recipients."""
        if not recipients:
            return []
        found = await self._control.call("HMGET", keys.blocklist(list_id), *recipients)
        return [None if value is None else msgspec.json.decode(value, type=Blocked) for value in found]

    async def entries(self, list_id: str) -> list[Blocked]:
        """Return everybody on a list in the order in which they came."""
        stored = text_fields(await self._control.call("HGETALL", keys.blocklist(list_id)))
        every = (msgspec.json.decode(value, type=Blocked) for value in stored.values())
        return sorted(every, key=lambda entry: (entry.created, entry.recipient))

    async def ids(self) -> list[str]:
        """Return the ids of all lists that have somebody on them."""
        return sorted(id.decode() for id in await self._control.call("SMEMBERS", keys.BLOCKLISTS))

    async def count(self, list_id: str) -> int:
        """Return how many are on a list."""
        return int(await self._control.call("HLEN", keys.blocklist(list_id)))
