"""What watchers work with."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec
from redis.exceptions import RedisError

from gateway.provider import Clock
from gateway.services.container import Services
from gateway.services.events import EventService
from gateway.services.health import HealthService
from gateway.services.metrics import Durations
from gateway.services.push import PushService
from gateway.services.sessions import SessionService
from gateway.services.sync import AccountSync, Owned
from gateway.store.accounts import AccountStore
from gateway.store.index import BoxRecord, IndexStore, Mark
from gateway.store.signs import SignStore
from gateway_workers.watching.ramp import Ramp


class Periods(msgspec.Struct, frozen=True, kw_only=True):
    """Times of watching, in seconds.

    Attributes:
        probe: between two questions whether the other side of a connection is still there.
        answer: in which it has to answer. Together they are the longest time that a dead connection goes unnoticed.
        pushed: between two looks at a watched mailbox whose service calls when something happens.
        mailboxes: between two questions whether an account's mailboxes are still the same, while they are watched.
        full_pass: between two looks at every mailbox of an account, give or take a fifth.
        full_pass_again: after one that failed.
        survival: for which a connection must have lived to count as sound: its loss is no failure then.
        tick: between two looks at the clock.
        report: between two reports of figures for metrics.
        retry: before an account is tried again when its own state could not be read.
    """

    probe: float = 30.0
    answer: float = 15.0
    pushed: float = 300.0
    mailboxes: float = 60.0
    full_pass: float = 900.0
    full_pass_again: float = 10.0
    survival: float = 300.0
    tick: float = 1.0
    report: float = 5.0
    retry: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchTools:
    """Services, limits and clocks of all watchers of one worker.

    Attributes:
        ramp: entered by accounts that connect, or look at all their mailboxes.
        clock: monotonic seconds.
        durations: how long looks at mailboxes take.
        stale: marks that could not be taken off while Redis was away: account, path and epoch.
        alive: accounts that gave a sign of life since that was last noted.
        synced: accounts of which a mailbox was taken in since then.
    """

    accounts: AccountStore
    signs: SignStore
    sessions: SessionService
    index: IndexStore
    sync: AccountSync
    events: EventService
    health: HealthService
    push: PushService
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float]
    now: Clock
    periods: Periods
    ramp: Ramp
    durations: Durations = field(default_factory=Durations)
    stale: set[tuple[str, str, int]] = field(default_factory=set)
    alive: set[str] = field(default_factory=set)
    synced: set[str] = field(default_factory=set)

    async def confirm(self, owned: Owned, box: BoxRecord, *, dirty: int, cursor_kind: str) -> None:
        """Mark a mailbox, see `IndexStore.confirm`."""
        # What is left to do of an earlier mark would take this one off.
        self.stale.discard((owned.account, box.path, owned.epoch))
        mark = Mark(owned.epoch, cursor_kind, box.uid_validity or 0)
        await self.index.confirm(owned.account, box.path, mark, dirty=dirty)

    async def unconfirm(self, account: str, path: str, epoch: int) -> None:
        """Take the mark of this epoch off a mailbox, now or as soon as Redis is back."""
        try:
            await self.index.unconfirm(account, path, epoch)
        except (RedisError, OSError):
            self.stale.add((account, path, epoch))

    async def unconfirm_stale(self) -> None:
        """Take off the marks that could not be taken off before, except those that were set anew since."""
        for mark in list(self.stale):
            if mark in self.stale:
                self.stale.discard(mark)
                await self.unconfirm(*mark)
            if mark in self.stale:
                return  # Redis is still away

    async def note_signs(self) -> None:
        """Note who gave signs of life since the last call, all together."""
        alive, synced = frozenset(self.alive | self.synced), frozenset(self.synced)
        self.alive.clear()
        self.synced.clear()
        with contextlib.suppress(RedisError, OSError):
            await self.signs.note(self.now(), alive=alive, synced=synced)


def watch_tools(services: Services, busy: Callable[[], bool], *, periods: Periods | None = None) -> WatchTools:
    """Take what watchers need out of the services; `busy` as of `Ramp`."""
    return WatchTools(
        accounts=services.account_store,
        signs=services.signs,
        sessions=services.sessions,
        index=services.index,
        sync=services.sync,
        events=services.events,
        health=services.account_health,
        push=services.push,
        clock=asyncio.get_running_loop().time,
        now=services.clock,
        periods=periods or Periods(),
        ramp=Ramp(busy),
    )
