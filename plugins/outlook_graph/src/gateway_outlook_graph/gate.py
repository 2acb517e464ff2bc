"""How many calls of one mailbox run at once, and which of them go first.

Exchange Online refuses the fifth call of a mailbox that runs at the same time, and makes all of them wait then.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count

from gateway_outlook_graph.budget import Budget
from gateway_outlook_graph.priority import Priority

#: How often the floor of the pauses is doubled: from half a second to half a minute.
_DOUBLINGS = 6


class Gate:
    """Lets calls of one mailbox through. Background calls leave one place free for somebody who waits."""

    def __init__(self, parallel: int, floor: float, budget: Budget, clock: Callable[[], float]) -> None:
        """Prepare.

        Args:
            parallel: how many may run at once.
            floor: seconds of the first pause after a refusal.
            budget: how many there may be in a while.
            clock: monotonic seconds.
        """
        self.budget = budget
        self._parallel = parallel
        self._floor = floor
        self._clock = clock
        self._running = 0
        self._refusals = 0
        self._paused_until = 0.0
        self._order = count()
        self._waiting: list[tuple[Priority, int, int, asyncio.Future[None]]] = []

    @property
    def pause(self) -> float:
        """Seconds until the service may be asked again."""
        return max(0.0, self._paused_until - self._clock())

    def refused(self, retry_after: float) -> float:
        """Note that the service asked for a pause; return how long it is."""
        if self.pause == 0:
            # Calls that run side by side are refused together, which is one refusal.
            self._refusals += 1
        wait = max(retry_after, self._floor * 2 ** min(max(0, self._refusals - 1), _DOUBLINGS))
        self._paused_until = max(self._paused_until, self._clock() + wait)
        return self.pause

    def accepted(self) -> None:
        """Note that the service answered; in a storm in which some calls come through, pauses still grow."""
        if self.pause == 0:
            self._refusals = max(0, self._refusals - 1)

    @asynccontextmanager
    async def place(self, priority: Priority, *, all_of_them: bool = False) -> AsyncIterator[None]:
        """Hold one of the places, or all: the calls of a batch run side by side."""
        size = self._parallel if all_of_them else 1
        await self._enter(priority, size)
        try:
            yield
        finally:
            self._leave(size)

    async def _enter(self, priority: Priority, size: int) -> None:
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._order), size, turn))
        self._wake()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The place was given just before.
                self._leave(size)
            raise

    def _leave(self, size: int) -> None:
        self._running -= size
        self._wake()

    def _has_room(self, priority: Priority, size: int) -> bool:
        kept_free = 1 if priority is Priority.BACKGROUND and size < self._parallel else 0
        return self._running + size <= self._parallel - kept_free

    def _wake(self) -> None:
        while self._waiting:
            priority, _, size, turn = self._waiting[0]
            if not turn.cancelled() and not self._has_room(priority, size):
                return
            heapq.heappop(self._waiting)
            if not turn.cancelled():
                self._running += size
                turn.set_result(None)
