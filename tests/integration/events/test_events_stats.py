"""GET /v1/stats: what it counts."""

from __future__ import annotations

import platform
import time

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


async def test_events_are_counted_in_the_time_asked_for(served: Served) -> None:
    """What the counters were two hours ago is put where it would be had the installation run then."""
    account = await served.account()
    with served.redis_client() as database:
        await served.happen(account, "m1")
        ago = int(time.time() - 7200) * 1000
        total = int(database.hget(keys.METRICS, "events|messageDeleted"))
        database.hset(keys.METRICS, "events|messageDeleted", total + 5)
        database.delete(keys.COUNTED)
        database.xadd(keys.COUNTED, {"at": ago // 1000, "messageDeleted": total}, id=ago)
    await served.happen(account, "m2", "m3")
    counted = {}
    async with served.client() as client:
        for seconds in (0, 60, 7000, 7300, 604800):
            found = (await client.get("/v1/stats", params={"seconds": str(seconds)})).json()
            counted[seconds] = found["counters"].get("events:messageDeleted", 0)
    assert counted in (
        {0: 2, 60: 2, 7000: 2, 7300: 7, 604800: 7},
        {0: 0, 60: 2, 7000: 2, 7300: 7, 604800: 7},  # a minute began meanwhile
    )


async def test_of_a_time_without_events_nothing_is_counted(served: Served) -> None:
    with served.redis_client() as database:
        database.delete(keys.COUNTED)
    async with served.client() as client:
        assert (await client.get("/v1/stats")).json()["counters"] == {}


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
