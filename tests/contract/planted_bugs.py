"""Every suite with a bug in it, and three without.

Not a test module by name: `test_kit_catches_planted_bugs` runs it inside a pytest of its own.
"""

from __future__ import annotations

from tests.contract.planted import (
    bulk,
    capabilities,
    changing,
    content,
    faults,
    history,
    identity,
    listing,
    mailboxes,
    push,
    submission,
)
from tests.contract.planting import SUITES
from tests.contract.suites import MaildirSuite, MemoryIdentitySuite, MemorySuite

__all__ = [
    "bulk",
    "capabilities",
    "changing",
    "content",
    "faults",
    "history",
    "identity",
    "listing",
    "mailboxes",
    "push",
    "submission",
]


class TestSoundMaildir(MaildirSuite):
    """No bug: everything passes."""


class TestSoundMemory(MemorySuite):
    """No bug: everything passes."""


class TestSoundIdentity(MemoryIdentitySuite):
    """No bug: everything passes."""


globals().update(SUITES)
