"""An account whose mail server is far away, behind a proxy that delays and counts round trips."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.testing.fault_proxy import FaultProxy, Faults
from tests.acceptance.client import account_path, message_path
from tests.acceptance.stack import GatewayStack
from tests.acceptance.test_acceptance_accounts import PasswordMailbox
from tests.rigs.dovecot import GUEST_PASSWORD
from tests.rigs.loop_thread import LoopThread
from tests.rigs.real_lab import RealLab

#: Seconds each way.
LATENCY = 0.02
#: So much that even on a busy machine most of the time is spent waiting for it.
MUCH = 0.15
AT_ONCE, EACH = 16, 3


@dataclass(frozen=True)
class Distant:
    """A connected account; only its own connections go through the proxy."""

    stack: GatewayStack
    account: str
    proxy: FaultProxy

    def fewest_round_trips(self, call: Callable[[], Any]) -> tuple[Any, int]:
        """Return what a call answers, and its round trips: the fewest of five, as watching speaks in between, too."""
        counts = []
        for _ in range(5):
            before = self.proxy.turns
            answer = call()
            counts.append(self.proxy.turns - before)
        return answer, min(counts)

    def listing(self) -> Any:
        """List the mailbox that nobody watches."""
        return self.stack.api.get(f"{account_path(self.account)}/messages", path="Archive")


@pytest.fixture
def distant(full_stack: GatewayStack, loop_thread: LoopThread) -> Iterator[Distant]:
    """An account with a mailbox of forty messages beside its INBOX."""
    lab = full_stack.lab
    assert isinstance(lab, RealLab)
    user = lab.dovecot.new_user()
    for mailbox in ("INBOX", "Archive"):
        lab.dovecot.fill(user, 40, mailbox)
    proxy = FaultProxy(("localhost", lab.dovecot.ports.imaps))
    loop_thread.run(proxy.accept())
    name = f"distant-{secrets.token_hex(3)}"
    imap = {**PasswordMailbox(full_stack, user, GUEST_PASSWORD).imap, "host": "127.0.0.1", "port": proxy.address[1]}
    full_stack.api.post("/v1/account", {"account": name, "name": "Dave", "email": user, "imap": imap})
    full_stack.api.wait_for_state(name, "connected")
    proxy.to_client = proxy.to_server = Faults(latency=LATENCY)
    found = Distant(full_stack, name, proxy)
    found.listing()
    yield found
    full_stack.forget(name)
    loop_thread.run(proxy.__aexit__(None, None, None))


def test_listings_and_messages_take_one_round_trip(distant: Distant) -> None:
    """At forty milliseconds each of them is what a caller waits for."""
    api = distant.stack.api
    listed, trips = distant.fewest_round_trips(distant.listing)
    assert (listed["total"], trips) == (40, 1)
    path = message_path(distant.account, listed["messages"][0]["id"])
    message, trips = distant.fewest_round_trips(lambda: api.get(path, textType="*"))
    assert trips == 1
    assert message["text"]["plain"]


def test_many_listings_at_once_do_not_wait_for_one_connection(distant: Distant) -> None:
    """A few connections are opened for them, not one for each; together they are faster than one can be."""
    distant.proxy.to_client = distant.proxy.to_server = Faults(latency=MUCH)
    before, count = distant.proxy.connections, AT_ONCE * EACH
    seconds = []
    with ThreadPoolExecutor(AT_ONCE) as callers:
        for _ in range(3):
            began = time.monotonic()
            totals = [listed["total"] for listed in callers.map(lambda _: distant.listing(), range(count))]
            seconds.append(time.monotonic() - began)
            assert totals == [40] * count
            if seconds[-1] < count * 2 * MUCH:
                break
    assert min(seconds) < count * 2 * MUCH
    assert before < distant.proxy.connections <= before + 3


def test_a_change_is_seen_by_whatever_connection_reads_next(distant: Distant) -> None:
    """The connections that read beside the first one look for what it did."""
    api, id = distant.stack.api, distant.listing()["messages"][0]["id"]
    path = message_path(distant.account, id)
    with ThreadPoolExecutor(AT_ONCE) as callers:
        for flag in (True, False) * 3:
            list(callers.map(lambda _: distant.listing(), range(AT_ONCE)))
            api.put(path, {"flags": {"add" if flag else "delete": ["\\Flagged"]}})
            read = callers.map(lambda _: "\\Flagged" in api.get(path).get("flags", ()), range(AT_ONCE))
            listed = callers.map(
                lambda _: "\\Flagged" in distant.listing()["messages"][0].get("flags", ()), range(AT_ONCE)
            )
            assert set(read) == set(listed) == {flag}
