"""An account whose IMAP server is far away: 20 ms each way, through a proxy that counts the round trips."""

from __future__ import annotations

from functools import partial
from urllib.parse import quote

from gateway.testing.fault_proxy import FaultProxy, Faults
from tests.bench.figures import Figures
from tests.bench.installation import UNWATCHED, Installation, messages_path
from tests.bench.letters import letter
from tests.bench.loads import cpu_each, get, run_load, speed
from tests.bench.measures import Extent
from tests.rigs.dovecot import GUEST_PASSWORD
from tests.rigs.loop_thread import LoopThread
from tests.rigs.processes import wait_until

_LATENCY = 0.02


def distant(figures: Figures, installation: Installation, extent: Extent) -> None:
    """Listings of a mailbox that nobody watches, and messages with their text."""
    dovecot = installation.dovecot
    user = dovecot.new_user()
    for mailbox in ("INBOX", UNWATCHED):
        dovecot.fill(user, extent.small, mailbox, partial(letter, user))
    with LoopThread() as loop:
        proxy = FaultProxy(("127.0.0.1", dovecot.ports.imaps))
        loop.run(proxy.accept())
        account = installation.account(user, GUEST_PASSWORD)
        account["imap"]["port"] = proxy.address[1]
        installation.gateway.ask("/v1/account", account)
        wait_until(lambda: installation.connected(user), "the account of the distant server", 120)
        listed = installation.gateway.ask(f"{messages_path(user, UNWATCHED)}&pageSize=20")["messages"]
        proxy.to_client = proxy.to_server = Faults(latency=_LATENCY)
        messages = [f"/v1/account/{quote(user)}/message/{entry['id']}?textType=*" for entry in listed]
        cases = {"list": [messages_path(user, UNWATCHED)], "message with text": messages}
        for name, paths in cases.items():
            for at_once in extent.crowds[:2]:
                # The first ones open connections, and find out what is known from then on.
                load = partial(
                    run_load, installation.gateway, installation.pids, [get(path) for path in paths], at_once
                )
                load(seconds=extent.seconds / 2)
                before = proxy.turns
                seen, cpu = load(seconds=extent.seconds)
                values = {"round trips": (proxy.turns - before) / seen["count"], **speed(seen), **cpu_each(cpu, seen)}
                figures.add(f"distant server, {name}, {at_once} at once", values)
        installation.delete(user)
        loop.run(proxy.__aexit__(None, None, None))
