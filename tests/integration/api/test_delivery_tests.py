"""Delivery tests over REST, up to the point where a worker takes over; the receiver has tests of its own."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from gateway.model.delivery_test import (
    ArcResult,
    BimiResult,
    CheckStatus,
    DeliveryReport,
    DkimResult,
    DmarcResult,
    SignatureResult,
    SpfResult,
)
from gateway.redis import keys
from gateway.services.delivery_tests.service import MOST
from gateway.testing.clock import FakeClock
from tests.integration.api.installation import DELIVERY_DOMAIN, ROOT_TOKEN, Installation, installed
from tests.integration.api.refusals import refusal

pytestmark = pytest.mark.anyio

SMTP = {"host": "smtp.example.com", "port": 587, "auth": {"user": "u", "pass": "p"}}
PASS = CheckStatus(result="pass")
SIGNED = SignatureResult(status=PASS, signing_domain="example.com")
REPORT = DeliveryReport(
    dkim=DkimResult(header_from=("ada@example.com",), results=(SIGNED,)),
    spf=SpfResult(status=PASS, client_ip="192.0.2.1", envelope_from="ada@example.com"),
    dmarc=DmarcResult(status=PASS),
    bimi=BimiResult(status=CheckStatus(result="none")),
    arc=ArcResult(status=CheckStatus(result="none")),
    main_sig=SIGNED,
)


@pytest.fixture
async def sender(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A client; there are the accounts `a` and `b` of ada@example.com, which can send."""
    for account in ("a", "b"):
        member = {"account": account, "name": "Ada", "email": "ada@example.com", "smtp": SMTP}
        assert (await client.post("/v1/account", json=member)).status_code == 200
    return client


async def start(client: httpx.AsyncClient, account: str = "a", **members: Any) -> str:
    answer = await client.post(f"/v1/delivery-test/account/{account}", json=members)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body.keys() == {"success", "deliveryTest"}
    assert body["success"] is True
    return str(body["deliveryTest"])


async def test_a_started_test_is_pending_and_its_message_in_the_outbox(sender: httpx.AsyncClient) -> None:
    id = await start(sender)
    assert (await sender.get(f"/v1/delivery-test/check/{id}")).json() == {"success": True, "status": "pending"}
    (entry,) = (await sender.get("/v1/outbox")).json()["messages"]
    assert re.fullmatch(r"[0-9a-f]{32}", id)
    assert entry["envelope"] == {"from": "ada@example.com", "to": [f"{id}@{DELIVERY_DOMAIN}"]}
    assert (entry["account"], entry["source"], entry["subject"]) == ("a", "test", "Delivery test")


async def test_what_the_receiver_found_is_told_in_the_names_of_the_wire(
    gateway: Installation, sender: httpx.AsyncClient
) -> None:
    id = await start(sender)
    test = await gateway.services.delivery_tests.addressed(f"{id}@{DELIVERY_DOMAIN}")
    assert test is not None
    await gateway.services.delivery_tests.arrived(test, REPORT)
    found = (await sender.get(f"/v1/delivery-test/check/{id}")).json()
    assert found.keys() == {"success", "status", "dkim", "spf", "dmarc", "bimi", "arc", "mainSig"}
    assert (found["success"], found["status"]) == (True, "success")
    assert found["spf"] == {"status": {"result": "pass"}, "client-ip": "192.0.2.1", "envelope-from": "ada@example.com"}
    assert found["mainSig"] == {"status": {"result": "pass"}, "signingDomain": "example.com"}
    assert found["dkim"] == {"headerFrom": ["ada@example.com"], "results": [found["mainSig"]]}


async def test_a_test_goes_through_the_relay_that_is_named(sender: httpx.AsyncClient) -> None:
    wanted = {"gateway": "out", "name": "Out", "host": "relay.example.com", "port": 25}
    assert (await sender.post("/v1/gateway", json=wanted)).status_code == 200
    await start(sender, gateway="out")
    await start(sender, gateway=None)
    entries = (await sender.get("/v1/outbox")).json()["messages"]
    assert sorted(entry.get("gateway") or "" for entry in entries) == ["", "out"]


async def test_a_test_that_cannot_be_sent_is_not_started(gateway: Installation, sender: httpx.AsyncClient) -> None:
    before = {name for name in gateway.keyspace() if b"delivery-test" in name}
    wrong = {"gateway": "nowhere"}
    assert refusal(await sender.post("/v1/delivery-test/account/a", json=wrong), 404) == "GatewayNotFound"
    assert refusal(await sender.post("/v1/delivery-test/account/nobody", json={}), 404) == "AccountNotFound"
    assert refusal(await sender.post("/v1/delivery-test/account/a", json={"to": "x"}), 400)
    assert refusal(await sender.get("/v1/delivery-test/check/unknown"), 404) == "DeliveryTestNotFound"
    assert {name for name in gateway.keyspace() if b"delivery-test" in name} == before


async def test_a_deleted_message_is_a_failed_test(sender: httpx.AsyncClient) -> None:
    id = await start(sender)
    (entry,) = (await sender.get("/v1/outbox")).json()["messages"]
    assert (await sender.post(f"/v1/outbox/{entry['queueId']}/cancel")).status_code == 200
    found = (await sender.get(f"/v1/delivery-test/check/{id}")).json()
    assert found == {"success": False, "status": "failed", "error": "The message was cancelled"}


async def test_a_token_of_an_account_sees_its_own_tests_alone(gateway: Installation, sender: httpx.AsyncClient) -> None:
    """And starts no others."""
    own, other = await start(sender), await start(sender, "b")
    wanted = {"account": "a", "description": "a", "scopes": ["api"]}
    token = (await sender.post("/v1/tokens", json=wanted)).json()["token"]
    async with gateway.client(token) as client:
        assert (await client.get(f"/v1/delivery-test/check/{own}")).json()["status"] == "pending"
        assert refusal(await client.get(f"/v1/delivery-test/check/{other}"), 404) == "DeliveryTestNotFound"
        assert refusal(await client.post("/v1/delivery-test/account/b", json={}), 403) == "Forbidden"


async def test_an_account_starts_a_bounded_number_of_tests_in_an_hour(
    gateway: Installation, sender: httpx.AsyncClient
) -> None:
    for _ in range(MOST):
        await start(sender)
        gateway.clock.advance(1)
    # What is refused does not count.
    assert refusal(await sender.post("/v1/delivery-test/account/b", json={"gateway": "nowhere"}), 404)
    refused = await sender.post("/v1/delivery-test/account/a", json={})
    assert refusal(refused, 429) == "RateLimited"
    assert int(refused.headers["retry-after"]) == 3600 - MOST
    await start(sender, "b")
    gateway.clock.advance(3600 - MOST)
    await start(sender)
    assert refusal(await sender.post("/v1/delivery-test/account/a", json={}), 429) == "RateLimited"


async def test_nothing_of_a_test_is_left_when_its_account_is_deleted(
    gateway: Installation, sender: httpx.AsyncClient
) -> None:
    """But its id and whose it was, which are forgotten after a day."""
    id = await start(sender)
    test = await gateway.services.delivery_tests.addressed(f"{id}@{DELIVERY_DOMAIN}")
    assert test is not None
    assert (await sender.delete("/v1/account/a")).status_code == 200
    await gateway.services.delivery_tests.arrived(test, REPORT)
    assert refusal(await sender.get(f"/v1/delivery-test/check/{id}"), 404) == "DeliveryTestNotFound"
    assert {name: found for name, found in gateway.keyspace().items() if b"delivery-test" in name} == {
        keys.delivery_test_account(id).encode(): b"a"
    }


async def test_without_a_receiver_the_operator_is_told_what_to_set(redis_url: str) -> None:
    async with installed(redis_url, FakeClock()) as gateway, gateway.client(ROOT_TOKEN) as client:
        refused = await client.post("/v1/delivery-test/account/a", json={})
        assert refusal(refused, 400) == "DeliveryTestUnavailable"
        assert "GATEWAY_DELIVERY_TEST_DOMAIN" in refused.json()["message"]
        assert "gateway inbound" in refused.json()["message"]
