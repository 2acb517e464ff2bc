"""Declared means it works; undeclared means it raises."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.errors import UnsupportedOperationError
from gateway.model.message import FlagUpdate, SearchQuery
from gateway.provider import Capability, Envelope, PageRequest, Provider, Session
from gateway.testing.conformance.base import Deliver, arrived
from gateway.testing.conformance.samples import numbered

__all__ = ["OPERATIONS", "CapabilityConformance", "Operation"]

_FLAGS = FlagUpdate(add=("\\Flagged",))
_ENVELOPE = Envelope(mail_from="zoe@example.org", rcpt_to=("bob@example.org",))


@dataclass(frozen=True)
class Operation:
    """An optional operation and a plausible call of it, given the session, a message and a mailbox."""

    capability: Capability
    name: str
    call: Callable[[Session, str, str], Awaitable[Any]]


OPERATIONS = (
    Operation(Capability.SEARCH, "search", lambda s, id, box: s.search(box, SearchQuery(subject="x"), PageRequest())),
    Operation(Capability.FLAGS, "update_flags", lambda s, id, box: s.update_flags(id, _FLAGS)),
    Operation(Capability.LABELS, "update_labels", lambda s, id, box: s.update_labels(id, FlagUpdate(add=("Red",)))),
    Operation(Capability.MOVE, "move", lambda s, id, box: s.move(id, box)),
    Operation(Capability.COPY, "copy", lambda s, id, box: s.copy(id, box)),
    Operation(Capability.DELETE, "delete", lambda s, id, box: s.delete(id)),
    Operation(Capability.APPEND, "append", lambda s, id, box: s.append(box, numbered(2))),
    Operation(Capability.MAILBOXES, "create_mailbox", lambda s, id, box: s.create_mailbox("New")),
    Operation(Capability.MAILBOXES, "rename_mailbox", lambda s, id, box: s.rename_mailbox(box, "New")),
    Operation(Capability.MAILBOXES, "delete_mailbox", lambda s, id, box: s.delete_mailbox(box)),
    Operation(Capability.SUBSCRIBE, "subscribe_mailbox", lambda s, id, box: s.subscribe_mailbox(box, False)),
    Operation(Capability.SUBMIT, "check_submit", lambda s, id, box: s.check_submit()),
    Operation(Capability.SUBMIT, "submit", lambda s, id, box: s.submit(numbered(2), _ENVELOPE)),
    Operation(Capability.DRAFTS, "submit_draft", lambda s, id, box: s.submit_draft(id)),
    Operation(Capability.CHANGES, "changes", lambda s, id, box: s.changes(box, None)),
    Operation(Capability.CHANGES, "entries", lambda s, id, box: s.entries(box, [id])),
    Operation(Capability.WATCH, "watch", lambda s, id, box: s.watch(box)),
    Operation(Capability.PUSH, "push", lambda s, id, box: s.push()),
    Operation(Capability.QUOTA, "quota", lambda s, id, box: s.quota()),
    Operation(Capability.SIGNATURES, "signatures", lambda s, id, box: s.signatures()),
)
_EACH = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


class CapabilityConformance:
    """What a provider says of itself."""

    def test_name_is_a_lowercase_identifier(self, provider: Provider) -> None:
        """The name stands in configuration, logs and metrics."""
        assert re.fullmatch(r"[a-z][a-z0-9_]*", provider.name)

    def test_capabilities_are_known_and_consistent(self, provider: Provider) -> None:
        """The gateway asks by `Capability`; and a watch is only a hint to ask for changes, useless without them."""
        assert all(isinstance(capability, Capability) for capability in provider.capabilities)
        if Capability.WATCH in provider.capabilities:
            assert Capability.CHANGES in provider.capabilities
        if Capability.PUSH in provider.capabilities:
            assert Capability.WATCH in provider.capabilities

    @_EACH
    async def test_declared_operation_is_implemented(
        self, provider: Provider, session: Session, operation: Operation
    ) -> None:
        """A client that was told it can search must not learn otherwise from an error."""
        if operation.capability not in provider.capabilities:
            pytest.skip(f"{provider.name} does not declare {operation.capability}")
        assert getattr(type(session), operation.name) is not getattr(Session, operation.name)

    @_EACH
    async def test_undeclared_operation_is_refused(
        self, provider: Provider, session: Session, deliver: Deliver, inbox: str, operation: Operation
    ) -> None:
        """Silence would look like success, and what works without being declared works by accident."""
        if operation.capability in provider.capabilities:
            pytest.skip(f"{provider.name} declares {operation.capability}")
        message = await arrived(session, deliver, inbox, numbered(1))
        with pytest.raises(UnsupportedOperationError):
            await operation.call(session, message.id, inbox)
