"""Sends while connections are cut anywhere and workers, the API and Redis are killed: each message that was accepted is
sent once, or the outbox says that nobody knows.

`GATEWAY_CHAOS_SENDS` sets how many messages there are, `GATEWAY_CHAOS_SEED` repeats a run's faults, and with
`GATEWAY_CHAOS_PATIENCE` (seconds, over 400) the run waits until no outcome is unknown any more.
"""

from __future__ import annotations

import os
import random
import secrets
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.testing.fault_proxy import Faults
from tests.acceptance.client import Client, RefusedError, account_path
from tests.acceptance.stack import GatewayStack, open_stack
from tests.rigs.processes import wait_until
from tests.rigs.sandbox_lab import SandboxLab

SENDS = int(os.environ.get("GATEWAY_CHAOS_SENDS", "60"))
SEED = int(os.environ.get("GATEWAY_CHAOS_SEED", "0")) or random.randrange(1, 10**6)
PATIENCE = float(os.environ.get("GATEWAY_CHAOS_PATIENCE", "0"))

#: Octets after which a connection may be cut: from its beginning to behind the answer to the message.
FARTHEST = 6000

_PAGE = 250


class Chaos:
    """Accounts that send, and what goes wrong meanwhile."""

    def __init__(self, stack: GatewayStack, senders: list[str], recipient: str) -> None:
        self.stack = stack
        self.senders = senders
        self.recipient = recipient
        self.run = secrets.token_hex(4)
        self.accepted: dict[str, tuple[str, str]] = {}
        self.unanswered: set[str] = set()
        self._random = random.Random(SEED)

    def go(self) -> None:
        """Send everything, with something going wrong every few messages."""
        faults = (self._kill_worker, self._kill_api, self._kill_redis, self._cut, self._cut, self._heal)
        for number in range(SENDS):
            if number % 5 == 4:
                self._random.choice(faults)()
            self._submit(number)
        self._heal()

    def _submit(self, number: int) -> None:
        sender, subject = self._random.choice(self.senders), f"chaos {self.run} {number}"
        payload = {"to": [{"address": self.stack.lab.users[2]}], "subject": subject, "text": "x" * 2000}
        try:
            queued = self.stack.api.post(f"{account_path(sender)}/submit", payload)
        except (httpx.TransportError, RefusedError) as error:
            # Its process was killed, or has no Redis; it may have been accepted before.
            assert not isinstance(error, RefusedError) or error.status == 503, error
            self.unanswered.add(subject)
            self.stack.wait_until_healthy()
        else:
            self.accepted[queued["queueId"]] = (sender, subject)

    def _kill_worker(self) -> None:
        victim = self._random.choice(self.stack.running_workers)
        victim.kill()
        self.stack.start_worker()

    def _kill_api(self) -> None:
        self.stack.server.kill()
        self.stack.server.start()

    def _kill_redis(self) -> None:
        self.stack.redis_server.kill()
        self.stack.redis_server.start()

    def _cut(self) -> None:
        self.stack.smtp_proxy.to_client = Faults(reset_after=self._random.randrange(FARTHEST // 4))
        self.stack.smtp_proxy.to_server = Faults(reset_after=self._random.randrange(FARTHEST))

    def _heal(self) -> None:
        self.stack.smtp_proxy.to_client = self.stack.smtp_proxy.to_server = Faults()

    def states(self) -> dict[str, str]:
        """What has become of each message that was accepted, by its subject."""
        entries = {entry["queueId"]: entry["state"] for entry in pages(self.stack.api, "/v1/outbox")}
        return {subject: entries.get(queue_id, "sent") for queue_id, (_, subject) in self.accepted.items()}

    def settled(self) -> bool:
        """Whether nothing is on its way any more."""
        open_states = {"queued", "sending", "retrying", "unknown"} if PATIENCE else {"queued", "sending", "retrying"}
        return open_states.isdisjoint(self.states().values())

    def subjects(self, account: str, path: str) -> Counter[str]:
        """How often each message of this run is in a mailbox."""
        found = pages(self.stack.api, f"{account_path(account)}/messages", path=path)
        return Counter(entry["subject"] for entry in found if entry.get("subject", "").startswith(f"chaos {self.run} "))

    def told(self) -> Counter[str]:
        """How often each queue id was told to be sent."""
        events = [event for sender in self.senders for event in self.stack.api.log(sender)]
        return Counter(event["data"]["queueId"] for event in events if event["event"] == "messageSent")


def pages(api: Client, path: str, /, **query: Any) -> list[Any]:
    """Return the messages of all pages."""
    found, page = [], 0
    while True:
        answer = api.get(path, page=page, pageSize=_PAGE, **query)
        found += answer["messages"]
        page += 1
        if page >= answer["pages"]:
            return found


@pytest.fixture(scope="module")
def chaos(sandbox_lab: SandboxLab) -> Iterator[Chaos]:
    """A gateway of its own, whose Redis may be killed, in front of the sandbox."""
    alice, bob, carol = sandbox_lab.users[:3]
    with (
        open_stack(sandbox_lab, durable=True) as stack,
        stack.connected(alice) as first,
        stack.connected(bob) as second,
        stack.connected(carol) as third,
    ):
        yield Chaos(stack, [first, second], third)


def test_what_was_accepted_is_sent_once_whatever_is_killed(chaos: Chaos) -> None:
    """No message is lost or sent twice; what the outbox does not know of may be there once or not at all."""
    print(f"GATEWAY_CHAOS_SEED={SEED}")
    chaos.go()
    wait_until(chaos.settled, "nothing is on its way any more", PATIENCE or 120)
    states, arrived, told = chaos.states(), chaos.subjects(chaos.recipient, "INBOX"), chaos.told()
    print(f"{dict(Counter(states.values()))}, {len(chaos.unanswered)} unanswered")
    expected = {"sent": {1}, "unknown": {0, 1}}
    wrong = {
        subject: (state, arrived[subject])
        for subject, state in states.items()
        if arrived[subject] not in expected[state]
    }
    assert wrong == {}
    assert {subject: count for subject, count in arrived.items() if count > 1} == {}
    assert set(arrived) <= set(states) | chaos.unanswered
    sent = {queue_id for queue_id, (_, subject) in chaos.accepted.items() if states[subject] == "sent"}
    assert {queue_id: told[queue_id] for queue_id in sent if told[queue_id] != 1} == {}
    filed = sum((chaos.subjects(sender, "\\Sent") for sender in chaos.senders), Counter())
    assert filed == arrived, "a copy is under Sent for each message that arrived"
