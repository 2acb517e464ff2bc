"""A second client does what it likes while workers are killed, paused and stopped: the log must tell it all, once.

``ORACLE_OPERATIONS`` sets how many, ``ORACLE_SEED`` repeats a run; the seed of a run is in the output of a failure.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from signal import SIGCONT, SIGSTOP, SIGTERM
from typing import Any

import pytest

from tests.acceptance.client import Client, RefusedError, account_path
from tests.acceptance.processes import GatewayProcess
from tests.acceptance.replay import replay, truth, without_empty
from tests.acceptance.stack import GatewayStack, open_stack
from tests.acceptance.telephone import Telephone
from tests.rigs.dovecot import GUEST_PASSWORD
from tests.rigs.processes import wait_until
from tests.rigs.real_lab import RealLab
from tests.rigs.receiver import Receiver

OPERATIONS = int(os.environ.get("ORACLE_OPERATIONS", "600"))
SEED = int(os.environ.get("ORACLE_SEED", "0")) or random.randrange(1, 1 << 31)

#: Answers that a call may get while the worker that has it is killed or stands still.
PASSING = (200, 503, 504)


class Chaos:
    """Kills, pauses and stops workers, and cuts connections."""

    def __init__(self, stack: GatewayStack, phone: Telephone, cut: Callable[[], None], chance: random.Random) -> None:
        self._stack = stack
        self._phone = phone
        self._cut = cut
        self._chance = chance
        self._paused: dict[GatewayProcess, float] = {}
        self.done: list[str] = []

    def act(self) -> None:
        """Do one thing, and let go on what has been paused for long enough."""
        for worker, until in list(self._paused.items()):
            if time.monotonic() > until:
                self._go_on(worker)
        at_work = [worker for worker in self._stack.running_workers if worker not in self._paused]
        kind = self._chance.choice(("kill", "pause", "stop", "cut"))
        if kind == "cut":
            self._cut()
            self._phone.reconnect()
        elif len(at_work) < 2:
            return
        else:
            worker = self._chance.choice(at_work)
            if kind == "pause":
                # Up to twice the time after which it counts as dead.
                self._paused[worker] = time.monotonic() + self._chance.uniform(0.5, 12)
                worker.send(SIGSTOP)
            else:
                worker.kill() if kind == "kill" else worker.stop(SIGTERM)
                self._stack.wait_for_worker(self._stack.start_worker())
        self.done.append(kind)

    def end(self) -> None:
        """Let everything go on."""
        for worker in list(self._paused):
            self._go_on(worker)

    def _go_on(self, worker: GatewayProcess) -> None:
        del self._paused[worker]
        worker.send(SIGCONT)


class Asking(threading.Thread):
    """A client app that lists the inbox all the time."""

    def __init__(self, url: str, token: str, account: str) -> None:
        super().__init__()
        self._client = Client(url, token)
        self._account = account
        self._ended = threading.Event()
        self.statuses: dict[int, int] = {}

    def run(self) -> None:
        """Ask until `end`."""
        path = f"{account_path(self._account)}/messages"
        while not self._ended.wait(0.02):
            status = self._client.http.get(path, params={"path": "INBOX"}, headers={"x-ee-timeout": "5000"}).status_code
            self.statuses[status] = self.statuses.get(status, 0) + 1

    def end(self) -> None:
        """Stop asking."""
        self._ended.set()
        self.join()
        self._client.close()


@pytest.fixture(params=["full_lab", "exchange_lab"])
def lab(request: pytest.FixtureRequest) -> RealLab:
    """Dovecot with all it can do, and with what Exchange lets its clients have of that."""
    found: RealLab = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def stack(lab: RealLab) -> Iterator[GatewayStack]:
    """A gateway of its own, as nothing else may be disturbed."""
    with open_stack(lab) as opened:
        yield opened


def test_the_log_tells_everything_once_whatever_happens_to_the_workers(stack: GatewayStack, lab: RealLab) -> None:
    print(f"ORACLE_SEED={SEED} ORACLE_OPERATIONS={OPERATIONS}")
    chance = random.Random(SEED)
    user = lab.dovecot.new_user()
    account = user.partition("@")[0]
    with stack.receiver() as receiver:
        stack.api.post("/v1/settings", {"webhooks": receiver.url(), "webhooksEnabled": True, "webhookEvents": ["*"]})
        stack.api.post("/v1/account", _account(account, user, lab))
        stack.api.wait_for_state(account, "connected")
        phone = Telephone(lab.dovecot, user, chance)
        chaos = Chaos(stack, phone, lambda: lab.dovecot.kick(user), chance)
        asking = Asking(stack.url, stack.token, account)
        asking.start()
        try:
            for number in range(OPERATIONS):
                phone.act()
                if number % 40 == 39:
                    chaos.act()
        finally:
            chaos.end()
            asking.end()
        print(phone.done, chaos.done, asking.statuses)
        _check_log(stack, account, phone)
        _check_index(stack, account, phone)
        _check_webhooks(stack, account, receiver)
        phone.close()
    assert set(asking.statuses) <= set(PASSING), asking.statuses


def _account(account: str, user: str, lab: RealLab) -> dict[str, Any]:
    host, port = lab.dovecot.full if lab.personality == "full" else lab.dovecot.exchange
    return {
        "account": account,
        "name": "Guest",
        "email": user,
        "imap": {
            "host": host,
            "port": port,
            "secure": True,
            "auth": {"user": user, "pass": GUEST_PASSWORD},
            "tls": {"rejectUnauthorized": False},
        },
    }


def _check_log(stack: GatewayStack, account: str, phone: Telephone) -> None:
    there = without_empty(truth(phone.imap))
    phone.put_away()

    def complete() -> bool:
        # A connection that was cut at the very end may still be about to be made again.
        with contextlib.suppress(RefusedError):
            stack.api.put(f"{account_path(account)}/sync", {"sync": True})
        return without_empty(replay(stack.api.log(account))) == there

    try:
        wait_until(complete, "the log tells what is there", 60)
    except TimeoutError:
        assert without_empty(replay(stack.api.log(account))) == there
    ids = [event["eventId"] for event in stack.api.log(account)]
    assert len(ids) == len(set(ids))


def _check_index(stack: GatewayStack, account: str, phone: Telephone) -> None:
    """The inbox as clients see it is the inbox."""
    inbox = truth(phone.imap)["INBOX"]
    phone.put_away()
    found = stack.api.messages(account, pageSize=1000)
    assert found["total"] == len(inbox)
    assert [message["uid"] for message in found["messages"]] == sorted(inbox, reverse=True)
    assert {message["uid"]: frozenset(message.get("flags", ())) for message in found["messages"]} == inbox


def _check_webhooks(stack: GatewayStack, account: str, receiver: Receiver) -> None:
    """Every event arrived at least once, and first arrivals are in the order of the log."""
    logged = [event["eventId"] for event in stack.api.log(account)]

    def arrived() -> list[str]:
        events = [request.event for request in list(receiver.received)]
        return list(dict.fromkeys(event["eventId"] for event in events if event["account"] == account))

    wait_until(lambda: set(logged) <= set(arrived()), "every event has arrived", 60)
    assert [id for id in arrived() if id in set(logged)] == logged
