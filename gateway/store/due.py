"""Work that is due at a time: renewals, reconnections, sends to try again.

One sorted set; a claim moves an entry into the future, so that each is taken by one worker at a time and comes back
by itself when that worker dies.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import msgspec

from gateway.redis import Script, keys
from gateway.store.store import Store

_CLAIM = Script("""
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, member in ipairs(due) do redis.call('ZADD', KEYS[1], ARGV[2], member) end
return due
""")

_HASTEN = Script("""
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf')) do
  local work = cjson.decode(member)
  if work[1] == ARGV[2] and work[3] == ARGV[3] and (ARGV[4] == '' or work[2] == ARGV[4]) then
    redis.call('ZADD', KEYS[1], ARGV[1], member)
  end
end
""")

#: Seconds after which work that a worker claimed, and neither finished nor put off, is due again.
CLAIM = 60


class DueWork(msgspec.Struct, frozen=True, array_like=True):
    """One thing to do for one account."""

    operation: str
    account: str
    subject: str = ""


class DueStore:
    """The sorted set of due work in the control tier."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def put(self, work: DueWork, at: datetime) -> None:
        """Make work due at a time, replacing an earlier date of the same work."""
        await self._store.control.call("ZADD", keys.DUE, at.timestamp(), msgspec.json.encode(work))

    async def keep(self, work: DueWork, at: datetime) -> None:
        """Make work due at a time unless it is due at some time already."""
        await self._store.control.call("ZADD", keys.DUE, "NX", at.timestamp(), msgspec.json.encode(work))

    async def hasten(self, operation: str, subject: str, now: datetime, *, account: str | None = None) -> None:
        """Make due at once what waits for a later time, of one account or of all."""
        await _HASTEN.run(self._store.control, [keys.DUE], now.timestamp(), operation, subject, account or "")

    async def done(self, work: DueWork) -> None:
        """Forget work."""
        await self._store.control.call("ZREM", keys.DUE, msgspec.json.encode(work))

    async def claim(self, now: datetime, limit: int = 100) -> list[DueWork]:
        """Take up to `limit` things that are due; they are due again after `CLAIM` seconds."""
        stamp = now.timestamp()
        found = await _CLAIM.run(self._store.control, [keys.DUE], stamp, stamp + CLAIM, limit)
        return [msgspec.json.decode(member, type=DueWork) for member in found]

    async def delayed(self, now: datetime) -> Counter[str]:
        """Return how much work waits for its time, by operation."""
        found: Counter[str] = Counter()
        cursor = 0
        while True:
            cursor, pairs = await self._store.control.call("ZSCAN", keys.DUE, cursor, "COUNT", 1000)
            for member, score in pairs:
                if score > now.timestamp():
                    found[msgspec.json.decode(member, type=DueWork).operation] += 1
            if cursor == 0:
                return found

    async def load(self, now: datetime) -> tuple[int, float]:
        """Return how many things there are to do, and how many seconds the first of them is overdue."""
        count = await self._store.control.call("ZCARD", keys.DUE)
        first = await self._store.control.call("ZRANGE", keys.DUE, 0, 0, "WITHSCORES")
        # The protocol's newer version pairs members with their scores.
        due = float(first[0][1] if isinstance(first[0], list) else first[1]) if first else now.timestamp()
        return int(count), max(0.0, now.timestamp() - due)
