"""Fixtures for all tests below this folder; the real servers are in `tests.rigs.fixtures`."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Make the rigs' fixtures known once, whichever folders a run collects."""
    config.pluginmanager.import_plugin("tests.rigs.fixtures")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Tests marked `anyio` run on asyncio, the loop that the product uses."""
    return "asyncio"
