"""GET /v1/stats: what it counts."""

from __future__ import annotations

import platform

import pytest

import gateway
from gateway.redis import keys
from tests.integration.events.served import Served

pytestmark = pytest.mark.anyio


async def test_stats_count_accounts_by_state_jobs_by_queue_and_events(served: Served) -> None:
    """Adding an account queues a connection attempt, which no worker takes here."""
    async with served.client() as client:
        before = (await client.get("/v1/stats")).json()
        account = await served.account()
        await served.unreachable(account, "no answer")
        await served.happen(account, "m1", "m2")
        after = (await client.get("/v1/stats", params={"seconds": "60"})).json()
    assert after["accounts"] == before["accounts"] + 1
    assert after["connections"]["connectError"] == before["connections"]["connectError"] + 1
    assert after["queues"]["mail"]["waiting"] == before["queues"]["mail"]["waiting"] + 1
    nothing = {"active": 0, "delayed": 0, "paused": 0, "waiting": 0, "total": 0, "isPaused": False}
    assert after["queues"]["submit"] == nothing
    deleted = "events:messageDeleted"
    assert after["counters"][deleted] == before["counters"].get(deleted, 0) + 2
    assert (after["version"], after["node"]) == (gateway.__version__, platform.python_version())


async def test_stats_name_the_server_and_its_dangerous_eviction_policy(served: Served) -> None:
    with served.redis_client() as database:
        version = database.info()["redis_version"]
        unassigned = database.scard(keys.UNOWNED)
        database.config_set("maxmemory-policy", "allkeys-lru")
        try:
            async with served.client() as client:
                found = (await client.get("/v1/stats")).json()
        finally:
            database.config_set("maxmemory-policy", "noeviction")
    assert (found["redis"], found["redisCluster"], found["connections"]["unassigned"]) == (version, False, unassigned)
    assert [warning["key"] for warning in found["redisWarnings"]] == ["eviction"]


async def test_a_window_beyond_a_week_is_refused(served: Served) -> None:
    async with served.client() as client:
        assert (await client.get("/v1/stats", params={"seconds": "604801"})).status_code == 400
