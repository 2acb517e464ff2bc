"""How many accounts connect at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Ramp:
    """Lets some in at once, the others in the order in which they came: a restart must not trample the servers.

    While somebody waits for answers from this worker there are few: what is asked for goes before what is only due.
    """

    def __init__(self, busy: Callable[[], bool], *, most: int = 32, few: int = 4) -> None:
        """Begin empty.

        Args:
            busy: tells whether somebody waits for answers.
            most: inside at once.
            few: the same while it is busy.
        """
        self._busy = busy
        self._most = most
        self._few = few
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        if not self._waiting and self._inside < self._limit():
            self._inside += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _limit(self) -> int:
        return self._few if self._busy() else self._most

    def _leave(self) -> None:
        self._inside -= 1
        while self._waiting and self._inside < self._limit():
            turn = self._waiting.popleft()
            if not turn.done():
                self._inside += 1
                turn.set_result(None)
