"""A gateway with its servers on this machine: Redis, one API process, one worker, Dovecot, Postfix."""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote

from tests.bench.letters import large_letter, letter
from tests.rigs.certificates import issue_certificates
from tests.rigs.dovecot import LOAD_USERS, PASSWORD_USERS, Dovecot
from tests.rigs.issuer import TokenIssuer
from tests.rigs.ports import reserve_port
from tests.rigs.postfix import Postfix
from tests.rigs.processes import ServerProcess, rig_directory, wait_until
from tests.rigs.redis_server import RedisServer

#: The user with the large mailbox, and the mailbox with the attachments.
LARGE_USER = next(iter(PASSWORD_USERS))
LARGE_MAILBOX = "Archive"
#: A mailbox like the inbox that nobody watches: its listings go through a worker.
UNWATCHED = "Stored"
#: Attachments of its two messages, by their names in the table.
ATTACHMENTS = {"5 MiB": 5 * 1024 * 1024, "200 kB": 200 * 1024}

_CONNECT_SECONDS = 120.0


class Gateway:
    """One API process and one worker on a Redis."""

    def __init__(self, directory: Path, redis_url: str, **more: str) -> None:
        """Prepare; logs go to `directory`, `more` is added to the environment."""
        self.port = reserve_port()
        self.token = secrets.token_hex(32)
        # Handed over by env(1): the rigs' processes inherit the environment.
        environment = {
            "GATEWAY_REDIS_URL": redis_url,
            "GATEWAY_SECRET_KEYS": secrets.token_hex(32),
            "GATEWAY_PORT": str(self.port),
            "GATEWAY_PREPARED_TOKEN": self.token,
            "GATEWAY_DATA_DIR": str(directory),
            "GATEWAY_LOG_LEVEL": "warning",
            "GATEWAY_EGRESS": "private",
            **more,
        }
        command = ["env", *(f"{name}={value}" for name, value in environment.items()), sys.executable, "-m", "gateway"]
        self._parts = {
            name: ServerProcess([*command, part], directory / f"{part}.log")
            for name, part in (("worker", "worker"), ("API", "serve"))
        }

    def start(self) -> None:
        """Start both and wait until the API says that all is well."""
        for part in self._parts.values():
            part.start(lambda: True)
        wait_until(self.healthy, "health of the gateway", 60.0)

    def stop(self) -> None:
        """End both in good order."""
        for part in self._parts.values():
            part.stop()

    def healthy(self) -> bool:
        """Tell whether `/health` answers 200."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, URLError):
            return False

    @property
    def pids(self) -> dict[str, int]:
        """Name -> process id."""
        return {name: pid for name, part in self._parts.items() if (pid := part.pid) is not None}

    def ask(
        self, path: str, payload: Mapping[str, Any] | None = None, *, method: str | None = None, timeout: int = 60
    ) -> Any:
        """Call the API outside of what is measured: GET, with a payload POST, or another method.

        Args:
            path: with its query.
            payload: of the body.
            method: in place of what follows from that.
            timeout: seconds that the gateway may take.

        Raises:
            urllib.error.HTTPError: refused.
        """
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "X-EE-Timeout": str(timeout * 1000),
        }
        data = None if payload is None else json.dumps(payload).encode()
        with urllib.request.urlopen(
            urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers, method=method),
            timeout=2 * timeout,
        ) as answer:
            return json.load(answer)


class Installation:
    """The gateway and its servers; `users` are accounts of the gateway after `connect_accounts`, by their address."""

    def __init__(self, gateway: Gateway, redis: RedisServer, dovecot: Dovecot, postfix: Postfix) -> None:
        self.gateway = gateway
        self.dovecot = dovecot
        servers = {"Redis": redis._process, "Dovecot": dovecot._process, "Postfix": postfix._process}
        self._servers = {name: pid for name, server in servers.items() if (pid := server.pid) is not None}
        self._postfix = postfix
        self.users: list[str] = []

    @property
    def pids(self) -> dict[str, int]:
        """Name -> process id of what is metered; Dovecot's is the top of a tree."""
        return {**self.gateway.pids, **self._servers}

    def connect_accounts(self, *, others: int, large: int, small: int, report: Callable[[str], None]) -> None:
        """Fill mailboxes, create the accounts over REST, and wait until every one is connected.

        Args:
            others: accounts beside the large one.
            large: messages in the large mailbox.
            small: messages in each other mailbox.
            report: told of progress.
        """
        passwords = {LARGE_USER: PASSWORD_USERS[LARGE_USER], **dict(list(LOAD_USERS.items())[:others])}
        report(f"filling {len(passwords)} mailboxes ...")
        for user in passwords:
            count = large if user == LARGE_USER else small
            for mailbox in ("INBOX", UNWATCHED):
                self.dovecot.fill(user, count, mailbox, partial(letter, user))
        sizes = list(ATTACHMENTS.values())
        self.dovecot.fill(LARGE_USER, len(sizes), LARGE_MAILBOX, lambda number: large_letter(LARGE_USER, sizes[number]))
        report("connecting the accounts ...")
        for user, password in passwords.items():
            self.gateway.ask("/v1/account", self.account(user, password))
        wait_until(lambda: all(map(self.connected, passwords)), "all accounts connected", _CONNECT_SECONDS)
        self.users = list(passwords)

    def read_everything(self) -> None:
        """List each mailbox once, so that what Dovecot has yet to cache is not part of what is measured."""
        for user in self.users:
            for mailbox in ("INBOX", UNWATCHED):
                page: int | None = 0
                while page is not None:
                    found = self.gateway.ask(f"{messages_path(user, mailbox)}&pageSize=250&page={page}")
                    page = page + 1 if page + 1 < found["pages"] else None

    def account(self, user: str, password: str) -> dict[str, Any]:
        """Return the payload that creates the account of a user."""
        server = {"host": "127.0.0.1", "secure": True, "tls": {"rejectUnauthorized": False}}
        auth = {"user": user, "pass": password}
        return {
            "account": user,
            "name": user,
            "email": user,
            "imap": {**server, "auth": auth, "port": self.dovecot.ports.imaps},
            "smtp": {**server, "auth": auth, "port": self._postfix.submissions_port},
        }

    def delete(self, user: str) -> None:
        """Delete the account of a user."""
        self.gateway.ask(f"/v1/account/{quote(user)}", method="DELETE")

    def connected(self, user: str) -> bool:
        """Tell whether the account of a user is connected."""
        return bool(self.gateway.ask(f"/v1/account/{quote(user)}")["state"] == "connected")


def messages_path(user: str, mailbox: str = "INBOX") -> str:
    """Return path and beginning of the query that list a mailbox."""
    return f"/v1/account/{quote(user)}/messages?path={quote(mailbox)}"


@contextlib.contextmanager
def running_installation() -> Iterator[Installation]:
    """Start everything, without accounts."""
    with contextlib.ExitStack() as stack:
        names = ("redis", "tls", "dovecot", "postfix", "gateway")
        folder = {name: stack.enter_context(rig_directory(f"bench-{name}")) for name in names}
        certificates = issue_certificates(folder["tls"])
        redis = RedisServer(folder["redis"])
        dovecot = Dovecot(folder["dovecot"], certificates, TokenIssuer())
        postfix = Postfix(folder["postfix"], certificates, dovecot)
        gateway = Gateway(folder["gateway"], redis.url)
        for server in (redis, dovecot, postfix, gateway):
            stack.callback(server.stop)
            server.start()
        yield Installation(gateway, redis, dovecot, postfix)
