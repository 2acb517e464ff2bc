"""Ugly messages of every class that mail in the wild knows, and what has to be read from each.

`samples` returns all of them. Every member of a `Sample` is checked; the defaults are what `letter` writes.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.samples.torture import addresses, attachments, charsets, encodings, headers, structures
from tests.samples.torture.building import Sample


def samples() -> list[Sample]:
    """Return all samples; names are unique."""
    found = list(_all())
    assert len({sample.name for sample in found}) == len(found)
    return found


def _all() -> Iterator[Sample]:
    for module in (charsets, encodings, headers, addresses, structures, attachments):
        for sample in module.samples():
            yield sample.named(module.__name__.rpartition(".")[2])
