"""Dovecot 2.3 with the accounts of a small company and two personalities: everything it can, and Exchange Online."""

from __future__ import annotations

import itertools
import os
import pwd
import smtplib
import subprocess
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

from tests.rigs.certificates import Certificates
from tests.rigs.dovecot_config import EXCHANGE_HOST, FULL_HOST, DovecotPorts, server_user, write_config
from tests.rigs.issuer import TokenIssuer
from tests.rigs.ports import reserve_port
from tests.rigs.processes import SERVER_PATH, ServerProcess, accepts_connections, wait_until

TOKEN_USERS = ("alice@contoso.test", "bob@contoso.test", "carol@contoso.test", "dave@contoso.test")
PASSWORD_USERS = {"pat@example.test": "pat-password", "quinn@example.test": "quinn-password"}
# Dovecot looks at its user files once a second: accounts that a test must have at once are there from the start.
GUEST_PASSWORD = "guest-password"
_GUESTS = 4000
LOAD_USERS = {f"user{number:02}@example.test": f"password-{number:02}" for number in range(1, 51)}


class Dovecot:
    """IMAP (plain with STARTTLS, and TLS), LMTP, and the authentication that Postfix asks.

    Everybody may log in with an access token in his name; those with a password may also use that.
    """

    def __init__(
        self, directory: Path, certificates: Certificates, issuer: TokenIssuer, *, introspection: str | None = None
    ) -> None:
        """Write the configuration to `directory`; `introspection` is the URL to ask about tokens, if not local."""
        self.ports = DovecotPorts(reserve_port(), reserve_port(), reserve_port(), reserve_port())
        self.certificates = certificates
        self.full = (FULL_HOST, self.ports.imaps)
        self.exchange = (EXCHANGE_HOST, self.ports.imaps)
        self._directory = directory
        self._config = write_config(directory, self.ports, certificates, issuer, introspection)
        self._batches = itertools.count(1)
        guests = {f"guest{number:03}@contoso.test": GUEST_PASSWORD for number in range(_GUESTS)}
        self._guests = iter(guests)
        passwords = {**PASSWORD_USERS, **LOAD_USERS, **guests}
        (directory / "users").write_text("".join(f"{user}::::::\n" for user in (*TOKEN_USERS, *passwords)))
        (directory / "passwords").write_text("".join(f"{u}:{password}:::::\n" for u, password in passwords.items()))
        user = server_user()[0]
        self._owner = pwd.getpwnam(user) if os.geteuid() == 0 else None
        for path in (directory, *directory.rglob("*")):
            self._give_away(path)
        self._process = ServerProcess(["dovecot", "-F", "-c", str(self._config)], directory / "start.log", user=user)

    def start(self) -> None:
        """Start and wait until every port answers."""
        self._process.start(lambda: all(accepts_connections(port) for port in self.ports))

    def stop(self) -> None:
        """End the server and every session."""
        # An orderly stop waits seconds for sessions, and there is nothing here to keep.
        self._process.kill()

    def new_user(self) -> str:
        """An account that nobody used before, for tests that must not meet another's messages.

        Its password is `GUEST_PASSWORD`.

        Raises:
            StopIteration: the run has used up all of them.
        """
        return next(self._guests)

    def deliver(self, user: str, raw: bytes, mailbox: str = "INBOX", sender: str = "sender@example.org") -> None:
        """Hand a message over by LMTP (RFC 2033); sessions that are idle notice.

        Raises:
            smtplib.SMTPException: there is no such account.
        """
        local, _, domain = user.partition("@")
        recipient = user if mailbox == "INBOX" else f'"{local}+{mailbox}"@{domain}'
        with smtplib.LMTP("127.0.0.1", self.ports.lmtp, local_hostname="rig.test") as lmtp:
            lmtp.sendmail(sender, [recipient], raw)

    def mail_count(self, user: str, mailbox: str = "INBOX") -> int:
        """Messages in a mailbox, as they lie on the disk."""
        return len(self._files(user, mailbox))

    def raw_messages(self, user: str, mailbox: str = "INBOX") -> list[bytes]:
        """The messages of a mailbox, oldest delivery first, octet for octet as stored."""
        return [path.read_bytes() for path in sorted(self._files(user, mailbox), key=lambda path: path.name)]

    def fill(
        self, user: str, count: int, mailbox: str = "INBOX", message: Callable[[int], bytes] | None = None
    ) -> None:
        """Put `count` messages into a mailbox at once, a minute apart, the newest now.

        They are written as Maildir files, thousands a second; `message(number)` makes each, from 0 on.
        """
        make = message or (lambda number: _small_message(user, number))
        folder = self._maildir(user, mailbox)
        top = self._directory / "mail"
        for path in (*reversed(folder.parents), folder, *(folder / name for name in ("cur", "new", "tmp"))):
            if top in path.parents and not path.exists():
                path.mkdir()
                self._give_away(path)
        batch, now = next(self._batches), int(time.time())
        for number in range(count):
            raw, received = make(number), now - 60 * (count - 1 - number)
            path = folder / "cur" / f"{received}.M{batch}P{number:06}.rig,S={len(raw)}:2,"
            path.write_bytes(raw)
            os.utime(path, (received, received))
            self._give_away(path)

    def kick(self, user: str) -> None:
        """Cut the sessions of one account with BYE, and wait until they have ended."""
        kicked = self._sessions(user)
        self._doveadm("kick", user)
        wait_until(lambda: kicked.isdisjoint(self._sessions(user)), "the kicked are gone", 10)

    def _sessions(self, user: str) -> set[bytes]:
        """The numbers of the processes that serve an account."""
        # A line for each: account, protocol, process, address.
        return {line.split()[2] for line in self._doveadm("who", "-1", user).splitlines()[1:]}

    def _doveadm(self, *arguments: str) -> bytes:
        """Return what it says; it fails when nobody is there whom it could be about."""
        return subprocess.run(
            ["doveadm", "-c", str(self._config), *arguments],
            check=False,
            capture_output=True,
            timeout=10,
            env={"PATH": SERVER_PATH},
        ).stdout

    def log_tail(self) -> str:
        """The end of the server's log, for a failing test to print."""
        return (self._directory / "dovecot.log").read_text(errors="replace")[-4000:]

    def _maildir(self, user: str, mailbox: str) -> Path:
        root = self._directory / "mail" / user / "Maildir"
        return root if mailbox == "INBOX" else root / mailbox

    def _files(self, user: str, mailbox: str) -> list[Path]:
        folder = self._maildir(user, mailbox)
        return [path for part in ("cur", "new") if (folder / part).is_dir() for path in (folder / part).iterdir()]

    def _give_away(self, path: Path) -> None:
        if self._owner is not None:
            os.chown(path, self._owner.pw_uid, self._owner.pw_gid)


def _small_message(user: str, number: int) -> bytes:
    return (
        f"From: Sender <sender@example.org>\r\nTo: {user}\r\nSubject: Message {number}\r\n"
        f"Date: {formatdate(1_700_000_000 + 60 * number)}\r\nMessage-ID: <fill-{number}-{user}>\r\n"
        f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nBody of message {number}.\r\n"
    ).encode()
