"""Who waits for a call."""

from __future__ import annotations

from enum import IntEnum


class Priority(IntEnum):
    """Who is waiting; the lower goes first."""

    INTERACTIVE = 0
    BACKGROUND = 1
