"""How the accounts are, all together."""

from __future__ import annotations

import asyncio
from datetime import datetime

from gateway.model.account import AccountState, StateOverview
from gateway.store.accounts import AccountStore
from gateway.store.signs import Signs, SignStore


class OverviewService:
    """Looks at every account."""

    def __init__(self, accounts: AccountStore, signs: SignStore) -> None:
        self._accounts = accounts
        self._signs = signs

    async def states(self) -> dict[AccountState, StateOverview]:
        """Return how many accounts are in each state, and since when the quietest of them has been silent."""
        summaries, alive = await asyncio.gather(self._accounts.summaries(), self._signs.all_alive())
        times: dict[AccountState, list[datetime | None]] = {}
        for account, summary in summaries.items():
            times.setdefault(summary.state, []).append(alive.get(account))
        return {
            state: StateOverview(count=len(heard), silent_since=None if None in heard else min(filter(None, heard)))
            for state, heard in times.items()
        }

    async def signs(self, account: str) -> Signs:
        """Return when one account was last heard from, and when its mail was last looked at."""
        (found,) = await self._signs.of([account])
        return found
