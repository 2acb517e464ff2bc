"""What is counted, by whoever counts it, for metrics.

One hash of counters for the installation. Who writes something anyway counts it in the same step (events, attempts to
deliver them); a worker sends what it counts in its own memory every few seconds, together with its figures. What a
worker counted in its last seconds is lost when it is killed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from gateway.redis import Script, keys
from gateway.store.store import Store, text_fields

#: How long the figures of a worker hold that gives no new ones.
KEPT = timedelta(seconds=20)

# KEYS: counters, figures of the worker; ARGV: milliseconds that the figures hold, number of figures, name, value, ...
_REPORT = Script("""
local last = 2 + 2 * ARGV[2]
if last > 2 then
  redis.call('HSET', KEYS[2], unpack(ARGV, 3, last))
  redis.call('PEXPIRE', KEYS[2], ARGV[1])
end
for at = last + 1, #ARGV, 2 do redis.call('HINCRBYFLOAT', KEYS[1], ARGV[at], ARGV[at + 1]) end
""")


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
