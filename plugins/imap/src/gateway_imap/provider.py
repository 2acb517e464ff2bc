"""The provider for any IMAP server with its submission server."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import ClassVar

import msgspec

from gateway.model.server import Server
from gateway.provider import Account, Capability, Provider, Session, SessionContext
from gateway.smtp import Timeouts
from gateway_imap.dialing import ImapTimeouts
from gateway_imap.ids import CURSOR_KIND
from gateway_imap.opening import open_session


class ImapAccountSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where an account's servers are; an account may have only one of them."""

    imap: Server | None = None
    smtp: Server | None = None


class ImapProvider(Provider):
    """Mailboxes on IMAP servers, opened with a password or an access token that somebody else manages."""

    name: ClassVar[str] = "imap"
    settings_key: ClassVar[str | None] = "imap"
    settings_type: ClassVar[type[msgspec.Struct] | None] = ImapAccountSettings
    cursor_kind: ClassVar[str | None] = CURSOR_KIND
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.SEARCH,
            Capability.FLAGS,
            Capability.MOVE,
            Capability.COPY,
            Capability.DELETE,
            Capability.APPEND,
            Capability.MAILBOXES,
            Capability.SUBSCRIBE,
            Capability.SUBMIT,
            Capability.CHANGES,
            Capability.WATCH,
            Capability.QUOTA,
        }
    )

    def __init__(self, *, imap_timeouts: ImapTimeouts | None = None, smtp_timeouts: Timeouts | None = None) -> None:
        """Prepare; the timeouts are for tests and for very slow servers."""
        self._imap_timeouts = imap_timeouts
        self._smtp_timeouts = smtp_timeouts

    def open(self, account: Account, context: SessionContext) -> AbstractAsyncContextManager[Session]:
        """See `Provider.open`; connections are made at their first use."""
        settings = account.settings or ImapAccountSettings()
        return open_session(
            account=account,
            context=context,
            imap=settings.imap,
            smtp=settings.smtp,
            imap_timeouts=self._imap_timeouts,
            smtp_timeouts=self._smtp_timeouts,
        )
