"""Queues as an operator sees them: count, pause, resume."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.api.installation import Installation

pytestmark = pytest.mark.anyio

QUEUE = "/v1/settings/queue"
ACCOUNT = {
    "account": "ann",
    "name": "Ann",
    "imap": {"host": "imap.test", "port": 993, "secure": True, "auth": {"user": "ann", "pass": "imap-password"}},
}
NONE = {"active": 0, "delayed": 0, "paused": 0, "waiting": 0}


async def test_waiting_jobs_are_counted_as_paused_while_the_queue_is(client: Any) -> None:
    """A new account has one attempt to connect waiting, and another due in case that it gets lost."""
    assert (await client.post("/v1/account", json=ACCOUNT)).status_code == 200
    jobs = {**NONE, "delayed": 1, "waiting": 1}
    assert (await client.get(f"{QUEUE}/mail")).json() == {"queue": "mail", "jobs": jobs, "paused": False}
    assert (await client.put(f"{QUEUE}/mail", json={"paused": True})).json() == {"queue": "mail", "paused": True}
    jobs = {**NONE, "delayed": 1, "paused": 1}
    assert (await client.get(f"{QUEUE}/mail")).json() == {"queue": "mail", "jobs": jobs, "paused": True}
    stats = (await client.get("/v1/stats")).json()["queues"]
    assert stats["mail"] == {**jobs, "isPaused": True, "total": 2}
    assert set(stats) == {"notify", "submit", "documents", "mail", "background", "export"}


async def test_the_other_queues_go_on(client: Any) -> None:
    await client.put(f"{QUEUE}/notify", json={"paused": True})
    assert (await client.get(f"{QUEUE}/notify")).json() == {"queue": "notify", "jobs": NONE, "paused": True}
    assert (await client.get(f"{QUEUE}/submit")).json() == {"queue": "submit", "jobs": NONE, "paused": False}


async def test_a_queue_stays_as_it_is_until_something_else_is_said(client: Any) -> None:
    await client.put(f"{QUEUE}/submit", json={"paused": True})
    assert (await client.put(f"{QUEUE}/submit", json={})).json() == {"queue": "submit", "paused": True}
    assert (await client.put(f"{QUEUE}/submit", json={"paused": False})).json() == {"queue": "submit", "paused": False}


async def test_the_queue_of_documents_is_always_empty(client: Any) -> None:
    assert (await client.put(f"{QUEUE}/documents", json={"paused": True})).json()["paused"] is True
    assert (await client.get(f"{QUEUE}/documents")).json() == {"queue": "documents", "jobs": NONE, "paused": True}


async def test_there_are_no_other_queues(gateway: Installation, client: Any) -> None:
    before = gateway.keyspace()
    for answer in (
        await client.get(f"{QUEUE}/webhook"),
        await client.put(f"{QUEUE}/webhook", json={"paused": True}),
        await client.put(f"{QUEUE}/notify", json={"paused": "perhaps"}),
    ):
        assert answer.status_code == 400
        assert answer.json()["code"] == "InvalidRequest"
    assert gateway.keyspace() == before
