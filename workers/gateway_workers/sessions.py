"""Warm sessions: one for each account and lane, used by one job at a time, and a few more while many want to read.

The gate of an account stands here, in the event loop: a job waits for its turn before it occupies a thread, so a slow
mailbox holds up nobody else. What changes something has its turn at the first session, in the order of arrival; what
only reads goes where the fewest wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

import structlog

from gateway.errors import ConnectError, PermanentError, RateLimitError, RequestError
from gateway.provider import Session

log = structlog.get_logger()

Opener = Callable[[str], AbstractAsyncContextManager[Session]]

#: Seconds that leaving a session may take before its connection is left to itself.
_CLOSE_TIMEOUT = 5.0

#: Seconds that a session beside the first one stays open without use.
_IDLE_BESIDE = 30.0

#: Jobs at every session of an account before one more is opened: one that runs and one that waits.
_CROWD = 2

#: Seconds without a further attempt after a session beside the first one was refused, and that an attempt may take.
_ALONE, _OPENING = 60.0, 20.0

#: Seconds of rest after which a session is tried before a job that must not be repeated relies on it.
_TRUSTED = 10.0


class Lease(NamedTuple):
    """A session for the time of one job; `reused` when it was open before."""

    session: Session
    reused: bool


class _Slot:
    """One session of an account and lane, the first of which has the number 0, and the gate in front of it."""

    def __init__(self, account: str, lane: str, number: int = 0) -> None:
        self.account = account
        self.lane = lane
        self.number = number
        self.opening = False
        self.alone_until = 0.0
        self.gate = asyncio.Lock()
        self.jobs = 0
        self.lease: tuple[Session, AbstractAsyncContextManager[Session]] | None = None
        self.rested_at = 0.0
        self.stale = False

    @property
    def key(self) -> tuple[str, str, int]:
        """Under what the pool has it."""
        return self.account, self.lane, self.number


def _are_alike(slot: _Slot, other: _Slot) -> bool:
    return (other.account, other.lane) == (slot.account, slot.lane) and other is not slot and not other.opening


class SessionPool:
    """Opens, keeps and closes the sessions of one worker."""

    def __init__(
        self,
        opener: Opener,
        *,
        idle: float = 300.0,
        limit: int = 1000,
        waiting: int = 64,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make an empty pool.

        Args:
            opener: opens a session of an account; called inside the account's gate. Left in another task than entered.
            idle: seconds that an unused session stays open.
            limit: sessions open at most; beyond, the one unused for longest is closed.
            waiting: jobs of one account and lane at most; more are refused, lest they take every slot of the worker.
            clock: monotonic seconds.
        """
        self._opener = opener
        self._idle = idle
        self._limit = limit
        self._waiting = waiting
        self._clock = clock
        self._slots: OrderedDict[tuple[str, str, int], _Slot] = OrderedDict()
        self._open = 0
        self._jobs = 0
        self._closing: set[asyncio.Task[None]] = set()
        self._opening: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def use(self, account: str, lane: str = "read") -> AsyncIterator[Session]:
        """Use a session alone until the context is left; errors as of `lease`."""
        async with self.lease(account, lane) as lease:
            yield lease.session

    @contextlib.asynccontextmanager
    async def lease(
        self, account: str, lane: str, *, verify: bool = False, beside: bool = False
    ) -> AsyncIterator[Lease]:
        """Use a session alone until the context is left, and tell whether it was open before.

        After an error other than `PermanentError` and `RequestError`, cancellation included, the session is closed:
        what it was doing may be half done.

        Args:
            account: whose session.
            lane: which of the account's sessions.
            verify: try a session that rested, and replace it when its connection is gone.
            beside: the job only reads and may be done at the same time as others of the account.

        Raises:
            RateLimitError: too many jobs wait for this account.
            ProviderError: the session could not be opened.
        """
        slot = self._slot(account, lane, beside=beside)
        slot.jobs += 1
        self._jobs += 1
        try:
            async with slot.gate:
                lease = await self._ready(slot, verify)
                try:
                    yield lease
                except (PermanentError, RequestError):
                    raise
                except BaseException as error:
                    self._discard(slot)
                    if lease.reused and isinstance(error, ConnectError):
                        # The others were opened as long ago, with the same token and over the same network.
                        self._drop([other for other in self._slots.values() if _are_alike(slot, other)])
                    raise
                if slot.stale:
                    self._discard(slot)
        finally:
            self._jobs -= 1
            slot.jobs -= 1
            self._rest(slot)

    async def drop(self, account: str) -> None:
        """Close the sessions of an account; those in use as soon as their job is done."""
        self._drop([slot for slot in self._slots.values() if slot.account == account])
        await self._closed()

    def drop_beside(self, account: str) -> None:
        """Begin to close all but the first sessions of an account; those in use as soon as their job is done."""
        self._drop([slot for slot in self._slots.values() if slot.account == account and slot.number])

    async def drop_all(self) -> None:
        """Close every session; those in use as soon as their job is done."""
        self._drop(list(self._slots.values()))
        await self._closed()

    def close_idle(self) -> None:
        """Begin to close the sessions that nobody used for a while."""
        now = self._clock()
        for slot in list(self._slots.values()):
            idle = min(_IDLE_BESIDE, self._idle) if slot.number else self._idle
            if slot.jobs == 0 and slot.rested_at <= now - idle:
                self._discard(slot)
                self._rest(slot)

    async def aclose(self) -> None:
        """Close everything, in use or not."""
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for slot in list(self._slots.values()):
            self._discard(slot)
        await self._closed()

    @property
    def size(self) -> int:
        """How many sessions are open."""
        return self._open

    @property
    def mail_connections(self) -> Counter[str]:
        """How many sessions of each account are open for its mailboxes; those for sending are none."""
        return Counter(slot.account for slot in self._slots.values() if slot.lease is not None and slot.lane != "send")

    @property
    def busy(self) -> bool:
        """Whether any job uses a session, or waits for one."""
        return self._jobs > 0

    def _slot(self, account: str, lane: str, *, beside: bool) -> _Slot:
        first = self._slots.get((account, lane, 0))
        if first is None:
            first = self._slots[account, lane, 0] = _Slot(account, lane)
        others = self._others(first) if beside and first.jobs else []
        ready = [first, *(slot for slot in others if not slot.opening)]
        if sum(slot.jobs for slot in ready) >= self._waiting:
            raise RateLimitError("too many calls wait for this account", retry_after=1.0)
        chosen = min(ready, key=lambda slot: slot.jobs)
        if beside and chosen.jobs >= _CROWD:
            self._widen(first, others)
        return chosen

    def _others(self, first: _Slot) -> list[_Slot]:
        """Return the sessions beside the first one, those that are being opened included."""
        numbers = range(1, first.lease[0].readers) if first.lease is not None else range(0)
        slots = (self._slots.get((first.account, first.lane, number)) for number in numbers)
        return [slot for slot in slots if slot is not None]

    def _widen(self, first: _Slot, others: list[_Slot]) -> None:
        """Begin to open one more session beside the first one, if there may be one; nobody waits for it."""
        if first.lease is None or len(others) + 1 >= first.lease[0].readers or self._clock() < first.alone_until:
            return
        taken = {slot.number for slot in others}
        slot = _Slot(first.account, first.lane, next(n for n in range(1, len(taken) + 2) if n not in taken))
        self._slots[slot.key] = slot
        slot.jobs, slot.opening = 1, True
        task = asyncio.create_task(self._open_beside(first, slot))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open_beside(self, first: _Slot, slot: _Slot) -> None:
        try:
            async with slot.gate, asyncio.timeout(_OPENING):
                await (await self._ready(slot, False)).session.check()
        except Exception as error:  # noqa: BLE001 (the first session does the work alone, as before)
            slot.stale = True
            first.alone_until = self._clock() + _ALONE
            log.info("no_session_beside", account=slot.account, error=type(error).__name__)
        except asyncio.CancelledError:
            slot.stale = True
            raise
        finally:
            slot.jobs, slot.opening = 0, False
            if slot.stale:
                self._discard(slot)
            self._rest(slot)

    async def _ready(self, slot: _Slot, verify: bool) -> Lease:
        if slot.stale:
            self._discard(slot)
        if slot.lease is not None and verify and self._clock() - slot.rested_at >= _TRUSTED:
            await self._try(slot)
        if slot.lease is not None:
            return Lease(slot.lease[0], reused=True)
        slot.stale = False
        context = self._opener(slot.account)
        session = await context.__aenter__()
        slot.lease = session, context
        self._open += 1
        return Lease(session, reused=False)

    async def _try(self, slot: _Slot) -> None:
        assert slot.lease is not None
        try:
            await slot.lease[0].check()
        except ConnectError:
            self._discard(slot)
        except BaseException:
            self._discard(slot)
            raise

    def _drop(self, slots: list[_Slot]) -> None:
        for slot in slots:
            slot.stale = True
            if slot.jobs == 0:
                self._discard(slot)
                self._rest(slot)

    def _rest(self, slot: _Slot) -> None:
        """Note that a job is done with a slot, and keep within the limit."""
        if slot.jobs:
            return
        if slot.lease is None:
            self._slots.pop(slot.key, None)
            return
        slot.rested_at = self._clock()
        self._slots.move_to_end(slot.key)
        if self._open > self._limit:
            oldest = next(slot for slot in self._slots.values() if slot.jobs == 0)
            self._discard(oldest)
            self._slots.pop(oldest.key, None)

    def _discard(self, slot: _Slot) -> None:
        """Close a session in the background: a logout that hangs must not hold up the next job."""
        slot.stale = False
        if slot.lease is None:
            return
        _, context = slot.lease
        slot.lease = None
        self._open -= 1
        task = asyncio.create_task(self._leave(slot.account, context))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _leave(self, account: str, context: AbstractAsyncContextManager[Session]) -> None:
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await context.__aexit__(None, None, None)
        except Exception as error:  # noqa: BLE001 (it is gone either way)
            log.info("session_close_failed", account=account, error=type(error).__name__)

    async def _closed(self) -> None:
        if self._closing:
            await asyncio.wait(self._closing)
