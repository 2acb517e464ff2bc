"""As `test_acceptance_oracle`, over Microsoft Graph: workers are killed and stopped while a second client is busy."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Iterator
from signal import SIGTERM

import pytest

from tests.acceptance.client import RefusedError, account_path
from tests.acceptance.graph_telephone import telephone_of
from tests.acceptance.replay import replay, with_ids, without_empty
from tests.acceptance.stack import GatewayStack, open_stack
from tests.rigs.processes import wait_until
from tests.rigs.sandbox_lab import SandboxLab

OPERATIONS = int(os.environ.get("ORACLE_OPERATIONS", "150"))
SEED = int(os.environ.get("ORACLE_SEED", "0")) or random.randrange(1, 1 << 31)

#: Seconds between two looks at everything: the service allows 10,000 calls in ten minutes.
_PATIENCE = 3.0


@pytest.fixture
def stack(graph_lab: SandboxLab) -> Iterator[GatewayStack]:
    """A gateway of its own, as nothing else may be disturbed."""
    with open_stack(graph_lab) as opened:
        yield opened


def test_the_log_tells_everything_once_whatever_happens_to_the_workers(
    stack: GatewayStack, graph_lab: SandboxLab
) -> None:
    print(f"ORACLE_SEED={SEED} ORACLE_OPERATIONS={OPERATIONS}")
    chance = random.Random(SEED)
    user = graph_lab.users[2]
    phone = telephone_of(graph_lab, user, chance)
    phone.empty()
    with stack.connected(user) as account:
        chaos: list[str] = []
        for number in range(OPERATIONS):
            phone.act()
            if number % 25 == 24:
                worker = chance.choice(stack.running_workers)
                chaos.append(chance.choice(("kill", "stop")))
                worker.kill() if chaos[-1] == "kill" else worker.stop(SIGTERM)
                stack.wait_for_worker(stack.start_worker())
        print(phone.done, chaos)
        there, asked = without_empty(phone.truth()), 0.0

        def complete() -> bool:
            nonlocal asked
            if time.monotonic() - asked > _PATIENCE:
                asked = time.monotonic()
                with contextlib.suppress(RefusedError):
                    stack.api.put(f"{account_path(account)}/sync", {"sync": True})
            return without_empty(replay(with_ids(stack.api.log(account)))) == there

        try:
            wait_until(complete, "the log tells what is there", 60)
        except TimeoutError:
            assert without_empty(replay(with_ids(stack.api.log(account)))) == there
    phone.close()
