"""What an account's service calls us for, and that it does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog
from redis.exceptions import RedisError

from gateway.errors import GatewayError
from gateway.provider import Session
from gateway.services.push import Hints
from gateway.services.sync import Owned
from gateway_workers.watching.tools import WatchTools

log = structlog.get_logger()

#: Messages that are asked for together.
_TOGETHER = 100

#: Looks that follow each other at once, and seconds after which there may be one more: a mailbox in which something
#: happens all the time is looked at once a second, which services that limit calls bear.
_AT_ONCE = 10
_PAUSE = 1.0


class Callbacks:
    """Keeps an account's subscription alive, and looks where its service says that something happened.

    The watched mailboxes are looked at by their own watches, at once. In which of the others a message is, or was, is
    asked first.

    Attributes:
        active: whether the service calls; else it has to be asked more often.
    """

    def __init__(
        self,
        tools: WatchTools,
        owned: Owned,
        watched: Sequence[str],
        looking: asyncio.Lock,
        *,
        kick: Callable[[], None],
        sync: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            tools: to work with.
            owned: the account.
            watched: paths of the mailboxes that are watched.
            looking: held while mailboxes are looked at that are not.
            kick: has the watched mailboxes looked at.
            sync: has every mailbox looked at.
        """
        self.active = False
        self._tools = tools
        self._owned = owned
        self._watched = frozenset(watched)
        self._looking = looking
        self._kick = kick
        self._sync = sync
        self._woken = asyncio.Event()
        self._elsewhere: set[str] = set()
        self._left = float(_AT_ONCE)
        self._counted_at = tools.clock()

    def wake(self) -> None:
        """Look now: the service called."""
        self._woken.set()

    async def run(self) -> None:
        """Keep and look until cancelled; what fails is tried again."""
        tools = self._tools
        while True:
            try:
                async with await tools.sessions.open(self._owned.account) as session:
                    while True:
                        await self._round(session)
            except (GatewayError, RedisError, OSError) as error:
                log.warning("callbacks_failed", account=self._owned.account, error=type(error).__name__)
                # Whatever was called for is looked for with everything else.
                self._sync()
                await tools.sleep(tools.periods.full_pass_again)

    async def _round(self, session: Session) -> None:
        """Take what was called for, and wait until there is more or something is due."""
        tools, account = self._tools, self._owned.account
        self._woken.clear()
        hints = await tools.push.take(account, _TOGETHER)
        if hints.messages:
            self._kick()
        kept = await tools.push.keep(account, session, hints.told)
        if kept.active != self.active:
            self.active = kept.active
            self._kick()
        if kept.gap:
            self._sync()
        if hints.messages:
            await self._look(session, hints)
        if not hints:
            try:
                async with asyncio.timeout(kept.rest):
                    await self._woken.wait()
            except TimeoutError:
                return
        await self._turn()

    async def _look(self, session: Session, hints: Hints) -> None:
        """Look at the mailboxes that messages are in, and at those that they were in."""
        tools, account = self._tools, self._owned.account
        push = await session.push()
        places = set((await push.places(hints.messages)).values())
        paths = (places | await tools.index.holding(account, hints.messages)) - self._watched
        async with self._looking:
            for path in sorted(paths):
                if await tools.sync.look(session, self._owned, path):
                    self._elsewhere.discard(path)
                elif path not in self._elsewhere:
                    # New, or not synced; a look at everything tells.
                    self._elsewhere.add(path)
                    self._sync()

    async def _turn(self) -> None:
        """Wait until there may be one more look."""
        now = self._tools.clock()
        self._left = min(_AT_ONCE, self._left + (now - self._counted_at) / _PAUSE)
        self._counted_at = now
        if self._left < 1:
            await self._tools.sleep((1 - self._left) * _PAUSE)
        self._left -= 1
