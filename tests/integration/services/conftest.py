"""Services on a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.services import export_reading, exporting
from tests.integration.services.exporting import Exporting
from tests.integration.services.world import World, open_world


@pytest.fixture
async def world(redis_url: str, anyio_backend: str) -> AsyncIterator[World]:
    """Services with a clock that stands still and an identity provider that follows a script."""
    async with open_world(redis_url) as world:
        yield world


@pytest.fixture
async def export(world: World, monkeypatch: pytest.MonkeyPatch) -> Exporting:
    """An account without mail; pages and batches are small."""
    monkeypatch.setattr(export_reading, "PAGE", 5)
    monkeypatch.setattr(exporting, "BATCH", 4)
    await world.add_account()
    return Exporting(world)
