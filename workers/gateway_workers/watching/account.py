"""One account of this worker, from its connection to its loss, again and again."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack

import msgspec
import structlog
from redis.exceptions import RedisError

from gateway.errors import (
    AccountError,
    ConnectError,
    FencedError,
    GatewayError,
    ResourceNotFoundError,
    ServiceUnavailableError,
    TransientError,
    UnsupportedOperationError,
)
from gateway.model.message import Mailbox
from gateway.provider import Capability, Provider, Session
from gateway.services.sync import Owned
from gateway.store.accounts import StoredAccount
from gateway_workers.watching.callbacks import Callbacks
from gateway_workers.watching.mailbox import MailboxWatch
from gateway_workers.watching.mailbox_list import MailboxList
from gateway_workers.watching.tools import WatchTools

log = structlog.get_logger()

#: States in which an account waits for its next try, or for somebody to act.
_WAITING = ("authenticationError", "connectError", "disconnected", "unset")


class AccountWatcher:
    """Keeps one account connected and watched while this worker owns it.

    When to try again after a failure is planned in one place, `HealthService`: the job that comes of it calls
    `connect`.
    """

    def __init__(self, tools: WatchTools, account: str, epoch: int) -> None:
        """Prepare; `run` begins."""
        self.epoch = epoch
        self._tools = tools
        self._account = account
        self._wanted = asyncio.Event()
        self._full_pass = asyncio.Event()
        self._life: asyncio.Task[None] | None = None
        self._watches: list[MailboxWatch] = []
        self._live_since: float | None = None
        self._lived = 0.0
        self._full_pass_at = 0.0
        # Two passes over one mailbox would tell the same things twice.
        self._looking = asyncio.Lock()
        self._callbacks: Callbacks | None = None

    @property
    def connections(self) -> int:
        """How many mailboxes are watched over a connection."""
        return sum(watch.attached for watch in self._watches)

    async def run(self) -> None:
        """Connect whenever it is wanted, until cancelled."""
        if await self._expected():
            self._wanted.set()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self._life = asyncio.create_task(self._live())
            try:
                await asyncio.wait({self._life})
            finally:
                # Also when this task is cancelled: what holds on to the account has ended when this one has.
                self._life.cancel()
                await asyncio.wait({self._life})
            if not self._life.cancelled():
                await self._after(self._life.exception())

    async def connect(self) -> None:
        """Connect if there is no connection; the account's state tells what became of it.

        A connection that lives says so: another one, which a job had opened, may have made the account look lost.
        """
        if self._life is None or self._life.done():
            self._wanted.set()
        elif self._watches:
            await self._tools.health.connected(self._account)

    def restart(self) -> bool:
        """Give up the connections and build them anew; False when the account waits for its next try instead."""
        if self._life is None or self._life.done():
            return False
        self._wanted.set()
        self._life.cancel()
        return True

    def kick(self) -> None:
        """Look at the watched mailboxes now."""
        for watch in self._watches:
            watch.wake()

    def called(self) -> None:
        """Look at what the account's service called for."""
        if self._callbacks is not None:
            self._callbacks.wake()

    def sync(self) -> None:
        """Look at every mailbox now."""
        if self._life is None or self._life.done():
            self._wanted.set()
        self._full_pass.set()
        self.kick()

    def tick(self, now: float) -> None:
        """Notice what time it is."""
        if not self._watches:
            # The first pass, which looks at everything, has not ended.
            return
        if now >= self._full_pass_at:
            self._full_pass.set()
        for watch in self._watches:
            watch.tick(now)

    async def _expected(self) -> bool:
        """Tell whether the account is to be connected now that it is this worker's."""
        while True:
            try:
                state = await self._tools.accounts.state(self._account)
            except (RedisError, OSError):
                await self._tools.sleep(self._tools.periods.retry)
            else:
                return state is not None and state[0] not in _WAITING

    async def _live(self) -> None:
        """Connect and watch; ends by an error, or when there is nothing to watch."""
        self._lived = 0.0
        tools = self._tools
        try:
            async with AsyncExitStack() as opened:
                async with tools.ramp:
                    stored = await self._begun()
                    if stored is None:
                        return
                    owned = Owned(config=stored.config, epoch=self.epoch, index=stored.index)
                    _, provider = await tools.sessions.provider(stored.config)
                    mailbox_list = MailboxList(tools, self._account, self.sync)
                    watched = await self._watched(opened, owned, provider, mailbox_list)
                if watched:
                    owned = msgspec.structs.replace(owned, index="whole")
                    await self._serve(owned, watched, provider, mailbox_list)
                else:
                    await tools.health.proven(self._account)
        finally:
            if self._live_since is not None:
                self._lived = tools.clock() - self._live_since
            self._live_since, self._watches, self._callbacks = None, [], None

    async def _begun(self) -> StoredAccount | None:
        """Claim the account and tell that it is being connected; None when it is not there, or another's."""
        stored = await self._tools.accounts.get(self._account)
        if stored is None or not await self._fenced():
            return None
        await self._tools.events.announce_missed(self._account)
        await self._tools.health.connecting(self._account)
        return stored

    async def _fenced(self) -> bool:
        """Claim the right to write; False when there is no such account, or another worker has it."""
        try:
            return await self._tools.index.fence(self._account, self.epoch)
        except FencedError:
            log.info("account_fenced", account=self._account)
            return False

    async def _watched(
        self, opened: AsyncExitStack, owned: Owned, provider: Provider, mailbox_list: MailboxList
    ) -> list[tuple[Mailbox, Session]]:
        """Reach the account, look at every mailbox, and return those to watch with their sessions."""
        tools = self._tools
        session = await opened.enter_async_context(await tools.sessions.open(self._account))
        self._full_pass.clear()  # who asks for one from now on may know more than the list that comes
        listed = await self._listed(session, provider, mailbox_list)
        self._live_since = tools.clock()
        if owned.index != "none":
            await tools.health.connected(self._account)
        else:
            await tools.health.syncing(self._account)
        mailboxes = [] if listed is None else await self._first_pass(session, owned, listed)
        if owned.index == "none":
            await tools.health.connected(self._account)
        watched = [(mailbox, session) for mailbox in mailboxes[:1]]
        for mailbox in mailboxes[1:]:
            other = await self._another(opened)
            if other is not None:
                watched.append((mailbox, other))
        return watched

    async def _listed(
        self, session: Session, provider: Provider, mailbox_list: MailboxList
    ) -> Sequence[Mailbox] | None:
        """Reach the account: return its mailboxes, or None where the provider, or the account, cannot tell changes."""
        if Capability.CHANGES in provider.capabilities:
            with contextlib.suppress(UnsupportedOperationError):
                await mailbox_list.ask(session)
                return await session.mailboxes()
        await session.check()
        return None

    async def _first_pass(self, session: Session, owned: Owned, listed: Sequence[Mailbox]) -> list[Mailbox]:
        """Look at every mailbox and return those to watch."""
        with self._tools.durations.timed("sync", "full"):
            mailboxes = await self._tools.sync.full_pass(session, owned, listed)
        self._tools.synced.add(self._account)
        self._plan_full_pass()
        return mailboxes

    async def _another(self, opened: AsyncExitStack) -> Session | None:
        """Open one more connection; a mailbox without one is looked at with all the others now and then."""
        try:
            session = await opened.enter_async_context(await self._tools.sessions.open(self._account))
            await session.check()
        except TransientError as error:
            log.warning("mailbox_not_watched", account=self._account, error=type(error).__name__)
            return None
        return session

    async def _serve(
        self,
        owned: Owned,
        watched: Sequence[tuple[Mailbox, Session]],
        provider: Provider,
        mailbox_list: MailboxList,
    ) -> None:
        """Watch, with a look at every mailbox now and then, until something is lost."""
        paths = [mailbox.path for mailbox, _ in watched]
        callbacks = Callbacks(self._tools, owned, paths, self._looking, kick=self.kick, sync=self.sync)
        self._watches = [
            MailboxWatch(
                self._tools,
                session,
                owned,
                mailbox,
                provider.cursor_kind,
                called=lambda: callbacks.active,
                between=mailbox_list.ask,
            )
            for mailbox, session in watched
        ]
        self._callbacks = callbacks
        try:
            async with asyncio.TaskGroup() as group:
                for watch in self._watches:
                    group.create_task(watch.run())
                group.create_task(self._full_passes(owned, paths))
                if Capability.PUSH in provider.capabilities:
                    group.create_task(callbacks.run())
                group.create_task(self._survive())
        except BaseExceptionGroup as errors:
            # The first one took the others down.
            raise errors.exceptions[0] from None

    async def _full_passes(self, owned: Owned, paths: Sequence[str]) -> None:
        """Look at every mailbox when it is time, over a connection of its own: the watched ones stay watched."""
        tools = self._tools
        while True:
            await self._full_pass.wait()
            self._full_pass.clear()
            try:
                async with tools.ramp, self._looking, await tools.sessions.open(self._account) as session:
                    with tools.durations.timed("sync", "full"):
                        found = await tools.sync.full_pass(session, owned, await session.mailboxes(), beside=paths)
            except TransientError as error:
                log.warning("full_pass_failed", account=self._account, error=type(error).__name__)
                self._full_pass_at = tools.clock() + tools.periods.full_pass_again
                continue
            tools.synced.add(self._account)
            self._plan_full_pass()
            if [mailbox.path for mailbox in found] != paths:
                self.restart()

    async def _survive(self) -> None:
        """Forget earlier failures once this connection has proven to last."""
        await self._tools.sleep(self._tools.periods.survival)
        while True:
            try:
                return await self._tools.health.proven(self._account)
            except (RedisError, OSError):
                await self._tools.sleep(self._tools.periods.retry)

    def _plan_full_pass(self) -> None:
        period = self._tools.periods.full_pass
        self._full_pass_at = self._tools.clock() + period * random.uniform(0.8, 1.2)

    async def _after(self, error: BaseException | None) -> None:
        """Judge how the connection ended."""
        try:
            await self._judge(error)
        except (RedisError, OSError) as away:
            log.warning("account_not_judged", account=self._account, error=type(away).__name__)
            await self._try_again()

    async def _judge(self, error: BaseException | None) -> None:
        health = self._tools.health
        if error is None or isinstance(error, ResourceNotFoundError):
            return
        if isinstance(error, FencedError):
            # Another owner has come, or the mark of this one is lost: who begins again finds out.
            self._wanted.set()
            return
        if isinstance(error, ConnectError) and self._lived:
            if self._lived >= self._tools.periods.survival or await health.lost(self._account):
                self._wanted.set()
        elif isinstance(error, AccountError | ConnectError):
            await health.outcome(self._account, error)
        elif isinstance(error, TransientError):
            await health.postponed(self._account, error)
        elif isinstance(error, RedisError | OSError):
            await self._try_again()
        else:
            code = error.error_code if isinstance(error, GatewayError) else None
            log.error("watching_failed", account=self._account, error=type(error).__name__, code=code)
            await health.postponed(self._account, ServiceUnavailableError("the account could not be watched"))

    async def _try_again(self) -> None:
        await self._tools.sleep(self._tools.periods.retry * random.uniform(0.5, 1.5))
        self._wanted.set()
