"""What is counted, by whoever counts it, for metrics.

One hash of counters for the installation. Who writes something anyway counts it in the same step (events, attempts to
deliver them); a worker sends what it counts in its own memory every few seconds, together with its figures. What a
worker counted in its last seconds is lost when it is killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from gateway.redis import Script, keys
from gateway.store.store import Store, text_fields

#: How long the figures of a worker hold that gives no new ones.
KEPT = timedelta(seconds=20)

#: How far back it is known when events were counted.
WINDOW = timedelta(days=7)

#: Lua: call it before events are counted. The first time in a minute it keeps what the counters are, so that the count
#: of a span of time is what they are now less what they were at its beginning.
COUNTING = """
local function before_counting(counters, kept, prefix, window)
  local now = redis.call('TIME')
  local last = redis.call('XREVRANGE', kept, '+', '-', 'COUNT', 1)[1]
  if last and math.floor(string.match(last[1], '^%d+') / 60000) >= math.floor(now[1] / 60) then return end
  local found, entry = redis.call('HGETALL', counters), { 'at', now[1] }
  for at = 1, #found, 2 do
    if string.sub(found[at], 1, #prefix) == prefix then
      entry[#entry + 1] = string.sub(found[at], #prefix + 1)
      entry[#entry + 1] = found[at + 1]
    end
  end
  redis.call('XADD', kept, 'MINID', '~', string.format('%.0f', now[1] * 1000 - window), '*', unpack(entry))
end
"""

# KEYS: counters, what they were; ARGV: prefix of the counters, milliseconds, event
_COUNT = Script(f"""{COUNTING}
before_counting(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
return redis.call('HINCRBY', KEYS[1], ARGV[1] .. ARGV[3], 1)
""")

# KEYS: counters, figures of the worker; ARGV: milliseconds that the figures hold, number of figures, name, value, ...
_REPORT = Script("""
local last = 2 + 2 * ARGV[2]
if last > 2 then
  redis.call('HSET', KEYS[2], unpack(ARGV, 3, last))
  redis.call('PEXPIRE', KEYS[2], ARGV[1])
end
for at = last + 1, #ARGV, 2 do redis.call('HINCRBYFLOAT', KEYS[1], ARGV[at], ARGV[at + 1]) end
""")


WINDOW_MS = int(WINDOW.total_seconds() * 1000)


class MetricsStore:
    """Counters of the installation, and figures of its workers."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def report(self, worker: str, figures: Mapping[str, float], counted: Mapping[str, float]) -> None:
        """Replace the figures of a worker, and add what it has counted since the last report."""
        parts = [part for pair in (*figures.items(), *counted.items()) for part in pair]
        milliseconds = int(KEPT.total_seconds() * 1000)
        names = [keys.METRICS, keys.figures(worker)]
        await _REPORT.run(self._store.control, names, milliseconds, len(figures), *parts)

    async def counters(self) -> dict[tuple[str, ...], float]:
        """Return the counters by name and labels."""
        found = text_fields(await self._store.control.call("HGETALL", keys.METRICS))
        return {tuple(name.split("|")): float(value) for name, value in found.items()}

    async def count_event(self, event: str) -> None:
        """Count one event."""
        await _COUNT.run(self._store.control, [keys.METRICS, keys.COUNTED], EVENTS, WINDOW_MS, event)

    async def events(self, since: datetime) -> dict[str, int]:
        """Return how many events there were, by name, from the beginning of the minute of `since`; at most `WINDOW`."""
        begin = int(since.timestamp()) // 60 * 60_000
        before, counters = await asyncio.gather(
            self._store.control.call("XRANGE", keys.COUNTED, max(0, begin), "+", "COUNT", 1), self.counters()
        )
        if not before:
            return {}
        _, were = before[0]
        counted = {
            rest[0]: int(value) - int(were.get(rest[0].encode(), 0))
            for (name, *rest), value in counters.items()
            if name == "events"
        }
        return {event: count for event, count in sorted(counted.items()) if count > 0}

    async def figures(self, workers: Sequence[str]) -> dict[str, dict[str, float]]:
        """Return the figures of workers; of one that gave none lately there are none."""
        found = {}
        for worker in workers:
            fields = text_fields(await self._store.control.call("HGETALL", keys.figures(worker)))
            found[worker] = {name: float(value) for name, value in fields.items()}
        return found


def counter(*parts: str) -> str:
    """Return what a counter is called in the hash: its name and its labels, all of them words of the gateway's own."""
    return "|".join(parts)


#: What the counters of events begin with.
EVENTS = counter("events", "")
