"""What the outcome of work on an account says about the account.

Throttling, timeouts and refusals of single messages say nothing. A refused grant parks the account until somebody
acts. A server that cannot be reached is tried again, later and later.
"""

from __future__ import annotations

import random
from datetime import timedelta

import structlog

from gateway.errors import (
    AccountError,
    AppRefusedError,
    ConnectError,
    ConsentRequiredError,
    MailboxUnavailableError,
    RateLimitError,
    TransientError,
)
from gateway.model.account import AccountState, PasswordAuth
from gateway.model.account_errors import LastError
from gateway.model.event import (
    AccountInitializedData,
    AuthenticationErrorData,
    AuthenticationSuccessData,
    ConnectErrorData,
    Event,
)
from gateway.provider import Clock
from gateway.services.events import EventService
from gateway.services.last_error import last_error, state_after
from gateway.store.accounts import SUCCESS, AccountConfig, AccountStore
from gateway.store.due import DueStore, DueWork
from gateway.store.signs import SignStore

log = structlog.get_logger(__name__)

FIRST_DELAY = timedelta(seconds=2)
LONGEST_DELAY = timedelta(minutes=10)

#: Between the loss of a connection and the next try; the server let us in a moment ago.
LONGEST_PAUSE = timedelta(seconds=30)

#: Errors that time or somebody else can mend, so that it is worth asking again now and then.
_MENDABLE = (AppRefusedError, ConsentRequiredError, MailboxUnavailableError)


class HealthService:
    """Keeps state and last error of accounts, and plans the next try."""

    def __init__(
        self, accounts: AccountStore, signs: SignStore, due: DueStore, events: EventService, clock: Clock
    ) -> None:
        self._accounts = accounts
        self._signs = signs
        self._due = due
        self._events = events
        self._clock = clock

    async def connecting(self, account: str) -> None:
        """A worker begins to connect."""
        state = await self._accounts.state(account)
        if state is not None and state[0] != "connected":
            await self._accounts.set_state(account, "connecting", state[1])

    async def syncing(self, account: str) -> None:
        """The account was reached and logged in; its mailboxes are looked at for the first time."""
        await self._accounts.set_state(account, "syncing", None)

    async def connected(self, account: str) -> None:
        """The account was reached, logged in and answered."""
        if await self._accounts.set_state(account, "connected", None):
            await self._signs.note(self._clock(), alive=[account])
            await self._tell_connected(account, await self._accounts.count_connection(account))
        await self._due.done(DueWork("account.connect", account))

    async def proven(self, account: str) -> None:
        """The connection has lasted: earlier failures count no more. A login alone proves nothing."""
        await self._accounts.set_failures(account, 0)

    async def lost(self, account: str) -> bool:
        """A connection broke before it had proven to last; tell whether to connect again at once.

        The first time in a row, yes: servers end connections now and then. After that, the next one is planned, later
        each time.
        """
        failures = await self._accounts.count_failure(account)
        if failures <= 1:
            return True
        await self._accounts.set_state(account, "connecting", None)
        wait = min(delay(failures), LONGEST_PAUSE)
        await self._due.put(DueWork("account.connect", account), self._clock() + wait)
        return False

    async def postponed(self, account: str, error: TransientError) -> None:
        """An attempt to connect met something that passes and says nothing of the account; plan another one."""
        if isinstance(error, ConnectError):
            return  # judged like any other work on the account
        wait = delay(await self._accounts.count_failure(account))
        if isinstance(error, RateLimitError):
            wait = max(wait, timedelta(seconds=error.retry_after))
        await self._due.put(DueWork("account.connect", account), self._clock() + wait)

    async def outcome(self, account: str, error: BaseException | None) -> None:
        """Judge the outcome of any work on the account."""
        if not isinstance(error, AccountError | ConnectError):
            return
        described = last_error(error, self._clock())
        state = state_after(error)
        if not await self._accounts.set_state(account, state, described):
            return
        if await self._tell_error(account, state, described):
            log.warning("account_failed", account=account, error=type(error).__name__, code=error.error_code)
        if isinstance(error, AccountError) and not isinstance(error, _MENDABLE):
            await self._due.done(DueWork("account.connect", account))
            return
        failures = await self._accounts.count_failure(account)
        await self._due.put(DueWork("account.connect", account), self._clock() + delay(failures))

    async def _tell_connected(self, account: str, connections: int) -> None:
        events: list[Event] = []
        if await self._accounts.swap_report(account, SUCCESS) != SUCCESS:
            stored = await self._accounts.get(account)
            user = _user(stored.config) if stored is not None else None
            events.append(self._events.make("authenticationSuccess", account, AuthenticationSuccessData(user=user)))
        if connections == 1:
            events.append(self._events.make("accountInitialized", account, AccountInitializedData()))
        await self._events.append(account, events)

    async def _tell_error(self, account: str, state: AccountState, error: LastError) -> bool:
        """Tell of an error unless it is the one that was told last; False when it is."""
        report = f"{state} {error.server_response_code}"
        if await self._accounts.swap_report(account, report) == report:
            return False
        response, code, remedy = error.response, error.server_response_code, error.remedy
        if state == "authenticationError":
            refused = AuthenticationErrorData(
                response=response, server_response_code=code, token_request=error.token_request, remedy=remedy
            )
            event = self._events.make("authenticationError", account, refused)
        else:
            unreached = ConnectErrorData(response=response, server_response_code=code, remedy=remedy)
            event = self._events.make("connectError", account, unreached)
        await self._events.append(account, [event])
        return True


def _user(config: AccountConfig) -> str | None:
    if config.oauth2 is not None:
        return config.oauth2.user
    auth = config.imap.auth if config.imap is not None else None
    return auth.user if isinstance(auth, PasswordAuth) else None


def delay(failures: int) -> timedelta:
    """Return how long to wait after so many failures in a row: doubling, bounded, with a fifth of jitter."""
    base = min(LONGEST_DELAY, FIRST_DELAY * (1 << min(failures, 12)))
    return base * random.uniform(0.8, 1.2)
