"""Redis goes and comes back; the API says so meanwhile, and needs no restart."""

from __future__ import annotations

import time

import httpx
import pytest

from gateway.testing.clock import FakeClock
from tests.integration.api.installation import ROOT_TOKEN, installed
from tests.integration.api.refusals import refusal
from tests.rigs.redis_server import RedisServer

pytestmark = pytest.mark.anyio

#: Seconds in which a client of a gateway without state is told so, however many calls wait.
PATIENCE = 15.0


async def test_the_api_survives_its_redis(durable_redis: RedisServer) -> None:
    """While Redis is away every call ends in time with 503; afterwards everything is as before."""
    async with installed(durable_redis.url, FakeClock()) as gateway, gateway.client(ROOT_TOKEN) as client:
        await gateway.forget_everything()
        member = {"account": "a", "name": "Ada"}
        assert (await client.post("/v1/account", json=member)).status_code == 200
        before = gateway.keyspace()
        durable_redis.kill()
        await _all_refused(client)
        durable_redis.start()
        assert (await client.get("/v1/account/a")).json()["name"] == "Ada"
        assert gateway.keyspace() == before
        assert (await client.put("/v1/account/a", json={"name": "Eve"})).status_code == 200
        answer = await client.get("/health")
        assert answer.json()["checks"]["redis"] is True


async def _all_refused(client: httpx.AsyncClient) -> None:
    calls = [
        ("GET", "/v1/accounts", None),
        ("GET", "/v1/account/a", None),
        ("PUT", "/v1/account/a", {"name": "Bob"}),
        ("POST", "/v1/account", {"account": "b", "name": "b"}),
        ("DELETE", "/v1/account/a", None),
        ("GET", "/v1/account/a/mailboxes", None),
    ]
    for method, path, body in calls:
        begun = time.monotonic()
        answer = await client.request(method, path, json=body)
        assert refusal(answer, 503) == "Unhealthy"
        assert time.monotonic() - begun < PATIENCE
    health = await client.get("/health")
    assert refusal(health, 503) == "Unhealthy"
    assert health.json()["checks"] == {"redis": False, "workers": False}


async def test_a_redis_that_refuses_writes_is_told_from_one_that_answers(durable_redis: RedisServer) -> None:
    """A full server (`noeviction`) loses nothing and says so; reads go on."""
    async with installed(durable_redis.url, FakeClock()) as gateway, gateway.client(ROOT_TOKEN) as client:
        await gateway.forget_everything()
        await client.post("/v1/account", json={"account": "a", "name": "Ada"})
        await gateway.services.databases.control.config_set("maxmemory", "1")
        refused = await client.post("/v1/account", json={"account": "b", "name": "b"})
        assert refusal(refused, 503) == "Unhealthy"
        assert (await client.get("/v1/account/a")).status_code == 200
        await gateway.services.databases.control.config_set("maxmemory", "0")
        assert (await client.post("/v1/account", json={"account": "b", "name": "b"})).status_code == 200
