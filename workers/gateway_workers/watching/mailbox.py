"""One mailbox, watched over one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from gateway.errors import ConnectError
from gateway.model.message import Mailbox
from gateway.provider import Session, SocketWatch
from gateway.services.sync import Owned
from gateway.store.index import BoxRecord
from gateway_workers.watching.tools import WatchTools

log = structlog.get_logger()


class MailboxWatch:
    """Takes in what happens in a mailbox as soon as the server tells, and marks what the index may answer for.

    The mark says: this connection answers, everything it told is taken in, and no operation of the gateway itself is
    newer. It is taken off at the first hint of a change, before anything else happens.
    """

    def __init__(
        self,
        tools: WatchTools,
        session: Session,
        owned: Owned,
        mailbox: Mailbox,
        cursor_kind: str | None,
        *,
        called: Callable[[], bool],
        between: Callable[[Session], Awaitable[None]],
    ) -> None:
        """Prepare.

        Args:
            tools: to work with.
            session: this watch's alone.
            owned: the account.
            mailbox: what is watched.
            cursor_kind: of the provider.
            called: tells whether the account's service calls.
            between: done with the session after each look.
        """
        self._tools = tools
        self._session = session
        self._owned = owned
        self._mailbox = mailbox
        self._cursor_kind = cursor_kind
        self._called = called
        self._between = between
        self._wake = asyncio.Event()
        self._watch: SocketWatch | None = None
        self._probed_at = 0.0
        self._failure: ConnectError | None = None

    async def run(self) -> None:
        """Watch until the connection is lost, or cancelled.

        Raises:
            FencedError: another worker owns the account.
            ProviderError: the connection is lost, or the mailbox gone.
        """
        confirmed = False
        try:
            while True:
                self._wake.clear()
                dirty = await self._tools.index.dirty_count(self._owned.account)
                with self._tools.durations.timed("sync", "mailbox"):
                    box = await self._tools.sync.watched_pass(self._session, self._owned, self._mailbox)
                self._tools.synced.add(self._owned.account)
                await self._between(self._session)
                watch = await self._session.watch(self._mailbox.path)
                if isinstance(watch, SocketWatch):
                    try:
                        self._attach(watch)
                        if box.entries and not self._wake.is_set():
                            confirmed = True
                            await self._confirm(box, dirty)
                        await self._wake.wait()
                    finally:
                        self._detach(watch)
                        if confirmed:
                            await self._unconfirm()
                        await watch.close()
                    confirmed = False
                    if self._failure is not None:
                        raise self._failure
                else:
                    await self._rest(max(watch.period, self._tools.periods.pushed) if self._called() else watch.period)
        finally:
            if confirmed:
                await self._unconfirm()

    @property
    def attached(self) -> bool:
        """Whether there is a connection on which the server tells of changes."""
        return self._watch is not None

    def wake(self) -> None:
        """Look at the mailbox now."""
        self._wake.set()

    def tick(self, now: float) -> None:
        """Ask the other side for a sign of life when it is time, and notice when it gave none."""
        watch = self._watch
        if watch is None:
            return
        if not watch.answered:
            if now - self._probed_at > self._tools.periods.answer:
                self._fail("the mail server gave no sign of life", "ETIMEDOUT")
        elif now - self._probed_at >= self._tools.periods.probe:
            self._probed_at = now
            self._heard(probing=True)

    def _attach(self, watch: SocketWatch) -> None:
        self._watch = watch
        self._probed_at = self._tools.clock()
        asyncio.get_running_loop().add_reader(watch.fileno(), self._heard)
        # What came together with the answer is not in the socket any more.
        self._heard()

    def _detach(self, watch: SocketWatch) -> None:
        self._watch = None
        asyncio.get_running_loop().remove_reader(watch.fileno())

    def _heard(self, *, probing: bool = False) -> None:
        watch = self._watch
        if watch is None:
            return
        try:
            if probing:
                watch.probe()
            if watch.poll():
                self._wake.set()
            if watch.dead:
                self._fail("the mail server closed the connection", "ECONNRESET")
            elif not probing:
                self._tools.alive.add(self._owned.account)
        except Exception as error:  # noqa: BLE001 (called by the loop: what a plugin raises here, nobody else would see)
            log.warning("watch_failed", account=self._owned.account, error=type(error).__name__)
            self._fail("the connection to the mail server broke", "ECONNRESET")

    def _fail(self, message: str, code: str) -> None:
        self._failure = ConnectError(message, code=code)
        self._wake.set()

    async def _rest(self, period: float) -> None:
        try:
            async with asyncio.timeout(period):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _confirm(self, box: BoxRecord, dirty: int) -> None:
        if self._cursor_kind is not None:
            await self._tools.confirm(self._owned, box, dirty=dirty, cursor_kind=self._cursor_kind)

    async def _unconfirm(self) -> None:
        await self._tools.unconfirm(self._owned.account, self._mailbox.path, self._owned.epoch)
