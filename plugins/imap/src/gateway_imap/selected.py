"""The mailbox that a connection has selected, kept up to date by what the server tells by the way."""

from __future__ import annotations

import re

import msgspec

from gateway_imap.fetch_parser import Record
from gateway_imap.following import Follower

#: Types of untagged responses that tell what happens in it (RFC 9051 section 7, RFC 7162 section 3.2.10).
NEWS = frozenset({"EXISTS", "EXPUNGE", "FETCH", "VANISHED"})

_NEWS_LINE = re.compile(rb"\* (?:(\d+) (EXISTS|EXPUNGE|FETCH)|(VANISHED))\b ?(.*)", re.IGNORECASE)


class Selected(msgspec.Struct, kw_only=True):
    """The mailbox that is selected.

    Attributes:
        path: how the gateway calls it.
        uid_validity: 0 if the server does not tell.
        uid_next: when it was selected.
        exists: number of messages; None when it has to be asked for again.
        writable: it can be changed.
        highest_modseq: when it was selected (RFC 7162 section 3.1.2.1); None if the mailbox has none.
        follower: hears what happens in it, if somebody follows.
    """

    path: str
    uid_validity: int
    uid_next: int | None
    exists: int | None
    writable: bool
    highest_modseq: int | None
    follower: Follower | None = None

    def hear(self, kind: str, record: Record) -> None:
        """Take in a response of one of the types in `NEWS`, as imaplib has it, in the order of arrival.

        Raises:
            ProtocolError, ValueError: not IMAP.
        """
        if kind == "EXISTS" and isinstance(record, bytes):
            self.exists = int(record)
        elif kind == "EXPUNGE" and self.exists is not None:
            self.exists -= 1
        elif kind == "VANISHED":
            self.exists = None
        if self.follower is not None:
            self.follower.hear(kind, record)

    def hear_line(self, line: bytes) -> None:
        """Take in a line that came while no command was waiting for an answer; raises like `hear`."""
        found = _NEWS_LINE.fullmatch(line)
        if found is not None:
            number, kind, vanished, rest = found.groups()
            record = number + b" " + rest if kind and kind.upper() == b"FETCH" else number or rest
            self.hear((kind or vanished).decode("ascii").upper(), record)
