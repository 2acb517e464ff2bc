"""Child processes of ``gateway dev`` that are kept running, each started again when it dies."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

Report = Callable[[str], None]
Spawn = Callable[[], Awaitable[Process]]

STOP_SECONDS = 40.0

#: Seconds before a child that died is started again.
RESTART_DELAY = 0.5


@dataclass(slots=True)
class Child:
    """A process that is kept running once it has been ready; one that ended with an error before is not.

    Attributes:
        name: what people know it by.
        ready: whether it has worked; to be set by whoever finds out.
        failed: whether it ended with an error before that.
    """

    name: str
    process: Process
    ready: bool = False
    failed: bool = False


@asynccontextmanager
async def supervised(name: str, spawn: Spawn, report: Report) -> AsyncIterator[Child]:
    """Keep a child process running until the context is left."""
    child = Child(name, await spawn())

    async def watch() -> None:
        while True:
            code = await child.process.wait()
            if code > 0 and not child.ready:
                # It would only say the same again.
                child.failed = True
                return
            report(f"{name} {_ending(code)}; starting it again")
            await asyncio.sleep(RESTART_DELAY)
            child.process = await spawn()

    watching = asyncio.create_task(watch())
    try:
        yield child
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await _stopped(child.process)


def _ending(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"


async def _stopped(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
