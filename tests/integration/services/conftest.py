"""Services on a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.services.world import World, open_world


@pytest.fixture
async def world(redis_url: str, anyio_backend: str) -> AsyncIterator[World]:
    """Services with a clock that stands still and an identity provider that follows a script."""
    async with open_world(redis_url) as world:
        yield world
