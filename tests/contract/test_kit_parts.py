"""The pieces that the kit lends to plugin authors."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from gateway.errors import ReauthorizationError
from gateway.provider import Login
from gateway.testing.clock import FakeClock
from gateway.testing.context import FixedCredentials, MemoryNumbers


def test_pytest_plugin_is_cheap_to_load() -> None:
    """It is imported at every start of pytest wherever the gateway is installed, in projects of other kinds too."""
    code = "import sys, gateway.testing.plugin; sys.exit('gateway.provider' in sys.modules or 'msgspec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_clock_moves_when_told() -> None:
    """Forwards and, as a corrected clock does, back."""
    clock = FakeClock()
    start = clock.time()
    clock.advance(90)
    assert clock() == datetime(2025, 1, 1, 0, 1, 30, tzinfo=UTC)
    clock.advance(-30)
    assert clock.time() - start == 60


@pytest.mark.anyio
async def test_numbers_keep_their_names() -> None:
    """The first name has number one; a number that was never given has no name."""
    numbers = MemoryNumbers()
    assert [await numbers.number(name) for name in ("a", "b", "a")] == [1, 2, 1]
    assert [await numbers.name(number) for number in (0, 1, 2, 3)] == [None, "a", "b", None]


@pytest.mark.anyio
async def test_refused_login_is_renewed_and_remembered() -> None:
    """A test can see that a session came back after a refusal, and with what."""
    old, new = Login(user="zoe", access_token="old"), Login(user="zoe", access_token="new")
    credentials = FixedCredentials(old, renewed=new)
    assert await credentials.login("imap") == old
    assert await credentials.login("imap", refused=old) == new
    assert await credentials.login("imap") == new
    assert credentials.refused == [old]


@pytest.mark.anyio
async def test_no_login_is_a_matter_for_the_user() -> None:
    """As with an account whose grant is gone."""
    with pytest.raises(ReauthorizationError):
        await FixedCredentials(None).login("imap")
