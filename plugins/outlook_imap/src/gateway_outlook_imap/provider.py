"""The provider for Outlook over IMAP and SMTP."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import ClassVar

from gateway.provider import (
    Account,
    Capability,
    Environment,
    Provider,
    Session,
    SessionContext,
    SubmissionLimits,
)
from gateway_imap import ImapProvider, open_session
from gateway_microsoft import EXCHANGE_LIMITS, cloud_of, imap_refusal, smtp_refusal
from gateway_outlook_imap.quirks import EXCHANGE

# Where accounts are whose access tokens come from elsewhere, without an app.
_DEFAULT_CLOUD = "global"


class OutlookImapProvider(Provider):
    """Mailboxes on Exchange Online, opened with OAuth2 for a person who signed in, or for an app by itself."""

    name: ClassVar[str] = "outlook_imap"
    app_types: ClassVar[frozenset[tuple[str, str]]] = frozenset({("outlook", "imap"), ("outlookService", "imap")})
    capabilities: ClassVar[frozenset[Capability]] = ImapProvider.capabilities
    cursor_kind: ClassVar[str | None] = ImapProvider.cursor_kind
    # https://learn.microsoft.com/exchange/clients-and-mobile-in-exchange-online/authenticated-client-smtp-submission:
    # a copy that is appended as well would be a duplicate.
    saves_sent_copy: ClassVar[bool] = True
    submission_limits: ClassVar[SubmissionLimits | None] = EXCHANGE_LIMITS

    def __init__(self, environment: Environment) -> None:
        """Prepare.

        Args:
            environment: its data directory may hold an own clouds file.
        """
        self._data_dir = environment.data_dir

    def open(self, account: Account, context: SessionContext) -> AbstractAsyncContextManager[Session]:
        """See `Provider.open`; connections are made at their first use.

        A shared mailbox is opened by a person who may: IMAP wants the mailbox as user name, with that person's token;
        SMTP wants the person, who then sends as the mailbox.

        Raises:
            AppRefusedError: the app's cloud is not known here.
        """
        cloud = cloud_of(_DEFAULT_CLOUD if context.app is None else context.app.cloud, self._data_dir)
        return open_session(
            account=account,
            context=context,
            imap=cloud.imap,
            smtp=cloud.smtp,
            imap_user=account.shared or account.user or None,
            smtp_user=account.user or None,
            explain_imap=imap_refusal,
            explain_smtp=smtp_refusal,
            quirks=EXCHANGE,
        )
