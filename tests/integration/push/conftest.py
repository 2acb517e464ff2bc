"""A sandbox for this folder, and services on real Redis in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.provider import utc_now
from gateway.testing.clock import FakeClock
from gateway_sandbox.testing import RunningSandbox, sandbox_in_thread, take_any_ports
from tests.integration.push.rig import PushWorld, open_push


@pytest.fixture(scope="module")
def running_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with sandbox_in_thread(take_any_ports(tmp_path_factory.mktemp("sandbox"))) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running_sandbox: RunningSandbox) -> Iterator[RunningSandbox]:
    """With every failure off."""
    yield running_sandbox
    running_sandbox.reset()


@pytest.fixture
def clock() -> FakeClock:
    """The services' clock; that of the sandbox has to be moved with it."""
    return FakeClock(datetime.now(UTC))


@pytest.fixture
async def world(
    redis_url: str, sandbox: RunningSandbox, tmp_path: Path, clock: FakeClock, anyio_backend: str
) -> AsyncIterator[PushWorld]:
    """An account; nobody has kept its subscription so far."""
    async with open_push(redis_url, sandbox, tmp_path, clock) as world:
        await world.account()
        yield world


@pytest.fixture
async def called(
    redis_url: str, sandbox: RunningSandbox, tmp_path: Path, anyio_backend: str
) -> AsyncIterator[PushWorld]:
    """For a worker: without an account, in real time."""
    async with open_push(redis_url, sandbox, tmp_path, utc_now) as world:
        yield world
