"""How much one endpoint may occupy of a worker: a hanging one must delay nothing but itself."""

from __future__ import annotations

from typing import TypeAlias

#: Deliveries to one URL at a time, and to one that has been failing.
MOST = 16
MOST_WHEN_FAILING = 2
#: Failures in a row from which an endpoint counts as failing.
FAILING = 3

#: An account and the endpoint that its events go to.
Pair: TypeAlias = tuple[str, str]


class Permits:
    """The permits of one worker; `key` is what they are counted by."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}
        self._failures: dict[str, int] = {}
        # Ordered, and each pair once.
        self._waiting: dict[str, dict[Pair, None]] = {}

    def take(self, key: str, pair: Pair) -> bool:
        """Take a permit; without one the pair is remembered until `give_back` names it."""
        most = MOST_WHEN_FAILING if self._failures.get(key, 0) >= FAILING else MOST
        if self._taken.get(key, 0) >= most:
            self._waiting.setdefault(key, {})[pair] = None
            return False
        self._taken[key] = self._taken.get(key, 0) + 1
        return True

    def give_back(self, key: str) -> Pair | None:
        """Give a permit back, and return the pair that has waited for it longest."""
        self._taken[key] -= 1
        if not self._taken[key]:
            del self._taken[key]
        waiting = self._waiting.get(key)
        if not waiting:
            return None
        pair = next(iter(waiting))
        del waiting[pair]
        if not waiting:
            del self._waiting[key]
        return pair

    def note(self, key: str, *, success: bool) -> None:
        """Note how a delivery ended."""
        if success:
            self._failures.pop(key, None)
        else:
            self._failures[key] = self._failures.get(key, 0) + 1
