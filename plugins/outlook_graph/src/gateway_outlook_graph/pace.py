"""How fast an app may call, learned from what the service refuses.

Limits of an app over all of its mailboxes are not published as one number and differ from day to day, so the rate is
raised a little with what is accepted and halved with a refusal (additive increase, multiplicative decrease), for all
mailboxes of the app in this process.

https://learn.microsoft.com/graph/throttling
"""

from __future__ import annotations

from collections.abc import Callable

from gateway_outlook_graph.priority import Priority

#: Calls a second: in the beginning, at least and at most
#: (https://learn.microsoft.com/graph/throttling-limits: a few thousand at the most).
START, LEAST, MOST = 200.0, 4.0, 2000.0
#: By how much the rate rises in a second in which all of it is used.
_STEP = 10.0
#: Refusals within a second tell of the same thing.
_ONE_CUT = 1.0
#: Seconds of the rate that may be used at once after a rest.
_BURST = 0.25


class Pace:
    """Hands out turns; sessions of an app share it."""

    def __init__(self, clock: Callable[[], float], rate: float = START) -> None:
        """Prepare.

        Args:
            clock: monotonic seconds.
            rate: calls a second to begin with.
        """
        self._clock = clock
        self.rate = rate
        self._turns = self._burst
        self._counted_at = clock()
        self._cut_at = float("-inf")

    def take(self, priority: Priority, calls: int = 1) -> float:
        """Take turns for calls; return 0 when they are taken, otherwise the seconds after which to ask again.

        Background calls leave half of what may be used at once to those that somebody waits for. Many calls in one
        are let through like one, and those after them wait the longer.
        """
        now = self._clock()
        self._turns = min(self._burst, self._turns + (now - self._counted_at) * self.rate)
        self._counted_at = now
        needed = 1.0 if priority is Priority.INTERACTIVE else max(1.0, self._burst / 2)
        # A turn is there even if a sum of fractions is a hair less.
        if self._turns < needed - 1e-6:
            return (needed - self._turns) / self.rate
        self._turns -= calls
        return 0.0

    def accepted(self) -> None:
        """Note that a call was answered."""
        self.rate = min(MOST, self.rate + _STEP / self.rate)

    def refused(self) -> None:
        """Note that the service asked for less."""
        if self._clock() - self._cut_at < _ONE_CUT:
            return
        self._cut_at = self._clock()
        self.rate = max(LEAST, self.rate / 2)
        self._turns = min(self._turns, self._burst)

    @property
    def _burst(self) -> float:
        return max(1.0, self.rate * _BURST)
