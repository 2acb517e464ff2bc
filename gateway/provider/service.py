"""One kind of mail service."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import ClassVar

import msgspec

from gateway.errors import UnsupportedOperationError
from gateway.provider.account import Account, SessionContext
from gateway.provider.push import Notification
from gateway.provider.session import Session
from gateway.provider.structs import Capability, SubmissionLimits


class Provider(ABC):
    """One kind of mail service. Holds no account state.

    Attributes:
        name: a lower-case identifier, unique among the installed plugins.
        app_types: pairs (OAuth2 app provider, base scopes) whose accounts this provider serves; an `IdentityProvider`
            signs them in. Empty for providers that log in with a password.
        capabilities: see `Capability`.
        settings_type: connection settings of one account, validated when an account is created; None for none.
        settings_key: the member of the account payload that holds them, e.g. "imap"; None for OAuth2 providers.
        saves_sent_copy: the service files a copy of submitted mail under ``\\Sent`` by itself.
        submission_limits: how much the service takes from one mailbox; None for no limit. The gateway keeps to it, and
            calls `Session.submit` no earlier.
        cursor_kind: of the cursors of listings, when `gateway.provider.cursors` makes them of `MessageState.position`
            and `Changes.uid_validity`; the gateway can answer for it only then.
    """

    name: ClassVar[str]
    app_types: ClassVar[frozenset[tuple[str, str]]] = frozenset()
    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    settings_type: ClassVar[type[msgspec.Struct] | None] = None
    settings_key: ClassVar[str | None] = None
    saves_sent_copy: ClassVar[bool] = False
    submission_limits: ClassVar[SubmissionLimits | None] = None
    cursor_kind: ClassVar[str | None] = None

    @abstractmethod
    def open(self, account: Account, context: SessionContext) -> AbstractAsyncContextManager[Session]:
        """Open a session; leaving the context closes its connections.

        It may connect here or at the first use; either way it raises as `Session.check` says.
        """

    def notifications(self, body: bytes) -> Sequence[Notification]:
        """Read what the service called with (`Capability.PUSH`); what cannot be understood is left out.

        Raises:
            InvalidRequestError: none of it can be read.
        """
        raise UnsupportedOperationError("the service does not call", capability=Capability.PUSH.value)
