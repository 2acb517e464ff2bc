"""Outlook's limits: four calls of a mailbox at once, ten thousand in ten minutes.

https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from gateway.provider import Clock
from gateway_sandbox.failures import Failure, Failures
from gateway_sandbox.graph_errors import GraphError

PARALLEL = 4
_WINDOW = timedelta(minutes=10)
_REQUESTS = 10_000


class Throttle:
    """Counts calls.

    Attributes:
        requests: how many calls there were, refused ones too, by mailbox.
        refused: how many of them were refused, by mailbox.
        peak: how many there were at once, by mailbox.
    """

    def __init__(self, failures: Failures, clock: Clock) -> None:
        self._failures = failures
        self._clock = clock
        self._running: Counter[str] = Counter()
        self._windows: dict[str, tuple[datetime, int]] = {}
        self.requests: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()

    @contextmanager
    def call(self, mailbox: str) -> Iterator[None]:
        """Count a call while it runs.

        Raises:
            GraphError: 429, there are too many.
        """
        self.requests[mailbox] += 1
        self._running[mailbox] += 1
        try:
            self.peak[mailbox] = max(self.peak[mailbox], self._running[mailbox])
            self._check(mailbox)
            yield
        finally:
            self._running[mailbox] -= 1

    def _check(self, mailbox: str) -> None:
        if self._running[mailbox] > PARALLEL:
            # The real service says one second whatever happens.
            raise self._refusal(mailbox, 1, "Application is over its MailboxConcurrency limit.")
        begin, number = self._windows.get(mailbox, (self._clock(), 0))
        if self._clock() >= begin + _WINDOW:
            begin, number = self._clock(), 0
        self._windows[mailbox] = begin, number + 1
        if number >= _REQUESTS:
            left = (begin + _WINDOW - self._clock()).total_seconds()
            raise self._refusal(mailbox, left, "Application is over its MailboxRequests limit.")
        if (switch := self._failures.happens(Failure.THROTTLED, mailbox)) is not None:
            raise self._refusal(mailbox, switch.seconds, "Application is over its MailboxConcurrency limit.")

    def _refusal(self, mailbox: str, seconds: float, message: str) -> GraphError:
        self.refused[mailbox] += 1
        return GraphError(429, "ApplicationThrottled", message, ("retry-after", f"{max(1.0, seconds):.0f}"))
