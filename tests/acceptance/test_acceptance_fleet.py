"""Many accounts on three workers while those are killed, restarted, and robbed of what they know.

``FLEET_ACCOUNTS`` sets how many; what took how long is in the output (`-s`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from tests.acceptance.callers import asked
from tests.acceptance.fleet import Fleet, open_fleet
from tests.rigs.processes import wait_until
from tests.rigs.real_lab import RealLab

ACCOUNTS = int(os.environ.get("FLEET_ACCOUNTS", "150"))

#: Seconds in which every mailbox of a killed worker answers again.
ANSWERING = 10.0

#: Seconds for what takes longer the more accounts there are: logins, above all.
PATIENCE = 60.0 + ACCOUNTS / 10


@pytest.fixture(scope="module")
def fleet(full_lab: RealLab) -> Iterator[Fleet]:
    """Accounts on a gateway of this module's own."""
    with open_fleet(full_lab, ACCOUNTS, timeout=PATIENCE) as opened:
        yield opened


def test_the_mailboxes_of_a_killed_worker_answer_again_and_nothing_is_lost_or_invented(fleet: Fleet) -> None:
    fleet.wait_until_spread(PATIENCE)
    fleet.wait_until_watched(PATIENCE)
    since, subjects = fleet.ends(), {account: ["after"] for account in fleet.users}
    victim = fleet.stack.running_workers[0]
    orphans = fleet.owned_by(victim)
    assert orphans
    victim.kill()
    killed = time.monotonic()
    for account in orphans[:20]:
        subjects[account].append("meanwhile")
    fleet.deliver(orphans[:20], "meanwhile")
    wait_until(lambda: not fleet.owned_by(victim), "others own the accounts", ANSWERING)
    freed = time.monotonic() - killed
    answers = asked(fleet, orphans)
    answered = time.monotonic() - killed
    fleet.wait_until_watched(PATIENCE)
    watched = time.monotonic() - killed
    print(f"{len(orphans)} accounts: freed {freed:.1f} s, answered {answered:.1f} s, watched {watched:.1f} s")
    assert set(answers.values()) == {200}
    assert answered < ANSWERING
    fleet.deliver(fleet.users, "after")
    fleet.check_announced(since, subjects)
    fleet.stack.wait_for_worker(fleet.stack.start_worker())
