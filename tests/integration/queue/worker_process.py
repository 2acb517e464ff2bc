"""A worker as a process of its own, for tests that kill it: ``python worker_process.py URL NAME [LEASE]``.

Its handlers wait until the key `RELEASE` exists, and note in a list whom they answered; what it hears of accounts goes
to another list.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Any

import msgspec

from gateway.queue.operations import ALLOWLIST, Lane
from gateway.redis.client import open_client
from gateway_workers.context import JobContext
from gateway_workers.ownership import Listener
from gateway_workers.sessions import SessionPool
from gateway_workers.worker import Limits, MailWorker
from tests.integration.queue.rig import Answer

RELEASE = "test:release"
ANSWERED = "test:answered"
SLOTS: dict[Lane, int] = {"read": 64, "send": 8, "background": 8, "webhook": 8}
LIMITS = Limits(slots=SLOTS, lease=1.5, beat=0.2, grace=1.0, records_beat=1.0)


def heard(name: str) -> str:
    """List of what a worker heard of accounts: "gained", "lost", "drop" or "kick", and the account."""
    return f"test:heard:{name}"


class Reporting(Listener):
    """Writes down what it hears."""

    def __init__(self, url: str, name: str) -> None:
        self._redis, self._list = open_client(url), heard(name)

    async def on_gained(self, account: str, epoch: int) -> None:
        """Note the account."""
        await self._note("gained", account)

    async def on_lost(self, account: str) -> None:
        """Note the account."""
        await self._note("lost", account)

    async def on_drop(self, account: str) -> None:
        """Note the account."""
        await self._note("drop", account)

    async def on_kick(self, account: str) -> None:
        """Note the account."""
        await self._note("kick", account)

    async def _note(self, what: str, account: str) -> None:
        await self._redis.rpush(self._list, f"{what} {account}")  # type: ignore[misc]


class Waiting:
    """A handler that waits for `RELEASE`."""

    def __init__(self, url: str) -> None:
        self._redis = open_client(url)

    async def __call__(self, context: JobContext, arguments: Any) -> Answer:
        """Wait, then answer with the account."""
        while not await self._redis.exists(RELEASE):
            await asyncio.sleep(0.02)
        await self._redis.rpush(ANSWERED, context.account)  # type: ignore[misc]
        return Answer(context.account)


def main(url: str, name: str, lease: str = str(LIMITS.lease)) -> None:
    """Work until SIGTERM."""
    waiting = Waiting(url)
    MailWorker(
        url,
        dict.fromkeys(ALLOWLIST, waiting),
        SessionPool(lambda account: contextlib.nullcontext()),  # type: ignore[arg-type,return-value]
        name=name,
        limits=msgspec.structs.replace(LIMITS, lease=float(lease)),
        listeners=[Reporting(url, name)],
    ).work()


if __name__ == "__main__":
    main(*sys.argv[1:])
