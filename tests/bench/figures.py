"""Figures: medians of rounds, beside the goals, as a table and as JSON."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Goal:
    """What the project wants of a value: at most, or at least, so much."""

    value: str
    limit: float
    at_most: bool = True

    def __str__(self) -> str:
        return f"{self.value} {'<' if self.at_most else '>'} {self.limit:g}"

    def met(self, values: Mapping[str, float]) -> bool:
        """Tell whether a figure keeps to it."""
        return values[self.value] <= self.limit if self.at_most else values[self.value] >= self.limit


GOALS: Mapping[str, tuple[Goal, ...]] = {
    "start: serve and worker": (Goal("s", 2.0),),
    "start: gateway dev --no-sandbox": (Goal("PSS MiB", 200.0),),
    "memory, idle: API + worker + Redis": (Goal("PSS MiB", 200.0),),
    "index, page 0 of the large mailbox, 1 at once": (Goal("p50 ms", 1.0),),
    "index, page 0 of the large mailbox, 16 at once": (Goal("req/s", 5000.0, at_most=False), Goal("API CPU", 1 / 9)),
    "first sync of 10000 messages": (Goal("s", 1.2), Goal("worker CPU s", 1.0)),
    "list, page 0 of the large mailbox, 1 at once": (Goal("p50 ms", 8.0),),
    "list, page 0 of the large mailbox, 16 at once": (Goal("req/s", 300.0, at_most=False),),
    "list, page 0 of each account, 1 at once": (Goal("p50 ms", 8.0),),
    "list, page 0 of each account, 16 at once": (Goal("req/s", 300.0, at_most=False),),
    "message with text, 1 at once": (Goal("p50 ms", 6.0),),
    "message with text, 16 at once": (Goal("req/s", 400.0, at_most=False),),
    "search unseen in the large mailbox, 1 at once": (Goal("p50 ms", 15.0),),
    "attachment of 200 kB, 16 at once": (Goal("req/s", 300.0, at_most=False),),
    "attachment of 5 MiB, 4 at once": (Goal("MB/s", 200.0, at_most=False),),
    "accept a small message, 16 at once": (Goal("req/s", 1500.0, at_most=False),),
    "deliver to a local server": (Goal("messages/s", 400.0, at_most=False),),
    "from submit to sent, idle": (Goal("p95 ms", 40.0),),
    "distant server, list, 1 at once": (Goal("p50 ms", 46.0),),
    "distant server, list, 16 at once": (Goal("req/s", 60.0, at_most=False),),
    "distant server, message with text, 1 at once": (Goal("p50 ms", 46.0),),
    **{f"fleet, {size} accounts": (Goal("PSS KiB each", 100.0),) for size in (100, 500, 2000)},
    "fleet, 2000 accounts, nothing happens": (Goal("worker % of a core", 2.0),),
    "webhook, one message": (Goal("p95 ms after IDLE", 60.0),),
    "webhook, burst of 10 messages to each account": (Goal("s", 1.5),),
    "Graph: from a change to the webhook": (Goal("p95 ms", 100.0),),
    "Graph: calls of Microsoft, 8 at once": (Goal("p99 ms", 100.0),),
    "Graph: import of 5000 messages": (Goal("list max ms", 300.0),),
}


class Figures:
    """Collects the values of each round."""

    def __init__(self) -> None:
        self._rounds: dict[str, list[Mapping[str, float]]] = defaultdict(list)

    def add(self, name: str, values: Mapping[str, float]) -> None:
        """Note one round of a measurement."""
        self._rounds[name].append(values)

    def medians(self) -> dict[str, dict[str, float]]:
        """Return name -> value -> median of the rounds."""
        return {
            name: {key: statistics.median(values.get(key, 0.0) for values in rounds) for key in rounds[0]}
            for name, rounds in self._rounds.items()
        }

    def table(self) -> str:
        """Return lines to read, one block for each kind of measurement."""
        return "\n".join(_lines(self.medians()))

    def write(self, path: Path) -> None:
        """Write medians, rounds and goals as JSON."""
        goals = {name: [asdict(goal) for goal in goals] for name, goals in GOALS.items()}
        document = {"medians": self.medians(), "rounds": self._rounds, "goals": goals}
        path.write_text(json.dumps(document, indent=2) + "\n")


def _lines(medians: Mapping[str, Mapping[str, float]]) -> Iterable[str]:
    columns: tuple[str, ...] = ()
    width = max(map(len, medians), default=0)
    for name, values in medians.items():
        if tuple(values) != columns:
            columns = tuple(values)
            yield ""
            yield " " * width + "".join(f"{column:>{_room(column)}}" for column in columns) + "  goal"
        cells = "".join(f"{_shown(values[column]):>{_room(column)}}" for column in columns)
        goals = [f"{goal}: {'met' if goal.met(values) else 'MISSED'}" for goal in GOALS.get(name, ())]
        yield f"{name:<{width}}{cells}  {', '.join(goals)}".rstrip()


def _room(column: str) -> int:
    return max(len(column), 7) + 2


def _shown(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == 0 else f"{value:.3g}"
