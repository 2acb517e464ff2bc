"""A worker as a process of its own, for tests that kill it: ``python worker_process.py URL NAME``.

Its handlers wait until the key `RELEASE` exists.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Any

from redis.asyncio import Redis

from gateway.queue.operations import ALLOWLIST
from gateway_workers.context import JobContext
from gateway_workers.sessions import SessionPool
from gateway_workers.worker import Limits, MailWorker
from tests.integration.queue.rig import Answer

RELEASE = "test:release"
LIMITS = Limits(lease=1.0, beat=0.2, grace=1.0, records_beat=1.0)


class Waiting:
    """A handler that waits for `RELEASE`."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url)

    async def __call__(self, context: JobContext, arguments: Any) -> Answer:
        """Wait, then answer with the account."""
        while not await self._redis.exists(RELEASE):
            await asyncio.sleep(0.02)
        return Answer(context.account)


def main(url: str, name: str) -> None:
    """Work until SIGTERM."""
    waiting = Waiting(url)
    MailWorker(
        url,
        dict.fromkeys(ALLOWLIST, waiting),
        SessionPool(lambda account: contextlib.nullcontext()),  # type: ignore[arg-type,return-value]
        name=name,
        limits=LIMITS,
    ).work()


if __name__ == "__main__":
    main(*sys.argv[1:])
