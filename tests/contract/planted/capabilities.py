"""Bugs in what a provider says of itself."""

from __future__ import annotations

from gateway.provider import Capability, Session
from gateway.testing.conformance.capabilities import OPERATIONS
from gateway_maildir import MaildirProvider
from tests.contract.memory_provider import MemoryProvider, MemorySession
from tests.contract.planting import breaks
from tests.contract.suites import MaildirSuite

_OPERATIONS = [operation.name for operation in OPERATIONS]


@breaks("test_name_is_a_lowercase_identifier")
class NameOfABrand(MemoryProvider):
    name = "Memory 365"


@breaks("test_capabilities_are_known_and_consistent")
class CapabilitiesAreStrings(MaildirProvider):
    capabilities = frozenset({"flags"})  # type: ignore[arg-type]


@breaks("test_capabilities_are_known_and_consistent")
class WatchesWithoutChanges(MaildirProvider):
    capabilities = frozenset({Capability.WATCH})


@breaks("test_undeclared_operation_is_refused", *_OPERATIONS)
class DeclaresNothing(MemoryProvider):
    capabilities = frozenset()


@breaks("test_declared_operation_is_implemented", *_OPERATIONS)
class ImplementsNothing(MemorySession):
    pass


for _name in _OPERATIONS:
    setattr(ImplementsNothing, _name, getattr(Session, _name))


@breaks("test_no_standard_test_is_overridden")
class SilentWaiver(MaildirSuite):
    async def test_source_is_unchanged(self) -> None:  # type: ignore[override]
        """Nothing is tested."""
