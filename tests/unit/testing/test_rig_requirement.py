"""A test run must not pass by leaving out what it was told to run."""

from __future__ import annotations

import pytest

from tests.rigs import requirement
from tests.rigs.requirement import Requirement, require


@pytest.fixture(autouse=True)
def _absent(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = Requirement(lambda: False, "Debian package absent")
    monkeypatch.setattr(requirement, "REQUIREMENTS", {"absent": absent, "present": Requirement(lambda: True, "")})


def test_a_missing_server_skips_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A contributor without the server runs everything else."""
    monkeypatch.setenv("GATEWAY_TEST_REQUIRE", "redis, node")
    with pytest.raises(pytest.skip.Exception, match="install Debian package absent"):
        require("absent")


@pytest.mark.parametrize("insisted", ["all", "redis, absent"])
def test_a_missing_server_that_is_insisted_on_fails(monkeypatch: pytest.MonkeyPatch, insisted: str) -> None:
    """Continuous integration names what it has installed."""
    monkeypatch.setenv("GATEWAY_TEST_REQUIRE", insisted)
    with pytest.raises(pytest.fail.Exception, match="absent is not available"):
        require("absent")


def test_a_server_that_is_there_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Insisting concerns only what is missing."""
    monkeypatch.setenv("GATEWAY_TEST_REQUIRE", "all")
    require("present")
