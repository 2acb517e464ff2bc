"""When a failed delivery is tried again.

After 5 s, 15 s, 30 s, 1, 2, 5, 10, 20 and 30 minutes, then every hour, each a fifth more or less, until three days have
gone by since the event. The steps count failures in a row of one endpoint in one account: later events wait behind.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

DELAYS = tuple(timedelta(seconds=seconds) for seconds in (5, 15, 30, 60, 120, 300, 600, 1200, 1800))
LONGEST_DELAY = timedelta(hours=1)
GIVE_UP = timedelta(days=3)

#: The longest pause that an endpoint can ask for.
LONGEST_PAUSE = timedelta(hours=6)


def delay(failures: int) -> timedelta:
    """Return how long to wait after so many failures in a row, from 1."""
    base = DELAYS[failures - 1] if failures <= len(DELAYS) else LONGEST_DELAY
    return base * random.uniform(0.8, 1.2)


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Return the pause that a Retry-After header asks for (RFC 9110 section 10.2.3); None when it is none."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(LONGEST_PAUSE, timedelta(seconds=int(text[:9])))
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    until = until.replace(tzinfo=UTC) if until.tzinfo is None else until
    return min(LONGEST_PAUSE, max(timedelta(0), until - now))
