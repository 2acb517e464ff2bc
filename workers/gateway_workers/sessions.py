"""Warm sessions: one for each account and lane, used by one job at a time, and a few more while many want to read.

The line of an account stands here, in the event loop: a job waits for its turn before it occupies a thread, so a slow
mailbox holds up nobody else. Who came first is served first: what changes something by the first session alone, what
only reads by the next one that is free.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable
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

#: Seconds without a further attempt after a session beside the first one was refused, and that an attempt may take.
_ALONE, _OPENING = 60.0, 20.0

#: Seconds of rest after which a session is tried before a job that must not be repeated relies on it.
_TRUSTED = 10.0


class Lease(NamedTuple):
    """A session for the time of one job; `reused` when it was open before."""

    session: Session
    reused: bool


class _Slot:
    """A session of a line, the first of which has the number 0; `busy` while a job has it or it is being opened."""

    def __init__(self, line: _Line, number: int = 0) -> None:
        self.line = line
        self.number = number
        self.busy = False
        self.opening = False
        self.lease: tuple[Session, AbstractAsyncContextManager[Session]] | None = None
        self.rested_at = 0.0
        self.stale = False


class _Turn:
    """A job that wants a session; for the arguments see `SessionPool.lease`."""

    __slots__ = ("beside", "came", "lasting")

    def __init__(self, *, beside: bool, lasting: bool) -> None:
        self.came: asyncio.Future[_Slot] = asyncio.get_running_loop().create_future()
        self.beside = beside
        self.lasting = lasting


class _Line:
    """The sessions of an account and lane, and the jobs that wait for one, in the order of arrival."""

    def __init__(self, account: str, lane: str) -> None:
        self.account = account
        self.lane = lane
        self.slots = {0: _Slot(self)}
        self.waiting: deque[_Turn] = deque()
        self.alone_until = 0.0

    @property
    def jobs(self) -> int:
        """How many have a session or wait for one."""
        return len(self.waiting) + sum(slot.busy and not slot.opening for slot in self.slots.values())

    @property
    def readers(self) -> int:
        """See `Session.readers`; 1 as long as there is no session to tell."""
        lease = self.slots[0].lease
        return 1 if lease is None else lease[0].readers

    @property
    def crowded(self) -> bool:
        """Whether one more session would help: more jobs wait than there are sessions, or one would wait for long."""
        if not any(turn.beside for turn in self.waiting):
            return False
        opening = sum(slot.opening for slot in self.slots.values())
        spare = opening if any(turn.lasting for turn in self.waiting) else len(self.slots)
        return len(self.waiting) > spare

    def free(self, turn: _Turn) -> _Slot | None:
        """Return the first session that a job can have at once."""
        numbers = sorted(self.slots) if turn.beside else (0,)
        return next((self.slots[number] for number in numbers if not self.slots[number].busy), None)

    def next(self, slot: _Slot) -> _Turn | None:
        """Take out of the line whose turn it is at a session."""
        for turn in self.waiting:
            if (turn.beside or slot.number == 0) and not turn.came.done():
                self.waiting.remove(turn)
                return turn
        return None


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
            opener: opens a session of an account; called by who has its turn. Left in another task than entered.
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
        self._lines: dict[str, dict[str, _Line]] = {}
        self._resting: OrderedDict[_Slot, None] = OrderedDict()
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
        self, account: str, lane: str, *, verify: bool = False, beside: bool = False, lasting: bool = False
    ) -> AsyncIterator[Lease]:
        """Use a session alone until the context is left, and tell whether it was open before.

        After an error other than `PermanentError` and `RequestError`, cancellation included, the session is closed:
        what it was doing may be half done.

        Args:
            account: whose session.
            lane: which of the account's sessions.
            verify: try a session that rested, and replace it when its connection is gone.
            beside: the job only reads and may be done at the same time as others of the account.
            lasting: jobs of this lane may take long, so that waiting for one is worth one more session.

        Raises:
            RateLimitError: too many jobs wait for this account.
            ProviderError: the session could not be opened.
        """
        self._jobs += 1
        try:
            slot = await self._turn(self._line(account, lane), _Turn(beside=beside, lasting=lasting))
            try:
                lease = await self._ready(slot, verify)
                self._widen(slot.line)
                try:
                    yield lease
                except (PermanentError, RequestError):
                    raise
                except BaseException as error:
                    self._discard(slot)
                    if lease.reused and isinstance(error, ConnectError):
                        # The others were opened as long ago, with the same token and over the same network.
                        others = (other for other in slot.line.slots.values() if other is not slot)
                        self._drop([other for other in others if not other.opening])
                    raise
            finally:
                self._free(slot)
        finally:
            self._jobs -= 1

    async def drop(self, account: str) -> None:
        """Close the sessions of an account; those in use as soon as their job is done."""
        self._drop(self._slots(account))
        await self._closed()

    def drop_beside(self, account: str) -> None:
        """Begin to close all but the first sessions of an account; those in use as soon as their job is done."""
        self._drop([slot for slot in self._slots(account) if slot.number])

    async def drop_all(self) -> None:
        """Close every session; those in use as soon as their job is done."""
        self._drop([slot for account in list(self._lines) for slot in self._slots(account)])
        await self._closed()

    def close_idle(self) -> None:
        """Begin to close the sessions that nobody used for a while."""
        now = self._clock()
        for slot in list(self._resting):
            idle = min(_IDLE_BESIDE, self._idle) if slot.number else self._idle
            if slot.rested_at <= now - idle:
                self._close(slot)

    async def aclose(self) -> None:
        """Close everything, in use or not."""
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for account in list(self._lines):
            for slot in self._slots(account):
                self._discard(slot)
        await self._closed()

    @property
    def size(self) -> int:
        """How many sessions are open."""
        return self._open

    @property
    def mail_connections(self) -> Counter[str]:
        """How many sessions of each account are open for its mailboxes; those for sending are none."""
        return Counter(
            account
            for account in self._lines
            for slot in self._slots(account)
            if slot.lease is not None and slot.line.lane != "send"
        )

    @property
    def busy(self) -> bool:
        """Whether any job uses a session, or waits for one."""
        return self._jobs > 0

    # --- turns --------------------------------------------------------------------------------------------------------

    def _line(self, account: str, lane: str) -> _Line:
        lines = self._lines.setdefault(account, {})
        if lane not in lines:
            lines[lane] = _Line(account, lane)
        return lines[lane]

    def _slots(self, account: str) -> list[_Slot]:
        return [slot for line in self._lines.get(account, {}).values() for slot in line.slots.values()]

    async def _turn(self, line: _Line, turn: _Turn) -> _Slot:
        """Wait for a session."""
        if line.jobs >= self._waiting:
            raise RateLimitError("too many calls wait for this account", retry_after=1.0)
        slot = line.free(turn)
        if slot is not None:
            slot.busy = True
            self._resting.pop(slot, None)
            return slot
        line.waiting.append(turn)
        self._widen(line)
        try:
            return await turn.came
        except asyncio.CancelledError:
            if turn.came.cancelled():
                line.waiting.remove(turn)
            else:
                self._free(turn.came.result())
            raise

    def _free(self, slot: _Slot) -> None:
        """Hand a session on to whose turn it is, or let it rest."""
        if slot.stale:
            self._discard(slot)
        line = slot.line
        gone = slot.number > 0 and slot.lease is None
        turn = None if gone else line.next(slot)
        if turn is not None:
            turn.came.set_result(slot)
            return
        slot.busy = False
        if slot.lease is None:
            self._forget(slot)
            self._widen(line)
            return
        slot.rested_at = self._clock()
        self._resting[slot] = None
        if self._open > self._limit:
            self._close(next(iter(self._resting)))

    def _forget(self, slot: _Slot) -> None:
        """Keep nothing of what is neither open nor used."""
        line = slot.line
        if slot.number:
            del line.slots[slot.number]
        if len(line.slots) == 1 and line.slots[0].lease is None and not line.slots[0].busy:
            lines = self._lines[line.account]
            del lines[line.lane]
            if not lines:
                del self._lines[line.account]

    # --- sessions -----------------------------------------------------------------------------------------------------

    def _widen(self, line: _Line) -> None:
        """Begin to open one more session beside the first one, if that helps and there may be one.

        There are no more of them than `Session.readers` allows in all lanes together: one that rests in another goes.
        """
        if not line.crowded or line.readers == 1 or self._clock() < line.alone_until:
            return
        beside = [slot for slot in self._slots(line.account) if slot.number]
        if len(beside) >= line.readers - 1:
            spare = next((slot for slot in beside if slot in self._resting), None)
            if spare is None:
                return
            self._close(spare)
        number = next(number for number in range(1, line.readers) if number not in line.slots)
        slot = line.slots[number] = _Slot(line, number)
        slot.busy = slot.opening = True
        task = asyncio.create_task(self._open_beside(slot))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open_beside(self, slot: _Slot) -> None:
        line = slot.line
        try:
            async with asyncio.timeout(_OPENING):
                await (await self._ready(slot, False)).session.check()
        except BaseException as error:
            slot.stale = True
            line.alone_until = self._clock() + _ALONE
            if not isinstance(error, Exception):
                raise
            # The first session does the work alone, as before.
            log.info("no_session_beside", account=line.account, error=type(error).__name__)
        finally:
            slot.opening = False
            self._free(slot)

    async def _ready(self, slot: _Slot, verify: bool) -> Lease:
        if slot.stale:
            self._discard(slot)
        if slot.lease is not None and verify and self._clock() - slot.rested_at >= _TRUSTED:
            await self._try(slot)
        if slot.lease is not None:
            return Lease(slot.lease[0], reused=True)
        slot.stale = False
        context = self._opener(slot.line.account)
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

    def _drop(self, slots: Iterable[_Slot]) -> None:
        for slot in slots:
            slot.stale = True
            if not slot.busy:
                self._close(slot)

    def _close(self, slot: _Slot) -> None:
        """Close a session that rests."""
        self._resting.pop(slot, None)
        self._discard(slot)
        self._forget(slot)

    def _discard(self, slot: _Slot) -> None:
        """Close a session in the background: a logout that hangs must not hold up the next job."""
        slot.stale = False
        if slot.lease is None:
            return
        _, context = slot.lease
        slot.lease = None
        self._open -= 1
        task = asyncio.create_task(self._leave(slot.line.account, context))
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
