"""The API as a process of its own, and services beside it that make things happen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.integration.events.served import Served, open_served
from tests.rigs.processes import rig_directory
from tests.rigs.redis_server import RedisServer


@pytest.fixture(scope="module")
def served_redis() -> Iterator[RedisServer]:
    """A server whose every key is the tests' own to look at."""
    with rig_directory("redis") as directory:
        server = RedisServer(directory, append_only=True)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="module")
async def served(anyio_backend: str, served_redis: RedisServer) -> AsyncIterator[Served]:
    """One process for all tests of a file; each makes accounts of its own."""
    with rig_directory("served") as directory:
        async with open_served(directory, served_redis) as made:
            yield made
