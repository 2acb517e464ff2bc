"""GET /metrics: what it counts, who may read it, and that a scraper can."""

from __future__ import annotations

import re

import httpx
import pytest

from gateway.model.token import TokenCreate
from gateway.redis import keys
from tests.integration.events.served import Served

pytestmark = pytest.mark.anyio

_NAME = r"[a-zA-Z_][a-zA-Z0-9_]*"
_LABEL = rf'{_NAME}="(?:[^"\\\n]|\\["\\n])*"'
_SAMPLE = re.compile(rf"({_NAME})(\{{(?:{_LABEL})(?:,{_LABEL})*\}})? ([0-9.e+-]+)")

Metrics = dict[str, float]


async def scrape(client: httpx.AsyncClient) -> Metrics:
    """Return the samples by name and labels, after a look at the form."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.text.endswith("\n")
    samples: Metrics = {}
    described: dict[str, str] = {}
    for line in answer.text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in described
            described[name] = kind
        elif not line.startswith("# HELP "):
            match = _SAMPLE.fullmatch(line)
            assert match is not None, line
            name = match[1] if match[1] in described else re.sub(r"_(bucket|sum|count)$", "", match[1])
            assert described[name] in ("gauge", "counter", "histogram")
            assert f"{match[1]}{match[2] or ''}" not in samples
            samples[f"{match[1]}{match[2] or ''}"] = float(match[3])
    return samples


async def test_accounts_and_events_are_counted_in_whichever_process_they_arise(served: Served) -> None:
    async with served.client() as client:
        before = await scrape(client)
        account = await served.account()
        await served.unreachable(account, "no answer")
        await served.happen(account, "m1", "m2")
        after = await scrape(client)
    new = {name: after[name] - before.get(name, 0) for name in after}
    assert new['gateway_accounts{state="connectError"}'] == 1
    assert new['gateway_events_total{event="accountAdded"}'] == 1
    assert new['gateway_events_total{event="connectError"}'] == 1
    assert new['gateway_events_total{event="messageDeleted"}'] == 2
    assert after['gateway_workers{state="working"}'] == 0
    assert not any(account in name for name in after)


async def test_jobs_that_wait_are_counted_by_lane_with_the_age_of_the_oldest(served: Served) -> None:
    """Adding an account queues a connection attempt, which no worker takes here."""
    async with served.client() as client:
        before = await scrape(client)
        await served.account()
        after = await scrape(client)
    waiting = 'gateway_jobs_waiting{lane="read"}'
    assert after[waiting] == before[waiting] + 1
    assert after['gateway_jobs_waiting{lane="send"}'] == 0
    assert after['gateway_jobs_oldest_wait_seconds{lane="send"}'] == 0
    assert after['gateway_jobs_oldest_wait_seconds{lane="read"}'] >= 0
    assert after["gateway_due_work"] >= 1
    with served.redis_client() as database:
        first = database.lindex(keys.rq_queue("mail"), 0)
        database.hset(keys.rq_job(first.decode()), "enqueued_at", "2020-01-01T00:00:00.000000Z")
    async with served.client() as client:
        assert (await scrape(client))['gateway_jobs_oldest_wait_seconds{lane="read"}'] > 1e8


async def test_what_workers_report_is_told_of_those_that_live(served: Served) -> None:
    metrics = served.services.metrics_store
    with served.redis_client() as database:
        database.sadd(keys.WORKERS, "one", "two", "gone")
        database.set(keys.worker("one"), "1")
        database.set(keys.worker("two"), "0")
        database.sadd(keys.owned("one"), "a", "b")
    await metrics.report("one", {"watches": 2}, {"sync|full|0.1": 3, "sync|full|+Inf": 1, "sync|full|sum": 200.5})
    await metrics.report("two", {"watches": 0}, {"sync|full|0.1": 1, "sync|full|sum": 0.05})
    await metrics.report("gone", {"watches": 9}, {})
    try:
        async with served.client() as client:
            found = await scrape(client)
        assert (found['gateway_workers{state="working"}'], found['gateway_workers{state="stopping"}']) == (1, 1)
        assert found['gateway_worker_accounts{worker="one"}'] == 2
        assert found['gateway_worker_watches{worker="one"}'] == 2
        assert not any("gone" in name for name in found)
        buckets = {name: value for name, value in found.items() if name.startswith("gateway_sync_seconds")}
        assert buckets['gateway_sync_seconds_bucket{pass="full",le="0.03"}'] == 0
        assert buckets['gateway_sync_seconds_bucket{pass="full",le="0.1"}'] == 4
        assert buckets['gateway_sync_seconds_bucket{pass="full",le="100"}'] == 4
        assert buckets['gateway_sync_seconds_bucket{pass="full",le="+Inf"}'] == 5
        assert buckets['gateway_sync_seconds_count{pass="full"}'] == 5
        assert buckets['gateway_sync_seconds_sum{pass="full"}'] == pytest.approx(200.55)
    finally:
        with served.redis_client() as database:
            database.delete(keys.WORKERS, keys.worker("one"), keys.worker("two"), keys.owned("one"))


@pytest.mark.parametrize(("scopes", "status"), [(("metrics",), 200), (("*",), 200), (("api",), 403)])
async def test_a_token_needs_the_scope(served: Served, scopes: tuple[str, ...], status: int) -> None:
    token = (await served.services.tokens.issue_unrestricted("scraper", scopes, None)).token  # type: ignore[arg-type]
    async with served.client(token) as client:
        assert (await client.get("/metrics")).status_code == status
        if scopes == ("metrics",):
            assert (await client.get("/v1/accounts")).status_code == 403


async def test_the_token_of_one_account_does_not_see_the_figures_of_all(served: Served) -> None:
    account = await served.account()
    request = TokenCreate(account=account, description="bound", scopes=("metrics",))
    token = (await served.services.tokens.issue(request)).token
    async with served.client(token) as client:
        assert (await client.get("/metrics")).status_code == 403
