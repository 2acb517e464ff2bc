"""The real application on a real Redis, without a worker: what needs a mailbox is answered 504."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from gateway.testing.clock import FakeClock
from tests.integration.api.installation import DELIVERY_DOMAIN, ROOT_TOKEN, Installation, installed
from tests.rigs.processes import rig_directory
from tests.rigs.redis_server import RedisServer


@pytest.fixture(scope="session")
def api_redis() -> Iterator[RedisServer]:
    """A server whose every key is the tests' own to look at."""
    with rig_directory("redis") as directory:
        server = RedisServer(directory)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
async def lasting_installation(anyio_backend: str, api_redis: RedisServer) -> AsyncIterator[Installation]:
    """One application for all tests, as making it is what takes time; tests take `gateway`."""
    async with installed(api_redis.url, FakeClock(), delivery_test_domain=DELIVERY_DOMAIN) as made:
        yield made


@pytest.fixture
async def gateway(lasting_installation: Installation) -> Installation:
    """A gateway in which nothing is stored but the prepared token and the service URL, at the start of its time."""
    await lasting_installation.forget_everything()
    clock = lasting_installation.clock
    clock.advance((FakeClock()() - clock()).total_seconds())
    return lasting_installation


@pytest.fixture
async def client(gateway: Installation) -> AsyncIterator[Any]:
    """A client with a token that may do everything."""
    async with gateway.client(ROOT_TOKEN) as opened:
        yield opened
