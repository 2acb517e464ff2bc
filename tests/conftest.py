"""Fixtures for all tests below this folder; the real servers are in `tests.rigs.fixtures`."""

from __future__ import annotations

import hypothesis
import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Make the rigs' fixtures known once, whichever folders a run collects."""
    config.pluginmanager.import_plugin("tests.rigs.fixtures")
    # An example that is slow once says something of the machine, not of the code.
    hypothesis.settings.register_profile("here", deadline=None)
    hypothesis.settings.load_profile("here")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Tests marked `anyio` run on asyncio, the loop that the product uses."""
    return "asyncio"
