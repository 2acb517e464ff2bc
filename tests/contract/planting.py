"""How a bug is planted: as the session, identity, provider or suite of one conformance suite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from gateway.testing.conformance.base import Conformance
from gateway_maildir import MaildirProvider, MaildirSession
from tests.contract.memory_provider import MemoryIdentity, MemoryIdentityProvider, MemoryProvider, MemorySession
from tests.contract.suites import MaildirSuite, MemoryIdentitySuite, MemorySuite

__all__ = ["PLANTED", "SUITES", "Planted", "breaks"]

T = TypeVar("T", bound=type)


@dataclass(frozen=True)
class Planted:
    """One bug: the suite it is planted in, and the test (with its parameter) that must fail there."""

    suite: str
    test: str
    parameter: str | None = None


PLANTED: list[Planted] = []
SUITES: dict[str, type[Conformance]] = {}
#: A bug is one of these; it stands in that suite as that member.
_PLACES: tuple[tuple[type, type[Conformance], str], ...] = (
    (MaildirSession, MaildirSuite, "session_type"),
    (MaildirProvider, MaildirSuite, "provider_type"),
    (MemorySession, MemorySuite, "session_type"),
    (MemoryProvider, MemorySuite, "provider_type"),
    (MemoryIdentity, MemoryIdentitySuite, "identity_type"),
    (MemoryIdentityProvider, MemoryIdentitySuite, "provider_type"),
)


def breaks(test: str, *parameters: str) -> Callable[[T], T]:
    """Plant the decorated session, provider, identity or suite, and expect `test` to fail."""

    def plant(bug: T) -> T:
        name = f"Test{bug.__name__}"
        if issubclass(bug, Conformance):
            SUITES[name] = type(name, (bug,), {})
        else:
            suite, member = next((suite, member) for kind, suite, member in _PLACES if issubclass(bug, kind))
            SUITES[name] = type(name, (suite,), {member: bug})
        PLANTED.extend(Planted(name, test, parameter) for parameter in (parameters or (None,)))
        return bug

    return plant
