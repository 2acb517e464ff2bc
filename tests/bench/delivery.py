"""From a new message in a mailbox to the webhook that tells of it."""

from __future__ import annotations

import contextlib
import imaplib
import queue
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.bench.figures import Figures
from tests.bench.installation import Installation
from tests.bench.letters import letter
from tests.bench.meters import cpu_seconds
from tests.bench.receiver import Receiver, running_receiver
from tests.rigs.dovecot import LOAD_USERS

_SECONDS = 30.0
_PAUSE = 0.7
_IN_EACH = 10


def webhooks(figures: Figures, installation: Installation, messages: int) -> None:
    """Single messages, timed against a client that is idle on the same mailbox; then many in all mailboxes at once."""
    with running_receiver() as receiver, _delivered_to(installation, receiver):
        _single(figures, installation, receiver, messages)
        _burst(figures, installation, receiver)


@contextlib.contextmanager
def _delivered_to(installation: Installation, receiver: Receiver) -> Iterator[None]:
    settings = {"webhooksEnabled": True, "webhooks": receiver.url, "webhookEvents": ["messageNew"]}
    installation.gateway.ask("/v1/settings", settings)
    try:
        yield
    finally:
        installation.gateway.ask("/v1/settings", {"webhooksEnabled": False})


def _single(figures: Figures, installation: Installation, receiver: Receiver, messages: int) -> None:
    user = installation.users[1]
    whole, added = [], []
    with _idle(installation, user) as told:
        for number in range(messages):
            # The delay of the server begins anew with each message only if it has nothing left to tell.
            time.sleep(_PAUSE)
            while not told.empty():
                told.get()
            began = time.time()
            installation.dovecot.deliver(user, letter(user, 100_000 + number))
            (came,) = receiver.wait(1, _SECONDS)
            whole.append(came - began)
            added.append(came - told.get(timeout=_SECONDS))
    figures.add(
        "webhook, one message",
        {
            "p50 ms": statistics.median(whole) * 1000,
            "p50 ms after IDLE": statistics.median(added) * 1000,
            "p95 ms after IDLE": statistics.quantiles(added, n=20)[-1] * 1000,
        },
    )


def _burst(figures: Figures, installation: Installation, receiver: Receiver) -> None:
    users = installation.users[1:]

    def deliver(user: str) -> None:
        for number in range(_IN_EACH):
            installation.dovecot.deliver(user, letter(user, 200_000 + number))

    before = cpu_seconds(installation.pids)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(deliver, users))
    ended = time.time()
    count = _IN_EACH * len(users)
    last = max(receiver.wait(count, _SECONDS))
    used = {name: value - before[name] for name, value in cpu_seconds(installation.pids).items()}
    figures.add(
        f"webhook, burst of {_IN_EACH} messages to each account",
        {"s": last - ended, **{f"{name} CPU": seconds * 1000 / count for name, seconds in used.items()}},
    )


@contextlib.contextmanager
def _idle(installation: Installation, user: str) -> Iterator[queue.Queue[float]]:
    """Be idle on a user's inbox, as the gateway is; the times at which the server told of a message come in a queue."""
    told: queue.Queue[float] = queue.Queue()
    with imaplib.IMAP4("127.0.0.1", installation.dovecot.ports.imap) as client:
        client.login(user, LOAD_USERS[user])
        client.select("INBOX")
        client.send(b"x IDLE\r\n")

        def listen() -> None:
            while not (line := client.readline()).startswith(b"x "):
                if b"EXISTS" in line:
                    told.put(time.time())

        listener = threading.Thread(target=listen)
        listener.start()
        yield told
        client.send(b"DONE\r\n")
        listener.join()
