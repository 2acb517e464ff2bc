"""A gateway with everything but a worker, clients of it, and a look at all that it stores."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import redis

from gateway.api.paths import keep_encoded_slashes
from gateway.app import create_app
from gateway.redis import keys
from gateway.services.container import Services, build_services
from gateway.settings import Settings
from gateway.testing.clock import FakeClock
from tests.contract.documented import check_answer

ROOT_TOKEN = "a1" * 32
SERVICE_URL = "https://gateway.example"
ADDRESS = "192.0.2.7"
DELIVERY_DOMAIN = "delivery.example"

#: What was told of what happened, which outlives it.
_TOLD = (keys.FEED.encode(), keys.METRICS.encode(), keys.COUNTED.encode())
#: Members of a token's record that tell when it was used last.
_ACCESS = (b"used", b"from")


class Installation:
    """A running application and the services behind it.

    Attributes:
        url: of the Redis database that holds all of its state.
        settings: of its process.
    """

    def __init__(self, settings: Settings, services: Services, app: Any, clock: FakeClock) -> None:
        self.url = settings.redis_url
        self.services = services
        self.clock = clock
        self.settings = settings
        self._app = app

    def client(self, token: str | None, *, address: str = ADDRESS, **headers: str) -> httpx.AsyncClient:
        """Return a client whose every answer is checked against the OpenAPI document."""
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        transport = httpx.ASGITransport(app=self._app, client=(address, 40000), raise_app_exceptions=False)
        return httpx.AsyncClient(
            transport=transport,
            base_url="http://api",
            headers={"x-ee-timeout": "20", **headers},
            event_hooks={"response": [check_answer]},
        )

    async def forget_everything(self) -> None:
        """Empty the database and prepare it as a start does."""
        with redis.Redis.from_url(self.url) as database:
            database.flushdb()
        await self.services.tokens.prepare(ROOT_TOKEN)
        await self.services.runtime_settings.update({"serviceUrl": SERVICE_URL})

    def keyspace(self) -> Mapping[bytes, Any]:
        """Return everything that is stored, except when tokens were used and what was told of that it happened."""
        with redis.Redis.from_url(self.url) as database:
            found = {name: _content(database, name) for name in database.keys("*") if name not in _TOLD}
        for name, content in found.items():
            if name.startswith(keys.token("").encode()):
                for field in _ACCESS:
                    content.pop(field, None)
        return found


def _content(database: redis.Redis, name: bytes) -> Any:
    # Not DUMP: it tells the order of insertion, too.
    kind = database.type(name)
    if kind == b"string":
        return database.get(name)
    if kind == b"hash":
        return database.hgetall(name)
    if kind == b"set":
        return database.smembers(name)
    if kind == b"zset":
        return sorted(database.zrange(name, 0, -1, withscores=True))
    if kind == b"list":
        return database.lrange(name, 0, -1)
    if kind == b"stream":
        return database.xrange(name)
    raise TypeError(f"nothing here stores a {kind!r}")


@contextlib.asynccontextmanager
async def installed(redis_url: str, clock: FakeClock, **members: Any) -> AsyncIterator[Installation]:
    """Run an application on a Redis database; `members` are of its settings."""
    settings = Settings(
        redis_url=redis_url, secret_keys=(b"k" * 32,), prepared_token=ROOT_TOKEN, service_url=SERVICE_URL, **members
    )
    services = build_services(settings, clock=clock)
    app = create_app(settings, services)
    async with app.lifespan():
        yield Installation(settings, services, keep_encoded_slashes(app), clock)
