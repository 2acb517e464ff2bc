"""Many accounts on one gateway of several processes, on Dovecot."""

from __future__ import annotations

import contextlib
import imaplib
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias, TypeVar

import redis

from gateway.redis import keys
from gateway.store.index import box_key
from tests.acceptance.processes import GatewayProcess
from tests.acceptance.replay import Content, truth
from tests.acceptance.stack import GatewayStack, open_stack
from tests.rigs.dovecot import GUEST_PASSWORD
from tests.rigs.processes import wait_until
from tests.rigs.real_lab import RealLab

T = TypeVar("T")
_THREADS = 16
#: Seconds between two looks at all accounts, which cost the processes under test the machine.
_PAUSE = 0.2
_ANNOUNCED_SECONDS = 60.0


#: An event as a client gets it.
Event: TypeAlias = dict[str, Any]


class Fleet:
    """Accounts with one message each in the inbox.

    Attributes:
        users: account -> address.
    """

    def __init__(self, stack: GatewayStack, lab: RealLab, size: int) -> None:
        """Prepare; `connect` makes the accounts."""
        self.stack = stack
        self.lab = lab
        self.users = {user.partition("@")[0]: user for user in (lab.dovecot.new_user() for _ in range(size))}
        self._redis: Any = stack.redis()
        self._inbox = f"box:{box_key('INBOX')}"
        self._threads = ThreadPoolExecutor(_THREADS)

    def close(self) -> None:
        """Close connections and end threads."""
        self._threads.shutdown(cancel_futures=True)
        self._redis.close()

    def connect(self, timeout: float) -> None:
        """Create the accounts, wait until all are watched, and deliver a message to each."""
        self.stack.scan.plant(GUEST_PASSWORD)
        self.each(self.users, lambda account: self.stack.api.post("/v1/account", self.payload(account)))
        self.wait_until_watched(timeout)
        self.deliver(self.users, "first")
        wait_until(self._all_told, "the first message everywhere", timeout, _PAUSE)

    def _all_told(self) -> bool:
        return all(any(event["event"] == "messageNew" for event in told) for told in self.told().values())

    def payload(self, account: str) -> dict[str, Any]:
        """Return what creates an account."""
        user, dovecot, postfix = self.users[account], self.lab.dovecot, self.lab.postfix
        auth = {"user": user, "pass": GUEST_PASSWORD}
        server = {"secure": True, "auth": auth, "tls": {"rejectUnauthorized": False}}
        host, port = dovecot.full
        return {
            "account": account,
            "name": account,
            "email": user,
            "imap": {**server, "host": host, "port": port},
            "smtp": {**server, "host": "127.0.0.1", "port": postfix.submissions_port},
        }

    def each(self, accounts: Iterable[str], do: Callable[[str], T]) -> dict[str, T]:
        """Do something for each account, many at once."""
        names = list(accounts)
        return dict(zip(names, self._threads.map(do, names), strict=True))

    # --- mail ---------------------------------------------------------------------------------------------------------

    def deliver(self, accounts: Iterable[str], subject: str) -> None:
        """Deliver a message to each of some accounts."""
        self.each(
            accounts, lambda account: self.lab.dovecot.deliver(self.users[account], self.letter(account, subject))
        )

    def letter(self, account: str, subject: str) -> bytes:
        """Return a message."""
        return (
            f"From: Sender <sender@example.org>\r\nTo: {self.users[account]}\r\nSubject: {subject}\r\n"
            f"Message-ID: <{secrets.token_hex(12)}@example.org>\r\n\r\nText.\r\n"
        ).encode()

    @contextlib.contextmanager
    def imap(self, account: str) -> Iterator[imaplib.IMAP4]:
        """Log in to an account beside the gateway."""
        dovecot = self.lab.dovecot
        with imaplib.IMAP4_SSL(*dovecot.full, ssl_context=dovecot.certificates.client_context()) as imap:
            imap.login(self.users[account], GUEST_PASSWORD)
            yield imap

    def content(self, accounts: Iterable[str]) -> dict[str, Content]:
        """Return what some accounts hold, by their server's own word."""

        def look(account: str) -> Content:
            with self.imap(account) as imap:
                return truth(imap)

        return self.each(accounts, look)

    # --- who has what -------------------------------------------------------------------------------------------------

    def owned_by(self, worker: GatewayProcess) -> list[str]:
        """Return the accounts that a worker owns."""
        return sorted(name.decode() for name in self._redis.smembers(keys.owned(worker.name)))

    def unwatched(self) -> list[str]:
        """Return the accounts for whose inbox the index does not answer: the owner lives and has confirmed it."""
        owners = {name.decode(): owner.decode().split() for name, owner in self._redis.hgetall(keys.OWNERS).items()}
        workers = {worker for worker, _ in owners.values()}
        living = {worker for worker in workers if self._redis.exists(keys.worker(worker))}
        with self._redis.pipeline(transaction=False) as pipeline:
            for account in self.users:
                pipeline.hget(keys.live(account), self._inbox)
            marks = pipeline.execute()
        missing = []
        for account, mark in zip(self.users, marks, strict=True):
            worker, epoch = owners.get(account, ("", ""))
            if worker not in living or mark is None or mark.decode().split()[0] != epoch:
                missing.append(account)
        return missing

    def wait_until_watched(self, timeout: float) -> None:
        """Wait until the index answers for every inbox."""
        wait_until(lambda: not self.unwatched(), "every inbox is watched", timeout, _PAUSE)

    def wait_until_spread(self, timeout: float) -> None:
        """Wait until every worker has its share of the accounts, give or take a fifth."""
        share = len(self.users) / len(self.stack.running_workers)

        def spread() -> bool:
            return all(0.75 * share <= len(self.owned_by(one)) <= 1.25 * share for one in self.stack.running_workers)

        wait_until(spread, "accounts are spread", timeout)

    def redis(self) -> redis.Redis:
        """A client of the gateway's Redis."""
        found: redis.Redis = self._redis
        return found

    # --- the log ------------------------------------------------------------------------------------------------------

    def ends(self) -> dict[str, str]:
        """Return the id of each account's last event."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for account in self.users:
                pipeline.xrevrange(keys.events(account), count=1)
            found = pipeline.execute()
        return {name: (last[0][0].decode() if last else "0") for name, last in zip(self.users, found, strict=True)}

    def told(self, since: Mapping[str, str] | None = None) -> dict[str, list[Event]]:
        """Return what each account's log tells, behind an id of each."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for account in self.users:
                pipeline.xrange(keys.events(account), min=f"({since[account]}" if since else "-")
            found = pipeline.execute()
        return {
            account: [json.loads(fields[b"d"]) for _, fields in entries]
            for account, entries in zip(self.users, found, strict=True)
        }

    def check_announced(self, since: Mapping[str, str], subjects: Mapping[str, Sequence[str]]) -> None:
        """Make sure that each account's log tells of these new messages since then, each once, and of nothing else."""
        expected = {account: [("messageNew", subject) for subject in sorted(of)] for account, of in subjects.items()}

        def short() -> dict[str, list[tuple[str, Any]]]:
            return {
                account: sorted((event["event"], event.get("data", {}).get("subject")) for event in events)
                for account, events in self.told(since).items()
            }

        def complete() -> bool:
            found = short()
            return all(len(found[account]) >= len(events) for account, events in expected.items())

        with contextlib.suppress(TimeoutError):
            wait_until(complete, "everything is announced", _ANNOUNCED_SECONDS, _PAUSE)
        found = short()
        assert found == {account: expected.get(account, []) for account in self.users}, {
            account: events for account, events in found.items() if events != expected.get(account, [])
        }


@contextlib.contextmanager
def open_fleet(lab: RealLab, size: int, *, durable: bool = False, timeout: float) -> Iterator[Fleet]:
    """Start a gateway and connect its accounts, in so many seconds; stop it in good order."""
    with open_stack(lab, durable=durable) as stack:
        fleet = Fleet(stack, lab, size)
        try:
            fleet.connect(timeout)
            yield fleet
        finally:
            fleet.close()
