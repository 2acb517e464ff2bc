"""Client apps that call the API all the time, through a load balancer."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from tests.acceptance.client import account_path, message_path
from tests.acceptance.fleet import Fleet

#: Seconds that the balancer looks for a server that takes a call.
_BALANCING = 10.0


class Answer(NamedTuple):
    """What a call came to: its status, the JSON, and the seconds that it took."""

    status: int
    body: Any
    seconds: float

    @property
    def outcome(self) -> tuple[int, str]:
        """Status, and error code if there is one."""
        return self.status, str(self.body.get("code", ""))


class CutError(Exception):
    """A server took a call that may not be sent twice, and closed the connection without an answer."""


class Balancer:
    """Sends calls to servers in turn, over connections that it keeps; for one thread.

    As load balancers do, it goes to the next server when one takes no connection, and, with calls that may be sent
    twice, when one closes the connection without a word. A call that may not goes over a connection of its own.
    """

    def __init__(self, urls: Sequence[str], token: str, *, timeout: float = 60.0) -> None:
        """Connect to nothing yet; `timeout` is the longest silence, in seconds."""
        self._places = [str(urlsplit(url).netloc) for url in urls]
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._timeout = timeout
        self._kept: dict[str, http.client.HTTPConnection] = {}
        self._turn = random.randrange(len(urls))

    def call(self, method: str, path: str, payload: Any = None, **headers: str) -> Answer:
        """Return the answer of the first server that gives one.

        Raises:
            CutError: a POST was taken and not answered.
            OSError: no server takes it.
        """
        began = time.monotonic()
        while True:
            place = self._places[self._turn % len(self._places)]
            self._turn += 1
            try:
                connection = self._connection(place, keep=method != "POST")
                try:
                    status, body = self._exchange(connection, method, path, payload, headers)
                except (http.client.RemoteDisconnected, ConnectionError):
                    self._drop(place)
                    if method == "POST":
                        raise CutError from None
                    raise
                return Answer(status, body, time.monotonic() - began)
            except OSError:
                if time.monotonic() - began > _BALANCING:
                    raise
                time.sleep(0.01)

    def close(self) -> None:
        """Close the connections."""
        for place in list(self._kept):
            self._drop(place)

    def _connection(self, place: str, *, keep: bool) -> http.client.HTTPConnection:
        if keep and place in self._kept:
            return self._kept[place]
        connection = http.client.HTTPConnection(place, timeout=self._timeout)
        connection.connect()
        if keep:
            self._kept[place] = connection
        return connection

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, path: str, payload: Any, headers: dict[str, str]
    ) -> tuple[int, Any]:
        body = None if payload is None else json.dumps(payload)
        connection.request(method, path, body, {**self._headers, **headers})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    def _drop(self, place: str) -> None:
        if place in self._kept:
            self._kept.pop(place).close()


class Load:
    """Threads that each do one thing after the other until they are ended, and count what comes of it.

    Attributes:
        outcomes: of all calls so far.
        slowest: seconds that a call took at most.
        failures: what a thread ended by.
    """

    def __init__(self, works: Iterable[Callable[[Load], None]]) -> None:
        """Prepare; each of `works` has a thread, and is called again and again."""
        self.outcomes: Counter[tuple[int, str]] = Counter()
        self.slowest = 0.0
        self.failures: list[BaseException] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(work,), daemon=True) for work in works]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(90)
        assert not any(thread.is_alive() for thread in self._threads), "a call hangs"

    def note(self, answer: Answer) -> Answer:
        """Count an answer."""
        with self._lock:
            self.outcomes[answer.outcome] += 1
            self.slowest = max(self.slowest, answer.seconds)
        return answer

    def _run(self, work: Callable[[Load], None]) -> None:
        try:
            while not self._ended.wait(0.005):
                work(self)
        except BaseException as error:
            self.failures.append(error)


class Reader:
    """Lists mailboxes, watched and not, and reads messages."""

    def __init__(self, balancer: Balancer, accounts: Sequence[str]) -> None:
        self._balancer = balancer
        self._accounts = accounts

    def __call__(self, load: Load) -> None:
        """Do one call."""
        account = random.choice(self._accounts)
        kind = random.random()
        path = "INBOX" if kind < 0.8 else "Archive"
        listed = load.note(self._balancer.call("GET", f"{account_path(account)}/messages?path={quote(path)}"))
        if listed.status == 200 and kind > 0.6 and listed.body["messages"]:
            message = listed.body["messages"][0]["id"]
            load.note(self._balancer.call("GET", f"{message_path(account, message)}?textType=*"))


class Flagger:
    """Sets and takes off a flag of the newest message of accounts that nobody else touches.

    Attributes:
        messages: account -> id of the message.
        acknowledged: account -> whether the flag is set, by the last change that was answered with 200; None after one
            that was not.
    """

    def __init__(self, balancer: Balancer, newest: dict[str, Any]) -> None:
        """Take account -> message as it is listed now."""
        self._balancer = balancer
        self.messages: dict[str, str] = {account: message["id"] for account, message in newest.items()}
        self.acknowledged: dict[str, bool | None] = {
            account: "\\Flagged" in message.get("flags", ()) for account, message in newest.items()
        }

    def __call__(self, load: Load) -> None:
        """Do one call."""
        account = random.choice(list(self.messages))
        wanted = not self.acknowledged[account]
        change = {"flags": {"add" if wanted else "delete": ["\\Flagged"]}}
        path = message_path(account, self.messages[account])
        answer = load.note(self._balancer.call("PUT", path, change))
        self.acknowledged[account] = wanted if answer.status == 200 else None


class Submitter:
    """Sends messages from accounts to one recipient.

    Attributes:
        accepted: subjects of the messages that the API has taken.
        tried: subjects of all.
    """

    def __init__(self, balancer: Balancer, accounts: Sequence[str], recipient: str, name: str) -> None:
        """Name the messages after `name`."""
        self._balancer = balancer
        self._accounts = accounts
        self._recipient = recipient
        self._name = name
        self.tried: list[str] = []
        self.accepted: list[str] = []

    def __call__(self, load: Load) -> None:
        """Do one call."""
        subject = f"{self._name}-{len(self.tried)}"
        self.tried.append(subject)
        payload = {"to": {"address": self._recipient}, "subject": subject, "text": "x"}
        answer = load.note(
            self._balancer.call("POST", f"{account_path(random.choice(self._accounts))}/submit", payload)
        )
        if answer.status == 200:
            self.accepted.append(subject)


def asked(fleet: Fleet, accounts: Sequence[str]) -> dict[str, int]:
    """List the inbox of each of some accounts, and return the statuses."""

    def ask(account: str) -> int:
        return fleet.stack.api.http.get(f"{account_path(account)}/messages", params={"path": "INBOX"}).status_code

    return fleet.each(accounts, ask)
