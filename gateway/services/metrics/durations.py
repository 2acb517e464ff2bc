"""How long things take, counted in memory and given away now and then."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

from gateway.store.metrics import counter

#: Upper bounds in seconds of the classes that durations are counted in; there is one more for what takes longer.
BOUNDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
BEYOND = "+Inf"


class Durations:
    """Counts durations by what took them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing; `clock` tells seconds."""
        self._clock = clock
        self._counted: defaultdict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def timed(self, *what: str) -> Iterator[None]:
        """Count the time spent inside; what ends with an exception does not count."""
        began = self._clock()
        yield
        took = self._clock() - began
        bound = next((f"{bound:g}" for bound in BOUNDS if took <= bound), BEYOND)
        self.add({counter(*what, bound): 1, counter(*what, "sum"): took})

    def take(self) -> dict[str, float]:
        """Return what was counted since the last call."""
        counted, self._counted = self._counted, defaultdict(float)
        return counted

    def add(self, counted: Mapping[str, float]) -> None:
        """Count these, too; also what was taken and could not be passed on."""
        for name, value in counted.items():
            self._counted[name] += value
