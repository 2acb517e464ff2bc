"""API tokens over REST."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx
import pytest

from tests.integration.api.installation import ROOT_TOKEN, Installation
from tests.integration.api.refusals import refusal

pytestmark = pytest.mark.anyio

ROOT_ID = hashlib.sha256(ROOT_TOKEN.encode()).hexdigest()
READING = {"actions": ["read"]}


async def issue(client: httpx.AsyncClient, **members: Any) -> dict[str, str]:
    wanted = {"description": "a token", "scopes": ["api"], "permissions": READING, **members}
    answer = await client.post("/v1/tokens", json=wanted)
    assert answer.status_code == 200, answer.text
    created: dict[str, str] = answer.json()
    return created


async def test_the_value_of_a_token_is_shown_once_and_kept_nowhere(
    gateway: Installation, client: httpx.AsyncClient
) -> None:
    created = await issue(client, metadata='{"a": 1}', ip="192.0.2.1")
    assert len(bytes.fromhex(created["token"])) == 32
    assert created["id"] == hashlib.sha256(created["token"].encode()).hexdigest()
    assert created["token"] not in repr(gateway.keyspace())
    found = (await client.get(f"/v1/tokens/{created['id']}")).json()
    assert "token" not in found
    assert (found["description"], found["scopes"], found["permissions"]) == ("a token", ["api"], READING)
    assert (found["metadata"], found["ip"]) == ('{"a": 1}', "192.0.2.1")


async def test_a_token_is_not_found_by_its_value_or_by_a_part_of_its_id(client: httpx.AsyncClient) -> None:
    created = await issue(client)
    for id in (created["token"], created["id"][:-1], created["id"].upper(), f"{created['id']}:calls:1"):
        assert refusal(await client.get(f"/v1/tokens/{id}"), 404) == "TokenNotFound"


async def test_the_counter_of_a_token_is_no_token(gateway: Installation, client: httpx.AsyncClient) -> None:
    """Whatever is put behind an id, it names no record of another kind."""
    created = await issue(client, restrictions={"rateLimit": {"maxRequests": 5, "timeWindow": 60}})
    async with gateway.client(created["token"]) as limited:
        await limited.get("/v1/accounts")
    window = int(gateway.clock.time() // 60)
    for id in (f"{created['id']}:calls:{window}", f"{created['id']}:{window}"):
        refusal(await client.get(f"/v1/tokens/{id}"), 404)
        assert (await client.delete(f"/v1/tokens/{id}")).json() == {"deleted": False}


@pytest.mark.parametrize("named_by", ["id", "token"])
async def test_a_token_is_revoked_by_id_or_value(
    named_by: str, gateway: Installation, client: httpx.AsyncClient
) -> None:
    before = gateway.keyspace()
    created = await issue(client)
    assert (await client.delete(f"/v1/tokens/{created[named_by]}")).json() == {"deleted": True}
    assert (await client.delete(f"/v1/tokens/{created[named_by]}")).json() == {"deleted": False}
    assert gateway.keyspace() == before


async def test_a_token_of_an_account_needs_no_permissions(client: httpx.AsyncClient) -> None:
    await client.post("/v1/account", json={"account": "a", "name": "a"})
    created = await issue(client, account="a", permissions=None)
    assert (await client.get(f"/v1/tokens/{created['id']}")).json()["account"] == "a"


@pytest.mark.parametrize(
    ("members", "status", "key"),
    [
        ({"permissions": None}, 400, "permissions"),
        ({"permissions": {}}, 400, "permissions"),
        ({"permissions": {"actions": []}}, 400, "permissions"),
        ({"permissions": {"groups": ["admin"]}}, 400, "permissions.groups[0]"),
        ({"scopes": []}, 400, "scopes"),
        ({"scopes": ["*"]}, 400, "scopes[0]"),
        ({"metadata": "{"}, 400, "metadata"),
        ({"restrictions": {"addresses": ["nonsense"]}}, 400, "restrictions.addresses"),
        (
            {"restrictions": {"rateLimit": {"maxRequests": 0, "timeWindow": 1}}},
            400,
            "restrictions.rateLimit.maxRequests",
        ),
        ({"account": "none"}, 404, None),
    ],
)
async def test_a_token_that_would_allow_too_much_or_nothing_is_not_issued(
    members: dict[str, Any], status: int, key: str | None, gateway: Installation, client: httpx.AsyncClient
) -> None:
    """The API issues none that is neither bound nor narrowed; that is left to the command line."""
    before = gateway.keyspace()
    wanted = {"description": "x", "scopes": ["api"], "permissions": READING, **members}
    answer = await client.post("/v1/tokens", json=wanted)
    refusal(answer, status)
    assert [field["key"] for field in answer.json().get("fields", ())] == ([key] if key else [])
    assert gateway.keyspace() == before


async def test_lists_have_pages_and_filters(gateway: Installation, client: httpx.AsyncClient) -> None:
    await client.post("/v1/account", json={"account": "a", "name": "a"})
    ids = []
    for number in range(4):
        gateway.clock.advance(1)
        account = {"account": "a"} if number == 3 else {}
        ids.append((await issue(client, description=f"Number {number}", **account))["id"])

    async def listed(**query: Any) -> tuple[int, int, list[str]]:
        found = (await client.get("/v1/tokens", params=query)).json()
        return found["total"], found["pages"], [token["id"] for token in found["tokens"]]

    assert await listed() == (5, 1, [ROOT_ID, *ids])
    assert await listed(page=1, pageSize=2) == (5, 3, ids[1:3])
    assert await listed(page=9, pageSize=2) == (5, 3, [])
    assert await listed(query="number 2") == (1, 1, [ids[2]])
    assert await listed(query=ids[0][:20]) == (1, 1, [ids[0]])
    assert await listed(account="a") == (1, 1, [ids[3]])
    assert await listed(account="a*") == (0, 0, [])


async def test_the_audit_trail_is_there_and_empty(client: httpx.AsyncClient) -> None:
    created = await issue(client)
    answer = (await client.get(f"/v1/tokens/{created['id']}/log")).json()
    assert answer == {"token": created["id"], "total": 0, "page": 0, "pages": 0, "entries": []}
    refusal(await client.get("/v1/tokens/none/log"), 404)


async def test_the_prepared_token_exists_however_often_the_gateway_starts(
    gateway: Installation, client: httpx.AsyncClient
) -> None:
    before = gateway.keyspace()
    gateway.clock.advance(100)
    await gateway.services.tokens.prepare(ROOT_TOKEN)
    assert gateway.keyspace() == before
