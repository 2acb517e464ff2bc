"""A clock that moves only when told to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["FakeClock"]


class FakeClock:
    """A `gateway.provider.Clock`, and seconds for code that measures durations.

    Example:
        clock = FakeClock()
        clock.advance(90)
        assert clock() == datetime(2025, 1, 1, 0, 1, 30, tzinfo=UTC)
    """

    def __init__(self, start: datetime = datetime(2025, 1, 1, tzinfo=UTC)) -> None:
        self._now = start.astimezone(UTC)

    def __call__(self) -> datetime:
        """Return the present time, aware, in UTC."""
        return self._now

    def time(self) -> float:
        """Return the present time as seconds since 1970, like `time.time`."""
        return self._now.timestamp()

    def advance(self, seconds: float) -> None:
        """Move forward; negative seconds move back, as a corrected clock does."""
        self._now += timedelta(seconds=seconds)
