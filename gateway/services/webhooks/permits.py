"""How much one endpoint may occupy of a worker: a hanging one must delay nothing but itself.

A delivery takes a permit of its URL and one of its host, as every account may have a URL of its own at one host.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit

#: Deliveries at a time to one URL, and to all URLs of one host.
MOST_TO_URL = 16
MOST_TO_HOST = 64
#: Failures in a row from which a place counts as failing, and the part of its permits that it has left then.
FAILING = 3
LEFT_WHEN_FAILING = 8

#: An account and the endpoint that its events go to.
Pair: TypeAlias = tuple[str, str]


class Place(NamedTuple):
    """What permits are counted by."""

    name: str
    most: int


def places(url: str) -> tuple[Place, Place]:
    """Return the places that a delivery to a URL occupies."""
    try:
        # Without user and password: they are no other place.
        host = urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:
        host = ""
    return Place(host, MOST_TO_HOST), Place(url, MOST_TO_URL)


class Permits:
    """The permits of one worker."""

    def __init__(self) -> None:
        self._taken: dict[Place, int] = {}
        self._failures: dict[Place, int] = {}
        # Ordered, and each pair once.
        self._waiting: dict[Place, dict[Pair, None]] = {}

    def take(self, occupied: Sequence[Place], pair: Pair) -> bool:
        """Take a permit of each place; without them the pair is remembered until `give_back` names it."""
        for place in occupied:
            if self._taken.get(place, 0) >= self._most(place):
                self._waiting.setdefault(place, {})[pair] = None
                return False
        for place in occupied:
            self._taken[place] = self._taken.get(place, 0) + 1
        return True

    def give_back(self, occupied: Sequence[Place]) -> list[Pair]:
        """Give the permits back, and return of each place the pair that has waited for it longest."""
        return [pair for place in occupied if (pair := self._give_back(place)) is not None]

    def note(self, occupied: Sequence[Place], *, success: bool) -> None:
        """Note how a delivery ended."""
        for place in occupied:
            if success:
                self._failures.pop(place, None)
            else:
                self._failures[place] = self._failures.get(place, 0) + 1

    def _most(self, place: Place) -> int:
        failing = self._failures.get(place, 0) >= FAILING
        return place.most // LEFT_WHEN_FAILING if failing else place.most

    def _give_back(self, place: Place) -> Pair | None:
        self._taken[place] -= 1
        if not self._taken[place]:
            del self._taken[place]
        waiting = self._waiting.get(place)
        if not waiting:
            return None
        pair = next(iter(waiting))
        del waiting[pair]
        if not waiting:
            del self._waiting[place]
        return pair
