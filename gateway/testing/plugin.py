"""The pytest plugin (entry point group ``pytest11``): registers the kit's marker."""

from __future__ import annotations

import pytest

# The kit's assertions are to explain themselves as those of a test module do.
pytest.register_assert_rewrite("gateway.testing.conformance")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers", "gateway_requires(*capabilities): runs only for a provider that declares these capabilities"
    )
