"""Bases of the contract's own structs, and what a plugin may know of the process it runs in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec

Clock = Callable[[], datetime]
Service = Literal["imap", "smtp", "api"]


def utc_now() -> datetime:
    """Return the present time, aware, in UTC."""
    return datetime.now(UTC)


class Capability(StrEnum):
    """The optional parts of a session. Declared means it works; undeclared means it raises.

    Listing mailboxes and messages, and reading text, source and attachments, are not optional.
    """

    SEARCH = "search"
    FLAGS = "flags"
    LABELS = "labels"
    MOVE = "move"
    COPY = "copy"
    DELETE = "delete"
    APPEND = "append"
    MAILBOXES = "mailboxes"
    SUBSCRIBE = "subscribe"
    SUBMIT = "submit"
    DRAFTS = "drafts"
    CHANGES = "changes"
    WATCH = "watch"
    PUSH = "push"
    QUOTA = "quota"
    SIGNATURES = "signatures"


class Struct(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the contract's own structs."""


class SecretStruct(Struct, frozen=True, kw_only=True):
    """A struct whose text form shows only the fields named in `__shown__`."""

    __shown__: ClassVar[tuple[str, ...]] = ()

    def __rich_repr__(self) -> Any:
        for name in self.__shown__:
            yield name, getattr(self, name)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__shown__)
        return f"{type(self).__name__}({shown})"


class Environment(Struct, frozen=True, kw_only=True):
    """What a plugin may know of the process it runs in.

    Attributes:
        data_dir: the directory of this installation's own files, e.g. overrides of built-in data; may be absent.
        clock: the present time, aware UTC.
    """

    data_dir: Path | None = None
    clock: Clock = utc_now


class SubmissionLimits(Struct, frozen=True, kw_only=True):
    """How much a service takes from one mailbox; what is more waits in the outbox, at no cost of an attempt.

    Counted by service and login name (`Account.user`), over all accounts, providers and workers.

    Attributes:
        service: a name; providers that lead to the same mailboxes give the same.
        messages: handed over within `seconds`, at most.
        seconds: length of the window, which slides.
        connections: to the submission server at once, at most; None for no limit. An account has one.
        kept: seconds for which a session keeps its connection after a message.
    """

    service: str
    messages: int
    seconds: float = 60.0
    connections: int | None = None
    kept: float = 60.0

    @property
    def bulk_messages(self) -> int:
        """Of `messages`, those that may be of a mail merge: a fifth is kept for mail that somebody waits for."""
        return max(1, self.messages * 4 // 5)
