"""Taking in, on a real Redis, from sessions that follow a script."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.services.world import open_world
from tests.integration.sync.scripted import Taking


@pytest.fixture
async def taking(redis_url: str, anyio_backend: str) -> AsyncIterator[Taking]:
    """An account whose mailboxes are taken in."""
    async with open_world(redis_url) as world:
        taking = Taking(world)
        await taking.begin()
        yield taking
