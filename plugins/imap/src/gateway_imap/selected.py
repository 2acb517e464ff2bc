"""The mailbox that a connection has selected, kept up to date by what the server tells by the way."""

from __future__ import annotations

import re

import msgspec

from gateway_imap.fetch_parser import Record
from gateway_imap.flag_lines import is_only_flags
from gateway_imap.following import Follower

#: Types of untagged responses that tell what happens in it (RFC 9051 section 7, RFC 7162 section 3.2.10).
NEWS = frozenset({"EXISTS", "EXPUNGE", "FETCH", "VANISHED"})

_MODSEQ = re.compile(rb"MODSEQ \((\d{1,19})\)")
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
        stirred: something may have happened that `gateway_imap.changes` has not told.
    """

    path: str
    uid_validity: int
    uid_next: int | None
    exists: int | None
    writable: bool
    highest_modseq: int | None
    follower: Follower | None = None
    stirred: bool = True

    def hear(self, kind: str, record: Record) -> None:
        """Take in a response of one of the types in `NEWS`, as imaplib has it, in the order of arrival.

        Raises:
            ValueError: not IMAP.
        """
        if kind == "EXISTS" and isinstance(record, bytes):
            # Some servers repeat the number at every command.
            self.stirred = self.stirred or int(record) != self.exists
            self.exists = int(record)
        elif kind == "EXPUNGE":
            self.exists = None if self.exists is None else self.exists - 1
            self.stirred = True
        elif kind == "VANISHED":
            self.exists = None
            self.stirred = True
        before = self.follower.state if self.follower is not None else None
        if self.follower is not None:
            self.follower.hear(kind, record)
            self.stirred = self.stirred or self.follower.broken or self.follower.state != before
        elif kind == "FETCH":
            self.stirred = self.stirred or self._is_news(record)

    def hear_line(self, line: bytes) -> None:
        """Take in a response that came while no command was waiting for an answer; raises like `hear`."""
        if b"\n" in line:
            # Flags hold no literals; whatever it is, everything has to be looked at again.
            self.stirred = True
            if self.follower is not None:
                self.follower.broken = True
            return
        found = _NEWS_LINE.fullmatch(line)
        if found is not None:
            number, kind, vanished, rest = found.groups()
            record = number + b" " + rest if kind and kind.upper() == b"FETCH" else number or rest
            self.hear((kind or vanished).decode("ascii").upper(), record)

    def _is_news(self, record: Record) -> bool:
        """Tell whether a FETCH response may say more than somebody knows who was told the state of `highest_modseq`.

        Either nobody asked for it (RFC 9051 section 7.5.2), or the message changed before the answer to who did.
        """
        line = record if isinstance(record, bytes) else record[0]
        if is_only_flags(line):
            return True
        found = _MODSEQ.search(line)
        return found is not None and int(found[1]) > (self.highest_modseq or 0)
