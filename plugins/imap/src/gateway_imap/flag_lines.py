"""FETCH responses that tell UID and flags and nothing else: ten thousand of them when a mailbox is compared.

A line costs a regular expression and a look into a table; whatever is not in the usual form is left to `fetch_parser`,
which gives the same values.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gateway_imap.entries import visible_flags, visible_labels
from gateway_imap.fetch_parser import Attributes, Record, UnusualError, fast_values, parse_fetch

Flags = tuple[str, ...]

_NUMBER = rb"([1-9]\d{0,9})"
_UID = rb"UID ([1-9]\d{0,8}|[1-3]\d{9})"
_FLAGS = rb"FLAGS \(([^()\r\n]*)\)"
_MODSEQ = rb"MODSEQ \(\d+\)"
_USUAL = re.compile(
    rb"\* %b FETCH \((?:%b )?(?:%b )?%b(?: %b)?(?: %b)?\)" % (_NUMBER, _UID, _MODSEQ, _FLAGS, _UID, _MODSEQ)
)
# The flags have to stand first, where no text of a mail can have been before.
_STARTS_USUAL = re.compile(rb"%b \((?:%b )?%b[ )]" % (_NUMBER, _UID, _FLAGS))
_ONLY_FLAGS = re.compile(rb"\d+ \((?:(?:UID \d+|FLAGS \([^()]*\)|MODSEQ \(\d+\))(?: |(?=\))))+\)")
_REMEMBERED = 10_000
_known: dict[bytes, Flags] = {}


class Told(NamedTuple):
    """What a response tells of a message; None where it does not."""

    number: int
    uid: int | None
    flags: Flags | None
    labels: tuple[str, ...] = ()


def read_flag_line(line: bytes) -> Told | None:
    """Return what a whole line without its end tells; None when it has to be read in another way."""
    found = _USUAL.fullmatch(line)
    if found is None:
        return None
    number, uid, octets, uid_after = found.groups()
    uid = uid or uid_after
    flags = _known.get(octets)
    if flags is None and (flags := _flags(octets)) is None:
        return None
    return Told(int(number), int(uid) if uid else None, flags)


def read_told(records: list[Record]) -> Told:
    """Return what a FETCH response of any form tells.

    Args:
        records: what imaplib collected of one response.

    Raises:
        ProtocolError: not a FETCH response.
    """
    first = records[0][0] if isinstance(records[0], tuple) else records[0]
    if (found := _STARTS_USUAL.match(first)) is not None:
        flags = _flags(found[3])
        if flags is not None:
            return Told(int(found[1]), int(found[2]) if found[2] else None, flags)
    ((number, row),) = parse_fetch(records)
    return told(number, row)


def is_only_flags(line: bytes) -> bool:
    """Tell whether a FETCH response, from its number on, has nothing but flags, UID and modification sequence."""
    return _ONLY_FLAGS.fullmatch(line) is not None


def told(number: int, row: Attributes) -> Told:
    """Return what parsed attributes tell."""
    uid, flags = row.get("UID"), row.get("FLAGS")
    return Told(
        number,
        uid if isinstance(uid, int) and 0 < uid < 2**32 else None,
        visible_flags(flags) if isinstance(flags, list) else None,
        visible_labels(row.get("X-GM-LABELS")),
    )


def _flags(octets: bytes) -> Flags | None:
    flags = _known.get(octets)
    if flags is None:
        try:
            flags = visible_flags(fast_values(b"(" + octets + b")")[0])
        except UnusualError:
            return None
        if len(_known) >= _REMEMBERED:
            _known.clear()
        _known[octets] = flags
    return flags
