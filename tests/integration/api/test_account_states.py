"""States of accounts over REST: what each lets a client do, and what moves an account on."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from gateway.redis import keys
from tests.integration.api.accounts import IMAP, create, read
from tests.integration.api.installation import Installation
from tests.integration.api.refusals import refusal

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("init", "NotYetConnected"),
        ("authenticationError", "AuthenticationFails"),
        ("connectError", "ConnectionError"),
        ("unset", "NotSyncing"),
        ("disconnected", "NoAvailable"),
        ("paused", "NoAvailable"),
    ],
)
async def test_an_account_that_is_not_ready_says_why(
    state: Any, code: str, gateway: Installation, client: httpx.AsyncClient
) -> None:
    await create(client, "a", imap=IMAP)
    await gateway.services.account_store.set_state("a", state, None)
    answer = await client.get("/v1/account/a/mailboxes")
    assert (refusal(answer, 503), answer.json()["state"]) == (code, state)


@pytest.mark.parametrize("state", ["connected", "connecting", "syncing"])
async def test_a_ready_account_is_asked_and_a_deadline_is_kept(
    state: Any, gateway: Installation, client: httpx.AsyncClient
) -> None:
    """Nobody answers here; the caller's time is the caller's to set, and the job can be found by its id."""
    await create(client, "a", imap=IMAP)
    await gateway.services.account_store.set_state("a", state, None)
    answer = await client.get("/v1/account/a/mailboxes", headers={"x-ee-timeout": "1"})
    assert refusal(answer, 504) == "Timeout"
    assert keys.rq_job(answer.json()["job"]).encode() in gateway.keyspace()


async def test_what_is_only_asked_for_does_not_act(gateway: Installation, client: httpx.AsyncClient) -> None:
    await create(client, "a", imap=IMAP)
    await gateway.services.account_store.set_state("a", "connected", None)
    before = gateway.keyspace()
    for what in ("reconnect", "sync", "flush"):
        for body in ({}, {what: False}):
            assert (await client.put(f"/v1/account/a/{what}", json=body)).json() == {what: False}
    assert gateway.keyspace() == before


async def test_reconnect_sync_and_flush(gateway: Installation, client: httpx.AsyncClient) -> None:
    await create(client, "a", imap=IMAP)
    await gateway.services.account_store.set_state("a", "connected", None)
    assert (await client.put("/v1/account/a/sync", json={"sync": True})).json() == {"sync": True}
    assert (await client.put("/v1/account/a/flush", json={"flush": True, "notifyFrom": "2024-01-01"})).json() == {
        "flush": True
    }
    assert (await read(client, "a"))["notifyFrom"] == "2024-01-01T00:00:00Z"
    assert (await client.put("/v1/account/a/reconnect", json={"reconnect": True})).json() == {"reconnect": True}
    assert (await read(client, "a"))["state"] == "connecting"


async def test_the_quota_is_an_addition(client: httpx.AsyncClient) -> None:
    """An account that cannot be asked is shown all the same."""
    await create(client, "a")
    assert (await client.get("/v1/account/a?quota=true")).json()["quota"] is False
