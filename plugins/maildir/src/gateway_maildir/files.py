"""How Maildir writes down ids, flags and times: in the names of files.

A name is "<unique>:2,<letters>"; the letters are flags.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

from gateway.errors import InvalidIdentifierError
from gateway.provider import MessageState

_LETTERS = {"\\Draft": "D", "\\Flagged": "F", "\\Answered": "R", "\\Seen": "S", "\\Deleted": "T"}
_MAILBOX_NAME = re.compile(r"[^./]+(?:\.[^./]+)*")
_BORN = re.compile(r"(\d{1,18})\.(?:M(\d{1,6}))?(?:P\d+)?(?:Q(\d{1,18}))?")
#: Octets of a name that stands in an id as it is; two of them make an id that fits into a URL of the API.
_LONGEST_IN_ID = 90
_counter = itertools.count(1)


def is_mailbox_name(path: str) -> bool:
    """Tell whether this can be a mailbox; "..", slashes and empty names lead elsewhere."""
    return bool(_MAILBOX_NAME.fullmatch(path)) and path.isprintable() and len(path.encode()) < 250


def encode(*pieces: str) -> str:
    """Make an id for the API: it fits into a URL and needs no table to be read back."""
    octets = "/".join(map(brief, pieces)).encode("utf-8", "surrogateescape")
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def brief(name: str) -> str:
    """Return what stands for a name in an id: the name, or the digest of a long one."""
    octets = name.encode("utf-8", "surrogateescape")
    return name if len(octets) <= _LONGEST_IN_ID else f"#{hashlib.sha256(octets).hexdigest()[:32]}"


def decode(id: str, count: int) -> list[str]:
    """Read an id back into its pieces."""
    try:
        octets = base64.b64decode(id + "=" * (-len(id) % 4), b"-_", validate=True)
    except ValueError as error:
        raise InvalidIdentifierError("not an id of a Maildir message") from error
    pieces = octets.decode("utf-8", "surrogateescape").split("/")
    if len(pieces) != count:
        raise InvalidIdentifierError("not an id of a Maildir message")
    return pieces


def key(file: Path) -> str:
    """Return the unique name, which stays when flags change."""
    return file.name.partition(":")[0]


def position(file: Path) -> int:
    """Return the place in the mailbox: unique names begin with seconds, and mostly tell microseconds and a counter."""
    found = _BORN.match(file.name)
    seconds, microseconds, counter = (int(digits or 0) for digits in found.groups()) if found else (0, 0, 0)
    # 32 bits for the time until 2106 and 21 for the order within a second.
    return min(seconds, 2**32 - 1) << 21 | (microseconds << 1 | counter & 1 if microseconds else counter) & 0x1FFFFF


def place(file: Path) -> str:
    """Return the place in the mailbox as text that sorts like it; two messages never share one."""
    return f"{position(file):016x}{encode(key(file))}"


def state(mailbox: str, file: Path) -> MessageState:
    """Return what can change of a message: its name says it all."""
    return MessageState(id=encode(mailbox, key(file)), position=position(file), flags=flags_of(file))


def flags_of(file: Path) -> tuple[str, ...]:
    """Return the flags in IMAP's words."""
    letters = file.name.partition(":2,")[2]
    return tuple(flag for flag, letter in _LETTERS.items() if letter in letters)


def low(flags: tuple[str, ...] | str | None) -> set[str]:
    """Return flags in lower case, for they are compared without regard to case (RFC 9051 section 2.3.2)."""
    return {flag.lower() for flag in ((flags,) if isinstance(flags, str) else flags or ())}


def named(unique: str, low_flags: set[str]) -> str:
    """Return the file name of a message with these flags; others than Maildir's have no place in it."""
    return f"{unique}:2,{''.join(letter for flag, letter in _LETTERS.items() if flag.lower() in low_flags)}"


def new_name(flags: Sequence[str]) -> str:
    """Return a file name that no other delivery uses."""
    now = time.time_ns() // 1000
    return named(f"{now // 10**6}.M{now % 10**6:06}P{os.getpid()}Q{next(_counter)}.gateway", low(tuple(flags)))
