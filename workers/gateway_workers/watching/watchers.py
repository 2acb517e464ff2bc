"""The watchers of all accounts that this worker owns."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from math import ceil

from redis.exceptions import RedisError

from gateway_workers.ownership import Listener
from gateway_workers.watching.account import AccountWatcher
from gateway_workers.watching.tools import WatchTools


class Watchers(Listener):
    """Watches what is owned, from the moment it is gained until it is lost."""

    def __init__(self, tools: WatchTools) -> None:
        """Begin without accounts."""
        self._tools = tools
        self._watchers: dict[str, AccountWatcher] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._unchecked: list[str] = []

    @property
    def connections(self) -> int:
        """How many mailboxes are watched over a connection."""
        return self.by_account.total()

    @property
    def by_account(self) -> Counter[str]:
        """The same for each account."""
        return Counter({account: watcher.connections for account, watcher in self._watchers.items()})

    async def on_gained(self, account: str, epoch: int) -> None:
        """Watch an account; in a new epoch, anew."""
        watcher = self._watchers.get(account)
        if watcher is not None and watcher.epoch >= epoch:
            return
        watcher = self._watchers[account] = AccountWatcher(self._tools, account, epoch)
        self._tasks[account] = asyncio.create_task(_run(watcher, after=self._tasks.get(account)))

    async def on_lost(self, account: str) -> None:
        """Let go of an account."""
        self._watchers.pop(account, None)
        task = self._tasks.pop(account, None)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def on_drop(self, account: str) -> None:
        """Connect an account anew."""
        watcher = self._watchers.get(account)
        if watcher is not None:
            watcher.restart()

    async def on_kick(self, account: str) -> None:
        """Look at the watched mailboxes of an account."""
        watcher = self._watchers.get(account)
        if watcher is not None:
            watcher.kick()

    async def on_push(self, account: str) -> None:
        """Look at what the account's service called for."""
        watcher = self._watchers.get(account)
        if watcher is not None:
            watcher.called()

    async def connect(self, account: str) -> bool:
        """Begin to connect an account; False when it is not this worker's."""
        watcher = self._watchers.get(account)
        if watcher is not None:
            await watcher.connect()
        return watcher is not None

    def sync(self, account: str) -> bool:
        """Begin to look at every mailbox of an account; False when it is not this worker's."""
        watcher = self._watchers.get(account)
        if watcher is not None:
            watcher.sync()
        return watcher is not None

    async def run(self) -> None:
        """Tell the watchers the time, and look after their marks in Redis, until cancelled."""
        while True:
            await self._tools.sleep(self._tools.periods.tick)
            await self._tools.unconfirm_stale()
            await self._tools.note_signs()
            now = self._tools.clock()
            for watcher in self._watchers.values():
                watcher.tick(now)
            with contextlib.suppress(RedisError, OSError):
                await self._check_epochs()

    async def _check_epochs(self) -> None:
        """Have the accounts begin again whose index was lost, or that others own; some at each tick, all in a while.

        One that is lost is rarely the only one: then all are looked at, at once.
        """
        if not self._unchecked:
            self._unchecked = list(self._watchers)
        share = ceil(len(self._watchers) * self._tools.periods.tick / self._tools.periods.probe)
        accounts, self._unchecked = self._unchecked[:share], self._unchecked[share:]
        if await self._restart_lost(accounts):
            self._unchecked = []
            await self._restart_lost(list(self._watchers))

    async def _restart_lost(self, accounts: Sequence[str]) -> bool:
        """Restart those of some accounts that have to begin again, and tell whether there are any."""
        lost = False
        epochs = await asyncio.gather(*map(self._tools.index.epoch, accounts))
        for account, epoch in zip(accounts, epochs, strict=True):
            watcher = self._watchers.get(account)
            if watcher is not None and epoch != watcher.epoch:
                lost = watcher.restart() or lost
        return lost


async def _run(watcher: AccountWatcher, *, after: asyncio.Task[None] | None) -> None:
    """Run a watcher when the one before has let go of the account."""
    if after is not None:
        after.cancel()
        await asyncio.wait({after})
    await watcher.run()
