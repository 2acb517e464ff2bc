"""The tests that every provider passes, and every identity provider.

Subclass `ProviderConformance` in a test module of the plugin, supply its fixtures, run pytest::

    class TestMyProvider(ProviderConformance):
        @pytest.fixture
        def provider(self) -> Provider: ...             # the provider under test

        @pytest.fixture
        def account(self) -> AccountUnderTest: ...      # an account whose inbox is empty

        @pytest.fixture
        def deliver(self) -> Deliver: ...               # puts a message in behind the provider's back

Declared capabilities decide what runs; an operation that is not declared has to be refused, which is tested too. A
provider that submits supplies `submission`, one on a network `faults` (`gateway.testing.worlds`). A standard test may
be waived only by overriding it with ``xfail(reason=...)``.

`IdentityConformance` is the part about OAuth2, for plugins that bring an identity provider. Its fixture is
`identity_world`; a plugin that brings a provider too may supply it in the one suite.
"""

from __future__ import annotations

from gateway.testing.conformance.base import Deliver, ProviderFixtures, requires
from gateway.testing.conformance.bulk import BulkConformance
from gateway.testing.conformance.capabilities import CapabilityConformance
from gateway.testing.conformance.change import ChangeConformance
from gateway.testing.conformance.changes import ChangesConformance
from gateway.testing.conformance.content import ContentConformance
from gateway.testing.conformance.fault import FaultConformance
from gateway.testing.conformance.identity import IdentityConformance
from gateway.testing.conformance.mailboxes import MailboxConformance
from gateway.testing.conformance.push import PushConformance
from gateway.testing.conformance.read import ReadConformance
from gateway.testing.conformance.search import SearchConformance
from gateway.testing.conformance.submit import SubmitConformance
from gateway.testing.context import AccountUnderTest

__all__ = ["AccountUnderTest", "Deliver", "IdentityConformance", "ProviderConformance", "requires"]


class ProviderConformance(
    CapabilityConformance,
    MailboxConformance,
    ReadConformance,
    ContentConformance,
    SearchConformance,
    ChangeConformance,
    BulkConformance,
    SubmitConformance,
    ChangesConformance,
    PushConformance,
    IdentityConformance,
    FaultConformance,
    ProviderFixtures,
):
    """The contract of `gateway.provider`, one promise to a test."""
