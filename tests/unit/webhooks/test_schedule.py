"""When failed deliveries are tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.services.webhooks.schedule import GIVE_UP, LONGEST_DELAY, LONGEST_PAUSE, delay, retry_after

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_delays_grow_to_an_hour_and_differ_from_each_other() -> None:
    """Without jitter, everything that failed together would come back together."""
    for failures, seconds in ((1, 5), (2, 15), (5, 120), (9, 1800), (10, 3600), (500, 3600)):
        found = {delay(failures).total_seconds() for _ in range(50)}
        assert len(found) > 10
        assert seconds * 0.8 <= min(found)
        assert max(found) <= seconds * 1.2


def test_attempts_go_on_for_three_days() -> None:
    waited, attempts = timedelta(0), 0
    while waited < GIVE_UP:
        attempts += 1
        waited += delay(attempts)
    assert timedelta(days=3) == GIVE_UP
    assert waited < GIVE_UP + 1.2 * LONGEST_DELAY
    assert 70 < attempts < 95


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("120", timedelta(minutes=2)),
        (" 0 ", timedelta(0)),
        ("Sun, 01 Mar 2026 12:10:00 GMT", timedelta(minutes=10)),
        ("Sun, 01 Mar 2026 11:00:00 GMT", timedelta(0)),
        ("Sunday, 01-Mar-26 12:10:00 GMT", timedelta(minutes=10)),
        ("Wed, 01 Mar 2056 12:00:00 GMT", LONGEST_PAUSE),
        ("9" * 400, LONGEST_PAUSE),
        ("-5", None),
        ("1.5", None),
        ("\u0661\u0662", None),
        ("soon", None),
        ("", None),
        ("Sun, 99 Mar 2026 12:10:00 GMT", None),
    ],
)
def test_a_pause_that_a_server_asks_for_is_understood(value: str | None, expected: timedelta | None) -> None:
    assert retry_after(value, NOW) == expected
