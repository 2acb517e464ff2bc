"""How long it takes until a mailbox is known."""

from __future__ import annotations

import time
from functools import partial

from tests.bench.figures import Figures
from tests.bench.installation import Installation
from tests.bench.letters import letter
from tests.bench.meters import cpu_seconds
from tests.rigs.dovecot import GUEST_PASSWORD
from tests.rigs.processes import wait_until


def first_sync(figures: Figures, installation: Installation, messages: int) -> None:
    """From the call that creates an account to the state `connected`, which it has when all its mail is indexed.

    Dovecot has read the messages before, as a server would that is not new.
    """
    dovecot, gateway = installation.dovecot, installation.gateway
    user = dovecot.new_user()
    dovecot.fill(user, messages, message=partial(letter, user))
    for _ in range(2):
        # The first time Dovecot reads the messages; what is measured is the second.
        before = cpu_seconds(installation.pids)
        began = time.perf_counter()
        gateway.ask("/v1/account", installation.account(user, GUEST_PASSWORD))
        wait_until(lambda: installation.connected(user), "the first sync", 120)
        seconds = time.perf_counter() - began
        used = {name: value - before[name] for name, value in cpu_seconds(installation.pids).items()}
        installation.delete(user)
    values = {"s": seconds, "worker CPU s": used["worker"], "Redis CPU s": used["Redis"]}
    figures.add(f"first sync of {messages} messages", values)
