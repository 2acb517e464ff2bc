"""Ends a worker whose event loop stands still.

A message can make a parser hold the interpreter for hours: no limit of time in this process would be looked at any
more. Others take over the accounts meanwhile, and would fall to the same message; only the end of the process makes it
count as a death of that message (`gateway.services.sync.batches`).
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
from collections.abc import AsyncIterator

#: Seconds that the loop may stand still: ten times as long as a worker is believed to live without a sign of life.
LIMIT = 60.0


@contextlib.asynccontextmanager
async def watchdog(limit: float = LIMIT) -> AsyncIterator[None]:
    """End the process with exit code 1, and a traceback without values, when the loop stands still for `limit` seconds.

    The clock is faulthandler's own thread, which does not need the interpreter.
    """
    faulthandler.dump_traceback_later(limit, exit=True)
    task = asyncio.create_task(_feed(limit))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        faulthandler.cancel_dump_traceback_later()


async def _feed(limit: float) -> None:
    while True:
        await asyncio.sleep(limit / 10)
        faulthandler.dump_traceback_later(limit, exit=True)
