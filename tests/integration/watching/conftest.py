"""Watching on real Redis and Dovecot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.watching.rig import Watching, watching
from tests.rigs.dovecot import Dovecot


@pytest.fixture(params=["full", "exchange"])
async def stopped(
    request: pytest.FixtureRequest, redis_url: str, dovecot: Dovecot, tmp_path: Path, anyio_backend: str
) -> AsyncIterator[Watching]:
    """No worker yet: with what Dovecot can do, and with what Exchange lets its clients have of that."""
    address = dovecot.full if request.param == "full" else dovecot.exchange
    async with watching(redis_url, dovecot, address, tmp_path) as world:
        yield world


@pytest.fixture
async def world(stopped: Watching) -> AsyncIterator[Watching]:
    """One worker."""
    async with stopped.worker():
        yield stopped
