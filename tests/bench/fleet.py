"""What a worker needs for each account that it watches: CPU time to connect, memory, CPU time while nothing happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.bench.figures import Figures
from tests.bench.installation import Installation, running_installation
from tests.bench.meters import cpu_seconds, memory
from tests.rigs.dovecot import GUEST_PASSWORD
from tests.rigs.processes import wait_until

_CONNECT_SECONDS = 300.0
_AT_ONCE = 8
#: Accounts that are there before anything is measured: threads, modules and pools come with them, once.
_FIRST = 32
#: Seconds that pass before anything is measured: what was begun while connecting comes to its end.
_SETTLING = 10.0


def fleet(figures: Figures, sizes: Sequence[int], seconds: float, report: Callable[[str], None]) -> None:
    """Watch more and more accounts with one worker; they have empty mailboxes, and TLS connections.

    Args:
        figures: where to note.
        sizes: numbers of accounts, ascending, each more than the few that are there first.
        seconds: for which nothing happens, with all of them.
        report: told of progress.
    """
    with running_installation() as installation:
        worker = {"worker": installation.pids["worker"]}
        users = [installation.dovecot.new_user() for _ in range(_FIRST)]
        _connect(installation, users, _FIRST)
        time.sleep(_SETTLING)
        first = memory(worker)["worker"]
        for size in sizes:
            report(f"fleet, {size} accounts")
            before = cpu_seconds(installation.pids)
            began = time.perf_counter()
            new = [installation.dovecot.new_user() for _ in range(size - len(users))]
            users += new
            _connect(installation, new, size)
            taken = time.perf_counter() - began
            used = {name: value - before[name] for name, value in cpu_seconds(installation.pids).items()}
            time.sleep(_SETTLING)
            found = memory(worker)["worker"]
            figures.add(
                f"fleet, {size} accounts",
                {
                    "connected s": taken,
                    "worker CPU ms each": used["worker"] * 1000 / len(new),
                    "Dovecot CPU ms each": used["Dovecot"] * 1000 / len(new),
                    "PSS KiB each": (found.pss - first.pss) / 1024 / (size - _FIRST),
                },
            )
        _idle(figures, installation, len(users), seconds)


def _connect(installation: Installation, users: Sequence[str], total: int) -> None:
    """Create accounts and wait until all that there are are connected."""

    def create(user: str) -> None:
        installation.gateway.ask("/v1/account", installation.account(user, GUEST_PASSWORD))

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(create, users))
    wait_until(lambda: _connected(installation) == total, "all accounts connected", _CONNECT_SECONDS)


def _connected(installation: Installation) -> int:
    return int(installation.gateway.ask("/v1/accounts?state=connected&pageSize=1")["total"])


def _idle(figures: Figures, installation: Installation, accounts: int, seconds: float) -> None:
    before = cpu_seconds(installation.pids)
    time.sleep(seconds)
    used = {name: value - before[name] for name, value in cpu_seconds(installation.pids).items()}
    shares = {f"{name} % of a core": 100 * used[name] / seconds for name in ("worker", "API", "Redis", "Dovecot")}
    figures.add(f"fleet, {accounts} accounts, nothing happens", shares)
