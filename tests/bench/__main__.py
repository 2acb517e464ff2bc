"""Measure the gateway: ``python -m tests.bench [--only NAME ...] [--rounds N] [--quick] [--json FILE]``.

Needs Redis, Dovecot and Postfix, as the tests' rigs do; with ``--provider graph`` the sandbox stands for the last two.
Figures are medians of rounds; a column "... CPU" is milliseconds of CPU time for each request. On a machine that does
other things, compare CPU times and ratios within one run rather than rates of different runs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.bench import delivery, distant, fleet, graph, measures, sending, syncing
from tests.bench.figures import Figures
from tests.bench.installation import running_installation
from tests.rigs.requirement import REQUIREMENTS

WITH_ACCOUNTS = {
    "list": measures.listing,
    "text": measures.text,
    "search": measures.search,
    "attachment": measures.attachment,
    "submit": measures.submission,
    "webhook": lambda figures, installation, extent: delivery.webhooks(figures, installation, extent.sent // 10),
    "sync": lambda figures, installation, extent: syncing.first_sync(figures, installation, extent.large),
    "distant": distant.distant,
    "wrk": measures.second_opinion,
}
NAMES = ("start", "memory", *WITH_ACCOUNTS, "outbox", "fleet")


def main() -> int:
    """Measure what is asked for, print the table; return the exit code."""
    options = _options()
    needed = ("redis", "dovecot", "postfix") if options.provider == "imap" else ("redis", "sandbox")
    absent = [name for name in needed if not REQUIREMENTS[name].present()]
    if absent:
        print("not available:", "; ".join(f"{name} ({REQUIREMENTS[name].install})" for name in absent))
        return 2
    figures = Figures()
    wanted = options.only or NAMES
    extent = measures.QUICK if options.quick else measures.Extent()
    rounds = options.rounds or (1 if options.quick else 3)
    if options.provider == "graph":
        graph.graph(figures, extent, rounds, _report)
    else:
        _measure_imap(figures, wanted, extent, rounds)
    print(figures.table())
    if options.json is not None:
        figures.write(options.json)
    return 0


def _measure_imap(figures: Figures, wanted: tuple[str, ...], extent: measures.Extent, rounds: int) -> None:
    if "start" in wanted:
        for number in range(rounds):
            _report(f"start, round {number + 1} of {rounds}")
            measures.start(figures)
    if set(wanted) - {"start", "outbox", "fleet"}:
        _measure_installation(figures, wanted, extent, rounds)
    if "outbox" in wanted:
        sending.outbox(figures, extent.sent * 10, rounds, _report)
    if "fleet" in wanted:
        # Once: it takes minutes, and what it measures differs little from round to round.
        fleet.fleet(figures, extent.fleet, extent.quiet, _report)


def _measure_installation(figures: Figures, wanted: tuple[str, ...], extent: measures.Extent, rounds: int) -> None:
    with running_installation() as installation:
        if "memory" in wanted:
            measures.note_memory(figures, installation, "idle")
        installation.connect_accounts(others=extent.accounts, large=extent.large, small=extent.small, report=_report)
        if "memory" in wanted:
            measures.note_memory(figures, installation, f"{extent.accounts + 1} accounts connected")
        installation.read_everything()
        for number in range(rounds):
            for name, measure in WITH_ACCOUNTS.items():
                if name in wanted:
                    _report(f"{name}, round {number + 1} of {rounds}")
                    measure(figures, installation, extent)
        if "memory" in wanted and len(wanted) > 1:
            measures.note_memory(figures, installation, "after the load")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure the gateway on this machine.")
    parser.add_argument("--provider", choices=("imap", "graph"), default="imap", help="what mailboxes are reached by")
    parser.add_argument(
        "--only", nargs="+", choices=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)}; not with graph"
    )
    parser.add_argument("--rounds", type=int, help="how often; 3, or 1 with --quick")
    parser.add_argument("--quick", action="store_true", help="little data and short loads, to see that it works")
    parser.add_argument("--json", type=Path, help="write all rounds to a file")
    return parser.parse_args()


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
