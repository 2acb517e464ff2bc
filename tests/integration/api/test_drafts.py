"""Sending of stored drafts over REST, up to the point where a worker is asked."""

from __future__ import annotations

import time
from typing import Any

import httpx
import msgspec
import pytest

from gateway.errors import NotFoundError
from gateway.model.submission import DraftSubmit, SubmitRequest
from gateway.redis import keys
from gateway.services.idempotency import idempotency_key
from tests.integration.api.installation import Installation
from tests.integration.api.refusals import refusal

pytestmark = pytest.mark.anyio

SMTP = {"host": "smtp.example.com", "port": 587, "auth": {"user": "u", "pass": "p"}}
URL = "/v1/account/a/message/AAAAAQAAAAE/submit"


@pytest.fixture
async def sender(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A client; there is the account `a`, which can send."""
    member = {"account": "a", "name": "Ada", "email": "ada@example.com", "smtp": SMTP}
    assert (await client.post("/v1/account", json=member)).status_code == 200
    return client


async def test_an_account_that_cannot_work_is_told_at_once(gateway: Installation, sender: httpx.AsyncClient) -> None:
    """No worker is asked, whose answer would be waited for."""
    await gateway.services.account_store.set_state("a", "authenticationError", None)
    before, begun = gateway.keyspace(), time.monotonic()
    answer = await sender.post(URL, json={}, headers={"x-ee-timeout": "30000"})
    assert refusal(answer, 503) == "AuthenticationFails"
    assert time.monotonic() - begun < 10
    assert gateway.keyspace() == before


async def test_a_worker_is_asked_within_the_callers_time(gateway: Installation, sender: httpx.AsyncClient) -> None:
    await gateway.services.account_store.set_state("a", "connected", None)
    assert refusal(await sender.post(URL, json={}), 504) == "Timeout"
    assert (await sender.get("/v1/outbox")).json()["total"] == 0


async def test_an_unknown_account_has_no_drafts(sender: httpx.AsyncClient) -> None:
    assert refusal(await sender.post(URL.replace("/a/", "/nobody/"), json={}), 404) == "AccountNotFound"


async def test_a_known_key_is_answered_though_the_draft_is_gone_and_the_account_away(
    gateway: Installation, sender: httpx.AsyncClient
) -> None:
    """What was done stays done; another draft, or another way to send it, is another request."""
    key = idempotency_key("k", "draft", "AAAAAQAAAAE", DraftSubmit())
    letter = msgspec.convert({"to": {"address": "bob@example.com"}, "text": "x"}, SubmitRequest)
    first = await gateway.services.submissions.submit("a", letter, key=key, draft="AAAAAQAAAAE")
    await gateway.services.account_store.set_state("a", "authenticationError", None)
    headers = {"Idempotency-Key": "k"}
    answer = (await sender.post(URL, json={}, headers=headers)).json()
    assert answer["idempotency"] == {"key": "k", "status": "HIT"}
    assert answer["queueId"] == first.queue_id
    assert refusal(await sender.post(URL, json={"copy": True}, headers=headers), 422) == "IdempotencyKeyReused"
    other = URL.replace("AAAAAQAAAAE", "AAAAAQAAAAI")
    assert refusal(await sender.post(other, json={}, headers=headers), 422) == "IdempotencyKeyReused"
    assert refusal(await sender.post(URL, json={}, headers={"Idempotency-Key": ""}), 400) == "InvalidIdempotencyKey"
    assert keys.outbox_entry("a", str(first.queue_id)).encode() in gateway.keyspace()


async def test_a_draft_that_is_gone_while_it_is_read_was_sent_by_the_same_request(
    gateway: Installation, sender: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two come at a time, and the first is done before the second has read the draft."""
    await gateway.services.account_store.set_state("a", "connected", None)
    key = idempotency_key("k", "draft", "AAAAAQAAAAE", DraftSubmit())
    letter = msgspec.convert({"to": {"address": "bob@example.com"}, "text": "x"}, SubmitRequest)

    async def gone(*_: Any, **__: Any) -> bytes:
        await gateway.services.submissions.submit("a", letter, key=key, draft="AAAAAQAAAAE")
        raise NotFoundError("no such message", code="MessageNotFound")

    monkeypatch.setattr(gateway.services.jobs, "call", gone)
    answer = await sender.post(URL, json={}, headers={"Idempotency-Key": "k"})
    assert answer.json()["idempotency"]["status"] == "HIT"
    assert refusal(await sender.post(URL, json={}, headers={"Idempotency-Key": "other"}), 404) == "MessageNotFound"
