"""The provider for Outlook over Microsoft Graph."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote
from weakref import WeakValueDictionary

import msgspec

from gateway.errors import AppRefusedError, MailboxUnavailableError, Remedy
from gateway.provider import (
    Account,
    Capability,
    Environment,
    Notification,
    OAuth2App,
    Provider,
    Session,
    SessionContext,
    SubmissionLimits,
)
from gateway_microsoft import EXCHANGE_LIMITS, cloud_of
from gateway_outlook_graph.budget import Budget
from gateway_outlook_graph.client import GraphClient
from gateway_outlook_graph.gate import Gate
from gateway_outlook_graph.limits import Limits
from gateway_outlook_graph.pace import Pace
from gateway_outlook_graph.pushing import read_notifications
from gateway_outlook_graph.session import GraphSession
from gateway_outlook_graph.transport import Pools

# Where accounts are whose access tokens come from elsewhere, without an app.
_DEFAULT_CLOUD = "global"
_APP_ONLY = "outlookService"
_VERSION = "v1.0"


class OutlookGraphProvider(Provider):
    """Mailboxes on Exchange Online, opened over Graph for a person who signed in, or for an app by itself."""

    name: ClassVar[str] = "outlook_graph"
    app_types: ClassVar[frozenset[tuple[str, str]]] = frozenset({("outlook", "api"), ("outlookService", "api")})
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.SEARCH,
            Capability.FLAGS,
            Capability.LABELS,
            Capability.MOVE,
            Capability.COPY,
            Capability.DELETE,
            Capability.APPEND,
            Capability.MAILBOXES,
            Capability.SUBMIT,
            Capability.DRAFTS,
            Capability.CHANGES,
            Capability.WATCH,
            Capability.PUSH,
        }
    )
    # https://learn.microsoft.com/graph/api/user-sendmail: saveToSentItems is true by default.
    saves_sent_copy: ClassVar[bool] = True
    # Of one mailbox, whichever way it sends. What is at once is up to `gate`: there is no connection for sending.
    submission_limits: ClassVar[SubmissionLimits | None] = msgspec.structs.replace(EXCHANGE_LIMITS, connections=None)

    def __init__(
        self,
        environment: Environment,
        *,
        limits: Limits | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare.

        Args:
            environment: its data directory may hold an own clouds file.
            limits: deadlines, for tests.
            sleep: waits between two tries.
            clock: monotonic seconds.
        """
        self._data_dir = environment.data_dir
        self._now = environment.clock
        self._limits = limits or Limits()
        self._sleep = sleep
        self._clock = clock
        self._pools = Pools(self._limits)
        self._gates: WeakValueDictionary[tuple[asyncio.AbstractEventLoop, str, str], Gate] = WeakValueDictionary()
        self._paces: WeakValueDictionary[tuple[asyncio.AbstractEventLoop, str, str], Pace] = WeakValueDictionary()

    def notifications(self, body: bytes) -> Sequence[Notification]:
        """See `Provider.notifications`."""
        return read_notifications(body)

    def open(self, account: Account, context: SessionContext) -> AbstractAsyncContextManager[Session]:
        """See `Provider.open`; connections are made at their first use.

        Raises:
            AppRefusedError: the app's cloud is not known here, or the app asks for permissions of IMAP.
            MailboxUnavailableError: the app needs to be told whose mailbox is meant.
        """
        mailbox = mailbox_path(account, context.app)
        cloud = cloud_of(_DEFAULT_CLOUD if context.app is None else context.app.cloud, self._data_dir)
        return self._opened(account, context, f"{cloud.graph}/{_VERSION}", mailbox, cloud.ca_file)

    @asynccontextmanager
    async def _opened(
        self, account: Account, context: SessionContext, base: str, mailbox: str, ca_file: Path | None
    ) -> AsyncIterator[Session]:
        async with self._pools.borrowed(base, ca_file) as transport:
            client = GraphClient(
                base=base,
                mailbox=mailbox,
                credentials=context.credentials,
                transport=transport,
                gate=self._gate(base, account.shared or account.user or account.id),
                pace=self._pace(base, "" if context.app is None else context.app.client_id),
                limits=self._limits,
                sleep=self._sleep,
                clock=self._clock,
            )
            foreign = account.shared is not None and not _app_only(context.app)
            session = GraphSession(client, account, self._clock, self._now, foreign=foreign)
            try:
                yield session
            finally:
                await session.close()

    def _gate(self, base: str, mailbox: str) -> Gate:
        key = (asyncio.get_running_loop(), base, mailbox.casefold())
        gate = self._gates.get(key)
        if gate is None:
            limits = self._limits
            budget = Budget(limits.calls, limits.window, self._clock)
            gate = self._gates[key] = Gate(limits.parallel, limits.floor, budget, self._clock)
        return gate

    def _pace(self, base: str, app: str) -> Pace:
        key = (asyncio.get_running_loop(), base, app)
        pace = self._paces.get(key)
        if pace is None:
            pace = self._paces[key] = Pace(self._clock)
        return pace


def mailbox_path(account: Account, app: OAuth2App | None) -> str:
    """Return the path of an account's mailbox.

    Raises:
        AppRefusedError: the app asks for permissions of IMAP, whose tokens Graph refuses.
        MailboxUnavailableError: the app signs in as itself, and the account names no mailbox.
    """
    if app is not None and app.base_scopes != "api":
        raise AppRefusedError(_WRONG_SCOPES.title, native_code=_WRONG_SCOPES.code, remedy=_WRONG_SCOPES)
    whose = account.shared or (account.user if _app_only(app) else "")
    if _app_only(app) and not whose:
        raise MailboxUnavailableError(_NO_MAILBOX.title, native_code=_NO_MAILBOX.code, remedy=_NO_MAILBOX)
    return f"/users/{quote(whose, safe='@')}" if whose else "/me"


def _app_only(app: OAuth2App | None) -> bool:
    return app is not None and app.provider == _APP_ONLY


_WRONG_SCOPES = Remedy(
    code="wrong_base_scopes",
    title="the app asks for permissions of IMAP and SMTP, not of Microsoft Graph",
    who="app_owner",
    steps=('Use an app with the base scopes "api"; one app cannot have both.',),
)
_NO_MAILBOX = Remedy(
    code="no_mailbox",
    title="the app signs in as itself and has to be told whose mailbox to open",
    who="operator",
    steps=("Name the mailbox as the user of the account.",),
)
