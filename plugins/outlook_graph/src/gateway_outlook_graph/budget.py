"""How many calls of a mailbox the service still takes, so that it need not refuse any.

Exchange Online takes 10,000 calls of an app on one mailbox in ten minutes, and then none for the rest of them
(https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits). Half of that may be used at once, the
other half comes in evenly: in no ten minutes there are more. Work in the background leaves a part for those who wait.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway_outlook_graph.priority import Priority

#: Of what may be used at once, what work in the background leaves.
_KEPT = 0.1


class Budget:
    """Counts the calls of one mailbox."""

    def __init__(self, calls: int, seconds: float, clock: Callable[[], float]) -> None:
        """Prepare.

        Args:
            calls: that the service takes within `seconds`.
            seconds: of a window.
            clock: monotonic seconds.
        """
        self._most = calls / 2
        self._rate = calls / 2 / seconds
        self._clock = clock
        self._left = self._most
        self._counted_at = clock()

    def wait(self, priority: Priority) -> float:
        """Return the seconds until there may be a call; 0 for now."""
        self._count()
        needed = 1.0 if priority is Priority.INTERACTIVE else 1.0 + self._most * _KEPT
        # A sum of fractions may be a hair less.
        return 0.0 if self._left >= needed - 1e-6 else (needed - self._left) / self._rate

    def spend(self, calls: int) -> None:
        """Note calls that are made now; those of a batch may be more than there are, and others wait the longer."""
        self._count()
        self._left -= calls

    def _count(self) -> None:
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._counted_at) * self._rate)
        self._counted_at = now
