"""`gateway serve` as a process, and what tests do to it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import redis
from redis.exceptions import RedisError

from gateway.errors import ConnectError
from gateway.model.account import AccountCreate
from gateway.model.event import Event, MessageDeletedData
from gateway.model.token import TokenCreate
from gateway.services.container import Services, build_services
from gateway.settings import Settings
from gateway.tail import follow
from tests.acceptance.processes import GatewayProcess
from tests.rigs.ports import reserve_port
from tests.rigs.processes import wait_until
from tests.rigs.redis_server import RedisServer

SERVICE_URL = "https://gateway.example"
IMAP = {"host": "imap.test", "port": 993, "secure": True, "auth": {"user": "ann", "pass": "imap-password"}}


class Served:
    """A gateway without workers.

    Attributes:
        services: on the same Redis, in the test's process.
        url, token: of the API, the token with every right.
    """

    def __init__(self, directory: Path, server: RedisServer, services: Services, key: str, token: str) -> None:
        port = reserve_port()
        self.redis = server
        self.services = services
        self.url = f"http://127.0.0.1:{port}"
        self.token = token
        self._settings = {
            "GATEWAY_REDIS_URL": server.url,
            "GATEWAY_SECRET_KEYS": key,
            "GATEWAY_PORT": str(port),
            "GATEWAY_SERVICE_URL": SERVICE_URL,
            "GATEWAY_PREPARED_TOKEN": token,
        }
        self._directory = directory
        self.process = self._new_process()

    def _new_process(self) -> GatewayProcess:
        return GatewayProcess("serve", ["serve", "--with-parent"], self._settings, self._directory / "serve.log")

    def start(self) -> None:
        """Start the API and wait until it answers; it may have been stopped before."""
        self.process = self._new_process()
        self.process.start()
        wait_until(self._answers, "the API", 60)

    def client(self, token: str | None = None) -> httpx.AsyncClient:
        """Return a client; by default one that may do everything."""
        return httpx.AsyncClient(base_url=self.url, headers={"Authorization": f"Bearer {token or self.token}"})

    async def account(self) -> str:
        """Add an account that nobody connects."""
        account = f"account-{secrets.token_hex(4)}"
        await self.services.accounts.create(
            msgspec.convert({"account": account, "name": "Ann", "imap": IMAP}, AccountCreate)
        )
        return account

    async def token_of(self, account: str) -> str:
        """Return a token that is bound to an account."""
        request = TokenCreate(account=account, description="bound", scopes=("api",))
        return (await self.services.tokens.issue(request)).token

    async def happen(self, account: str, *ids: str) -> list[Event]:
        """Have messages deleted."""
        make = self.services.events.make
        made = [make("messageDeleted", account, MessageDeletedData(id=id), path="INBOX") for id in ids]
        await self.services.events.append(account, made)
        return made

    async def unreachable(self, account: str, words: str) -> None:
        """Have the server of an account refuse."""
        await self.services.account_health.outcome(account, ConnectError(words, native_code="ECONNREFUSED"))

    @asynccontextmanager
    async def listening(self, token: str | None = None, *, after: str = "", **query: str) -> AsyncIterator[Listener]:
        """Listen to the stream; it has begun when this returns."""
        async with self.client(token) as client, contextlib.aclosing(follow(client, query, after)) as stream:
            listener = Listener(stream)
            await listener.begin()
            yield listener

    async def reaches_redis(self) -> bool:
        """Tell whether the services of this process can do something."""
        try:
            return bool(await self.services.store.control.call("PING"))
        except RedisError:
            return False

    def redis_client(self) -> redis.Redis:
        """Return a client that looks at what is stored."""
        return redis.Redis.from_url(self.redis.url)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/openapi.json", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False


class Listener:
    """One reader of a stream; `place` is where it would resume."""

    def __init__(self, stream: Any) -> None:
        self.place = ""
        self._stream = stream

    async def begin(self) -> None:
        """Read what a stream begins with: a place, and no event."""
        first = await anext(self._stream)
        assert first.data == ""
        self.place = first.id

    async def next(self) -> dict[str, Any]:
        """Return the next event."""
        while True:
            async with asyncio.timeout(10):
                event = await anext(self._stream)
            self.place = event.id
            if event.data:
                found: dict[str, Any] = msgspec.json.decode(event.data)
                return found

    async def take(self, count: int) -> list[dict[str, Any]]:
        """Return the next events."""
        return [await self.next() for _ in range(count)]


@asynccontextmanager
async def open_served(directory: Path, server: RedisServer) -> AsyncIterator[Served]:
    """Run the API."""
    key, token = secrets.token_hex(32), secrets.token_hex(32)
    services = build_services(Settings(redis_url=server.url, secret_keys=(bytes.fromhex(key),)))
    await services.jobs.start()
    served = Served(directory, server, services, key, token)
    try:
        await asyncio.to_thread(served.start)
        yield served
    finally:
        await services.aclose()
        await asyncio.to_thread(served.process.kill)
