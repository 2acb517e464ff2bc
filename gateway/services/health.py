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
from gateway.provider import Clock
from gateway.services.last_error import last_error, state_after
from gateway.store.accounts import AccountStore
from gateway.store.due import DueStore, DueWork

log = structlog.get_logger(__name__)

FIRST_DELAY = timedelta(seconds=2)
LONGEST_DELAY = timedelta(minutes=10)

#: Errors that time or somebody else can mend, so that it is worth asking again now and then.
_MENDABLE = (AppRefusedError, ConsentRequiredError, MailboxUnavailableError)


class HealthService:
    """Keeps state and last error of accounts, and plans the next try."""

    def __init__(self, accounts: AccountStore, due: DueStore, clock: Clock) -> None:
        self._accounts = accounts
        self._due = due
        self._clock = clock

    async def connecting(self, account: str) -> None:
        """A worker begins to connect."""
        state = await self._accounts.state(account)
        if state is not None and state[0] != "connected":
            await self._accounts.set_state(account, "connecting", state[1])

    async def connected(self, account: str) -> None:
        """The account was reached, logged in and answered."""
        if await self._accounts.set_state(account, "connected", None):
            await self._accounts.note_connected(account, self._clock())
        await self._accounts.set_failures(account, 0)
        await self._due.done(DueWork("account.connect", account))

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
        if not await self._accounts.set_state(account, state_after(error), described):
            return
        log.warning("account_failed", account=account, error=type(error).__name__, code=error.error_code)
        if isinstance(error, AccountError) and not isinstance(error, _MENDABLE):
            await self._due.done(DueWork("account.connect", account))
            return
        failures = await self._accounts.count_failure(account)
        await self._due.put(DueWork("account.connect", account), self._clock() + delay(failures))


def delay(failures: int) -> timedelta:
    """Return how long to wait after so many failures in a row: doubling, bounded, with a fifth of jitter."""
    base = min(LONGEST_DELAY, FIRST_DELAY * (1 << min(failures, 12)))
    return base * random.uniform(0.8, 1.2)
