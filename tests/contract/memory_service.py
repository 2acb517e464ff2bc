"""A mail service and an identity provider in memory, with a network between them and the provider under test."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from gateway.provider import Envelope, PushSubscription

Network = Literal["up", "unreachable", "hang-up", "silent", "throttled", "hang-up after submit"]


class BusyError(Exception):
    """The service's own way to ask for a pause."""


class RefusedError(Exception):
    """The service's own way to refuse all recipients."""


@dataclass
class Stored:
    """A message at the service."""

    id: str
    octets: bytes
    received: datetime
    flags: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass
class MailService:
    """Mailboxes, in which of them something happened to which message, and what was submitted."""

    mailboxes: dict[str, list[Stored]] = field(default_factory=lambda: {"INBOX": [], "Drafts": [], "Archive": []})
    history: list[tuple[str, str]] = field(default_factory=list)
    subscriptions: dict[str, PushSubscription] = field(default_factory=dict)
    unsubscribed: set[str] = field(default_factory=set)
    sent: list[tuple[Envelope, bytes]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    bells: list[tuple[socket.socket, socket.socket]] = field(default_factory=list)
    network: Network = "up"
    _last: int = 0

    def reach(self) -> None:
        """Let a call through, or raise what the client library would raise."""
        match self.network:
            case "unreachable":
                raise ConnectionRefusedError("nobody listens")
            case "hang-up":
                raise ConnectionResetError("the other side has gone")
            case "silent":
                raise TimeoutError("no answer")
            case "throttled":
                raise BusyError

    def store(
        self, mailbox: str, octets: bytes, *, flags: Sequence[str] = (), received: datetime | None = None
    ) -> Stored:
        """Put a message into a mailbox."""
        self._last += 1
        stored = Stored(f"m{self._last}", octets, received or datetime.now(UTC), tuple(flags))
        self.mailboxes[mailbox].append(stored)
        self.happened(mailbox, stored)
        for _, bell in self.bells:
            # Whoever waited for it may have gone.
            with suppress(OSError):
                bell.send(b"!")
        return stored

    def hang_bell(self) -> tuple[socket.socket, socket.socket]:
        """Return a pair of sockets: the first is readable after a delivery."""
        self.bells.append(socket.socketpair())
        return self.bells[-1]

    def close(self) -> None:
        """Take down all bells."""
        for pair in self.bells:
            for bell in pair:
                bell.close()

    def remove(self, mailbox: str, stored: Stored) -> None:
        """Take a message out of a mailbox."""
        self.mailboxes[mailbox].remove(stored)
        self.happened(mailbox, stored)

    def happened(self, mailbox: str, stored: Stored) -> None:
        """Write it into the history."""
        self.history.append((mailbox, stored.id))

    def submit(self, envelope: Envelope, octets: bytes) -> set[str]:
        """Take a message for delivery and return the recipients that were refused."""
        refused = self.refused & set(envelope.rcpt_to)
        accepted = tuple(one for one in envelope.rcpt_to if one not in refused)
        if not accepted:
            raise RefusedError
        self.sent.append((Envelope(mail_from=envelope.mail_from, rcpt_to=accepted), octets))
        if self.network == "hang-up after submit":
            raise ConnectionResetError("the other side has gone")
        return refused


@dataclass
class IdentityService:
    """Refresh tokens, each good for one use."""

    refresh_tokens: set[str] = field(default_factory=set)
    reachable: bool = True
    rotates: bool = True
    lifetime: float = 3600.0

    def sign_in(self) -> str:
        """Return the refresh token of a new grant."""
        token = secrets.token_hex()
        self.refresh_tokens.add(token)
        return token

    def token(self, refresh_token: str) -> dict[str, str]:
        """Answer a refresh request (RFC 6749 section 6)."""
        if not self.reachable:
            raise ConnectionResetError("the other side has gone")
        if refresh_token not in self.refresh_tokens:
            return {"error": "invalid_grant"}
        answer = {"access_token": secrets.token_hex()}
        if self.rotates:
            self.refresh_tokens.discard(refresh_token)
            answer["refresh_token"] = self.sign_in()
        return answer
