"""Sets of UIDs as commands carry them (RFC 9051 section 9, sequence-set)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

# A command does one part at a time, so that little is in doubt when the connection breaks in the middle.
_MOST_UIDS = 1000
# RFC 7162 section 4: servers take command lines of 8192 octets.
_MOST_OCTETS = 7000


class UidSet(NamedTuple):
    """UIDs, ascending, and how a command names them."""

    uids: tuple[int, ...]
    octets: bytes


def uid_sets(uids: Iterable[int]) -> Iterator[UidSet]:
    """Split UIDs, in ascending order, into sets that each fit into a command."""
    chosen: list[int] = []
    parts: list[bytes] = []
    length = 0
    for span in _spans(uids):
        part = b"%d" % span.start if len(span) == 1 else b"%d:%d" % (span.start, span.stop - 1)
        if chosen and (len(chosen) + len(span) > _MOST_UIDS or length + len(part) + 1 > _MOST_OCTETS):
            yield UidSet(tuple(chosen), b",".join(parts))
            chosen, parts, length = [], [], 0
        chosen += span
        parts.append(part)
        length += len(part) + 1
    if chosen:
        yield UidSet(tuple(chosen), b",".join(parts))


def expanded(octets: bytes) -> list[int]:
    """Return the UIDs of a set in its own order (RFC 4315 section 3: that of COPYUID means something).

    Raises:
        ValueError: not a set of UIDs.
    """
    uids: list[int] = []
    for part in octets.split(b","):
        low, _, high = part.partition(b":")
        first, last = int(low), int(high or low)
        uids += range(first, last + 1) if first <= last else range(first, last - 1, -1)
    return uids


def _spans(uids: Iterable[int]) -> Iterator[range]:
    """Return runs of UIDs without gaps, none longer than a command may hold."""
    start = end = 0
    for uid in sorted(set(uids)):
        if start and uid == end and end - start < _MOST_UIDS:
            end += 1
            continue
        if start:
            yield range(start, end)
        start, end = uid, uid + 1
    if start:
        yield range(start, end)
