"""Pacing: mail is handed over no faster than the mail service takes it from one mailbox."""

from __future__ import annotations

import contextlib
from datetime import timedelta

from gateway.errors import GatewayError
from gateway.model.submission import OutboxEntry
from gateway.provider import Clock
from gateway.redis import UNREACHABLE
from gateway.services.sessions import SessionService, contract_account
from gateway.store.accounts import AccountStore
from gateway.store.pace import HandOver, PaceStore


class PaceService:
    """Allows hand-overs, by `Provider.submission_limits`."""

    def __init__(self, accounts: AccountStore, sessions: SessionService, pace: PaceStore, clock: Clock) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._pace = pace
        self._clock = clock

    async def claim(self, entry: OutboxEntry, *, bulk: bool) -> HandOver | timedelta | None:
        """Return a hand-over that is allowed now and has to be released, or how long the entry has to wait.

        None where nothing is limited: what a relay sends says nothing of the mailbox.

        Args:
            entry: what is to be sent.
            bulk: it is one of many; a part of the limit is kept for mail that is not.
        """
        stored = await self._accounts.get(entry.account) if entry.gateway is None else None
        if stored is None:
            return None
        try:
            _, provider = await self._sessions.provider(stored.config)
            if provider.submission_limits is None:
                return None
            login = contract_account(stored.config, provider).user
        except GatewayError:
            # Handing over meets it again, and is where it is told.
            return None
        wanted = HandOver(
            limits=provider.submission_limits,
            login=login,
            account=entry.account,
            queue_id=entry.queue_id,
            attempt=entry.attempts_made,
            kind="bulk" if bulk else "single",
        )
        return await self._pace.claim(wanted, self._clock()) or wanted

    async def release(self, ended: HandOver | None) -> None:
        """Note that a hand-over has ended, well or not."""
        if ended is not None:
            # What became of the message counts more; the claim ends by itself.
            with contextlib.suppress(*UNREACHABLE):
                await self._pace.release(ended, self._clock())
