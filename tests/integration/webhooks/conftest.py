"""Webhooks on a real Redis, to a real receiver."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.webhooks.hooks import Hooks, open_hooks


@pytest.fixture
async def hooks(redis_url: str, anyio_backend: str) -> AsyncIterator[Hooks]:
    """A gateway whose deliveries are under way at once."""
    async with open_hooks(redis_url) as opened:
        yield opened
