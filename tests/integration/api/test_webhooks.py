"""Webhook routes, deliveries and secrets over REST."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
import pytest

from gateway.model.webhook import WebhookDelivery
from gateway.redis import keys
from gateway.store.store import to_json
from gateway.store.webhooks import DeliveryStore
from tests.integration.api.installation import Installation
from tests.integration.api.refusals import refusal

pytestmark = pytest.mark.anyio

ROUTES = "/v1/webhookRoutes"
ROUTE = f"{ROUTES}/webhookRoute"
NEW = {"name": "Orders", "targetUrl": "https://user:secret@receiver.example/orders?key=k"}


async def create(client: httpx.AsyncClient, **members: Any) -> str:
    answer = await client.post(ROUTE, json={**NEW, **members})
    assert answer.status_code == 200, answer.text
    id: str = answer.json()["id"]
    return id


async def test_a_route_is_created_shown_changed_and_deleted(gateway: Installation, client: httpx.AsyncClient) -> None:
    before = gateway.keyspace()
    content = {"fn": "event == 'messageNew'", "map": "data.subject"}
    headers = [{"key": "X-Key", "value": "v"}]
    id = await create(client, description="Orders only", content=content, customHeaders=headers)
    shown = (await client.get(f"{ROUTE}/{id}")).json()
    assert shown["targetUrl"] == NEW["targetUrl"]
    assert (shown["content"], shown["customHeaders"], shown["enabled"], shown["tcount"], shown["v"]) == (
        content,
        headers,
        True,
        0,
        1,
    )
    gateway.clock.advance(60)
    answer = await client.put(f"{ROUTE}/{id}", json={"name": "Sales", "enabled": False, "content": None})
    assert answer.json() == {"id": id, "updated": True}
    changed = (await client.get(f"{ROUTE}/{id}")).json()
    assert (changed["name"], changed["enabled"], changed["v"]) == ("Sales", False, 2)
    assert changed["content"] == {"fn": None, "map": None}
    assert (changed["targetUrl"], changed["description"]) == (shown["targetUrl"], "Orders only")
    assert changed["created"] == shown["created"] < changed["updated"]
    assert (await client.delete(f"{ROUTE}/{id}")).json() == {"id": id, "deleted": True}
    assert gateway.keyspace() == before


async def test_routes_are_listed_page_by_page_in_the_order_of_creation(
    gateway: Installation, client: httpx.AsyncClient
) -> None:
    ids = []
    for number in range(5):
        gateway.clock.advance(1)
        ids.append(await create(client, name=f"Route {number}"))
    found = (await client.get(ROUTES, params={"page": 1, "pageSize": 2})).json()
    assert (found["total"], found["page"], found["pages"]) == (5, 1, 3)
    assert [route["id"] for route in found["webhooks"]] == ids[2:4]
    assert "content" not in found["webhooks"][0]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_route_that_there_is_not_is_not_found(client: httpx.AsyncClient, method: str) -> None:
    body = {} if method == "PUT" else None
    assert refusal(await client.request(method, f"{ROUTE}/nothing", json=body), 404) == "WebhookRouteNotFound"


@pytest.mark.parametrize(
    ("members", "key"),
    [
        ({"targetUrl": "ftp://receiver.example"}, "targetUrl"),
        ({"targetUrl": ""}, "targetUrl"),
        ({"content": {"fn": "event =="}}, "content.fn"),
        ({"content": {"map": "eval(data)"}}, "content.map"),
        ({"content": {"fn": "x" * 4097}}, "content.fn"),
        ({"customHeaders": [{"key": "X\r\nY", "value": "v"}]}, "customHeaders[0].key"),
        ({"customHeaders": [{"key": "X", "value": "v\r\nHost: x"}]}, "customHeaders[0].value"),
    ],
)
async def test_a_route_that_could_not_work_is_refused(
    gateway: Installation, client: httpx.AsyncClient, members: dict[str, Any], key: str
) -> None:
    before = gateway.keyspace()
    answer = await client.post(ROUTE, json={**NEW, **members})
    assert refusal(answer, 400) == "InvalidRequest"
    assert [field["key"] for field in answer.json()["fields"]] == [key]
    assert gateway.keyspace() == before


async def test_urls_and_headers_are_stored_sealed(gateway: Installation, client: httpx.AsyncClient) -> None:
    """A URL of a receiver is its password, more often than not."""
    await create(client, customHeaders=[{"key": "X-Key", "value": "hidden"}])
    await client.post(
        "/v1/settings",
        json={
            "webhooks": "https://receiver.example/hidden",
            "webhooksCustomHeaders": [{"key": "X-Key", "value": "hidden"}],
        },
    )
    stored = repr(gateway.keyspace())
    assert "hidden" not in stored
    assert "receiver.example" not in stored


async def test_a_new_secret_signs_beside_the_one_before_it(gateway: Installation, client: httpx.AsyncClient) -> None:
    first = (await client.post("/v1/webhooks/secret")).json()
    assert first["secret"].startswith("whsec_")
    # The one before the first was made at its first use, without anybody having seen it.
    assert first["secrets"] == 2
    second = (await client.post("/v1/webhooks/secret")).json()
    assert await gateway.services.runtime_settings.webhook_secrets() == (second["secret"], first["secret"])
    assert (await client.get("/v1/settings", params={"webhookSecrets": "true"})).json() == {"webhookSecrets": True}
    assert second["secret"].removeprefix("whsec_") not in repr(gateway.keyspace())


async def test_secrets_can_be_brought_along(gateway: Installation, client: httpx.AsyncClient) -> None:
    """From an installation that is left, so that no receiver has to change."""
    secret = f"whsec_{'A' * 32}"
    assert (await client.post("/v1/settings", json={"webhookSecrets": [secret]})).status_code == 200
    assert await gateway.services.runtime_settings.webhook_secrets() == (secret,)
    for wrong in ([], ["A" * 40], ["whsec_AAAA"], [f"whsec_{'A' * 33}"], [secret] * 3):
        refusal(await client.post("/v1/settings", json={"webhookSecrets": wrong}), 400)


async def test_deliveries_are_listed_with_what_was_answered(gateway: Installation, client: httpx.AsyncClient) -> None:
    store = DeliveryStore(gateway.services.store)
    now = gateway.clock()
    for number in range(3):
        await store.add(
            WebhookDelivery(
                endpoint="default",
                account="ann" if number else "bob",
                event="messageNew",
                event_id=f"{number}",
                state="failed" if number == 1 else "delivered",
                time=now,
                attempt=0,
                duration=12,
                status=500 if number == 1 else 204,
                error="HTTP 500" if number == 1 else None,
                answer="out of order" if number == 1 else None,
                request_headers={"webhook-id": f"{number}"},
            )
        )
    found = (await client.get("/v1/webhooks/deliveries", params={"account": "ann"})).json()
    assert [record["eventId"] for record in found["deliveries"]] == ["2", "1"]
    failed = found["deliveries"][1]
    assert (failed["state"], failed["status"], failed["error"]) == ("failed", 500, "HTTP 500")
    assert (failed["answer"], failed["requestHeaders"], failed["duration"]) == ("out of order", {"webhook-id": "1"}, 12)
    only = (await client.get("/v1/webhooks/deliveries", params={"state": "failed"})).json()
    assert [record["eventId"] for record in only["deliveries"]] == ["1"]
    page = (await client.get("/v1/webhooks/deliveries", params={"pageSize": 2})).json()
    rest = await client.get("/v1/webhooks/deliveries", params={"pageSize": 2, "cursor": page["nextCursor"]})
    assert [record["eventId"] for record in rest.json()["deliveries"]] == ["0"]
    assert rest.json()["nextCursor"] is None


async def test_cursor_of_deliveries_is_short_however_many_routes_there_are(gateway: Installation) -> None:
    """Attempts of different endpoints may have the same number; none is listed twice or left out."""
    store, endpoints = DeliveryStore(gateway.services.store), [f"{number:011}" for number in range(150)]
    now = gateway.clock()
    for endpoint in endpoints:
        delivery = WebhookDelivery(
            endpoint=endpoint,
            account="ann",
            event="messageNew",
            event_id="1",
            state="delivered",
            time=now,
            attempt=0,
            duration=1,
        )
        for name in (keys.webhook_deliveries(endpoint), keys.webhook_dead_letters(endpoint)):
            for number in range(2):
                id = f"{int(now.timestamp() * 1000)}-{number}"
                await gateway.services.store.control.call("XADD", name, id, "d", to_json(delivery))
    found, cursor = await store.list(endpoints, account=None, state=None, cursor=None, size=7, now=now)
    while cursor is not None:
        assert len(cursor) < 100
        more, cursor = await store.list(endpoints, account=None, state=None, cursor=cursor, size=70, now=now)
        found += more
    assert Counter(delivery.endpoint for delivery in found) == dict.fromkeys(endpoints, 4)


@pytest.mark.parametrize("cursor", ["x", "e30=", "WyJhIl0", "eyJkZWZhdWx0IjoiKiJ9", "\u00e9"])
async def test_a_cursor_that_was_not_given_out_is_refused_or_ends(client: httpx.AsyncClient, cursor: str) -> None:
    answer = await client.get("/v1/webhooks/deliveries", params={"cursor": cursor})
    if answer.status_code == 200:
        assert answer.json()["deliveries"] == []
    else:
        assert refusal(answer, 400) == "InvalidRequest"


async def test_records_are_kept_for_a_bounded_time(gateway: Installation, client: httpx.AsyncClient) -> None:
    """Redis forgets an endpoint's records when nothing is added, and whoever reads sees none that are older."""
    store = DeliveryStore(gateway.services.store)
    record = WebhookDelivery(
        endpoint="default", account="a", event="test", event_id="1", state="delivered", time=gateway.clock()
    )
    await store.add(record)
    ttl = await gateway.services.store.control.call("PTTL", keys.webhook_deliveries("default"))
    assert 0 < ttl <= 7 * 24 * 3600 * 1000


async def test_a_replay_has_to_say_of_what(client: httpx.AsyncClient) -> None:
    assert refusal(await client.post("/v1/webhooks/replay", json={}), 400) == "InvalidRequest"
    named = {"events": ["x"]}
    answer = await client.post("/v1/webhooks/replay", json=named)
    assert [field["key"] for field in answer.json()["fields"]] == ["account"]
    wanted = {"endpoint": "nothing", "from": "2026-01-01T00:00:00Z"}
    assert refusal(await client.post("/v1/webhooks/replay", json=wanted), 404) == "WebhookRouteNotFound"
    ranged = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}
    assert (await client.post("/v1/webhooks/replay", json=ranged)).json() == {"queued": 0, "accounts": 0}
