"""A submission that is sent again with its Idempotency-Key is answered again, and queued once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest

from gateway.model.submission import SubmitRequest
from gateway.services.idempotency import idempotency_key
from gateway.store.idempotency import KEPT
from gateway.store.outbox import OutboxStore
from tests.integration.api.installation import Installation
from tests.integration.api.refusals import refusal

pytestmark = pytest.mark.anyio

SMTP = {"host": "smtp.example.com", "port": 587, "auth": {"user": "u", "pass": "p"}}
LETTER: dict[str, Any] = {"to": [{"name": "Bob", "address": "bob@example.com"}], "subject": "Hello", "text": "Hello"}
MERGE: dict[str, Any] = {
    "subject": "Hello",
    "text": "Hello",
    "mailMerge": [{"to": {"address": "bob@example.com"}}, {"to": {"address": "eve@example.com"}}],
}
KEY = "order 4711/confirmation"


@pytest.fixture
async def sender(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A client; there are the accounts `a` and `b`, which can send."""
    for account in ("a", "b"):
        member = {"account": account, "name": "Ada", "email": "ada@example.com", "smtp": SMTP}
        assert (await client.post("/v1/account", json=member)).status_code == 200
    return client


async def submit(
    client: httpx.AsyncClient, members: Any = LETTER, *, key: str | bytes = KEY, account: str = "a"
) -> httpx.Response:
    return await client.post(f"/v1/account/{account}/submit", json=members, headers={"Idempotency-Key": key})


async def accepted(client: httpx.AsyncClient, members: Any = LETTER, **more: Any) -> dict[str, Any]:
    answer = await submit(client, members, **more)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def queued(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.get("/v1/outbox")).json()["messages"]
    return found


async def test_a_repeated_request_gets_the_first_ones_answer_and_queues_nothing(
    gateway: Installation, sender: httpx.AsyncClient
) -> None:
    first = await accepted(sender)
    assert first.pop("idempotency") == {"key": KEY, "status": "MISS"}
    (entry,) = await queued(sender)
    assert (entry["queueId"], entry["idempotencyKey"]) == (first["queueId"], KEY)
    before = gateway.keyspace()
    gateway.clock.advance(3600)
    # The order of members and of spaces is no difference.
    again = await accepted(sender, dict(reversed(LETTER.items())))
    assert again.pop("idempotency") == {"key": KEY, "status": "HIT"}
    assert again == first
    assert gateway.keyspace() == before


async def test_a_sent_message_is_not_sent_again_by_its_key(sender: httpx.AsyncClient) -> None:
    """Its entry has left the outbox; the key stays."""
    first = await accepted(sender)
    assert (await sender.delete(f"/v1/outbox/{first['queueId']}")).json() == {"deleted": True}
    assert (await accepted(sender))["queueId"] == first["queueId"]
    assert await queued(sender) == []


async def test_a_key_is_of_one_request(sender: httpx.AsyncClient) -> None:
    await accepted(sender)
    assert refusal(await submit(sender, {**LETTER, "text": "Bye"}), 422) == "IdempotencyKeyReused"
    assert refusal(await submit(sender, MERGE), 422) == "IdempotencyKeyReused"
    assert len(await queued(sender)) == 1


async def test_accounts_have_keys_of_their_own(sender: httpx.AsyncClient) -> None:
    answers = [await accepted(sender, account=account) for account in ("a", "b")]
    assert [answer["idempotency"]["status"] for answer in answers] == ["MISS", "MISS"]
    assert len(await queued(sender)) == 2


async def test_requests_at_the_same_time_queue_one_message(gateway: Installation, sender: httpx.AsyncClient) -> None:
    """All ask for the key before the first is done; all get its answer, and nothing is left of the others."""
    answers = await asyncio.gather(*(accepted(sender) for _ in range(8)))
    assert len({answer["queueId"] for answer in answers}) == 1
    assert sorted(answer["idempotency"]["status"] for answer in answers) == ["HIT"] * 7 + ["MISS"]
    (entry,) = await queued(sender)
    assert entry["queueId"] == answers[0]["queueId"]
    claimed = await gateway.services.due.claim(gateway.clock() + timedelta(days=1))
    assert [work.subject for work in claimed if work.operation == "outbox.send"] == [entry["queueId"]]


async def test_different_requests_at_the_same_time_queue_one_message(sender: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(submit(sender, {**LETTER, "text": f"No. {n}"}) for n in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 422, 422, 422]
    assert len(await queued(sender)) == 1


async def test_a_refused_request_leaves_its_key_free(gateway: Installation, sender: httpx.AsyncClient) -> None:
    before = gateway.keyspace()
    refusal(await submit(sender, {"text": "to nobody"}), 400)
    refusal(await submit(sender, {**MERGE, "to": {"address": "bob@example.com"}}), 400)
    refusal(await submit(sender, {**MERGE, "template": "none"}), 404)
    assert gateway.keyspace() == before
    assert (await accepted(sender))["idempotency"]["status"] == "MISS"


@pytest.mark.parametrize("members", [LETTER, MERGE])
async def test_a_dry_run_leaves_keys_alone(
    members: dict[str, Any], gateway: Installation, sender: httpx.AsyncClient
) -> None:
    before = gateway.keyspace()
    answer = await accepted(sender, {**members, "dryRun": True})
    assert answer["idempotency"] == {"key": KEY, "status": "MISS"}
    assert gateway.keyspace() == before
    assert (await accepted(sender, members))["idempotency"]["status"] == "MISS"
    assert (await accepted(sender, {**members, "dryRun": True}))["response"] == "Dry run"


@pytest.mark.parametrize("key", ["", " ", "x" * 257, "Schlüssel".encode(), "a\tb"])
async def test_a_bad_key_is_refused(key: str | bytes, sender: httpx.AsyncClient) -> None:
    assert refusal(await submit(sender, key=key), 400) == "InvalidIdempotencyKey"
    assert await queued(sender) == []


async def test_the_longest_key_is_taken(sender: httpx.AsyncClient) -> None:
    assert (await accepted(sender, key="x" * 256))["idempotency"]["key"] == "x" * 256


async def test_a_merge_is_one_operation(sender: httpx.AsyncClient) -> None:
    first = await accepted(sender, MERGE)
    assert first.pop("idempotency") == {"key": KEY, "status": "MISS"}
    assert [one["success"] for one in first["mailMerge"]] == [True, True]
    again = await accepted(sender, MERGE)
    assert again.pop("idempotency") == {"key": KEY, "status": "HIT"}
    assert again == first
    assert [entry["idempotencyKey"] for entry in await queued(sender)] == [KEY, KEY]
    other = {**MERGE, "mailMerge": [{"to": {"address": "mallory@example.com"}}]}
    assert refusal(await submit(sender, other), 422) == "IdempotencyKeyReused"


async def test_merges_at_the_same_time_are_done_once(sender: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(submit(sender, MERGE) for _ in range(4)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    done = [answer.json()["idempotency"]["status"] for answer in answers if answer.status_code == 200]
    assert done.count("MISS") == 1
    assert {refusal(answer) for answer in answers if answer.status_code == 409} <= {"IdempotencyKeyInUse"}
    assert len(await queued(sender)) == 2


async def _die(*_: Any) -> None:
    raise asyncio.CancelledError


async def test_an_api_process_that_dies_before_the_message_is_queued_leaves_no_claim(
    gateway: Installation, sender: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(OutboxStore, "add", _die)
        with pytest.raises(asyncio.CancelledError):
            await _submit_in_process(gateway)
    answer = await accepted(sender)
    assert answer["idempotency"]["status"] == "MISS"
    assert [entry["queueId"] for entry in await queued(sender)] == [answer["queueId"]]


async def test_an_api_process_that_dies_after_the_message_is_queued_leaves_the_answer(
    gateway: Installation, sender: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(gateway.services.dispatcher, "send", _die)
        with pytest.raises(asyncio.CancelledError):
            await _submit_in_process(gateway)
    (entry,) = await queued(sender)
    answer = await accepted(sender)
    assert (answer["idempotency"]["status"], answer["queueId"]) == ("HIT", entry["queueId"])
    assert len(await queued(sender)) == 1


async def _submit_in_process(gateway: Installation) -> None:
    request = msgspec.convert(LETTER, SubmitRequest)
    key = idempotency_key(KEY, "submit", request)
    await gateway.services.submissions.submit("a", request, key=key)


async def test_a_merge_whose_process_dies_keeps_its_key_in_use(
    gateway: Installation, sender: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows how far it came; the outbox shows by the key what is queued."""
    request = msgspec.convert(MERGE, SubmitRequest)
    with monkeypatch.context() as patched:
        patched.setattr(gateway.services.dispatcher, "send", _die)
        with pytest.raises(asyncio.CancelledError):
            await gateway.services.submissions.submit_merge(
                "a", request, pytest.fail, key=idempotency_key(KEY, "submit", request)
            )
    assert refusal(await submit(sender, MERGE), 409) == "IdempotencyKeyInUse"
    assert [entry["idempotencyKey"] for entry in await queued(sender)] == [KEY]


async def test_a_key_is_forgotten_after_a_day_and_with_its_account(
    gateway: Installation, sender: httpx.AsyncClient
) -> None:
    await accepted(sender)
    await accepted(sender, MERGE, key="another")
    kept = [name for name in gateway.keyspace() if b"idempotency" in name]
    assert len(kept) == 3
    for name in kept:
        left = await gateway.services.store.data.call("TTL", name)
        assert KEPT.total_seconds() - 60 < left <= KEPT.total_seconds()
    for queue_id in [entry["queueId"] for entry in await queued(sender)]:
        await sender.delete(f"/v1/outbox/{queue_id}")
    assert (await sender.delete("/v1/account/a")).status_code == 200
    assert [name for name in gateway.keyspace() if b"idempotency" in name] == []


async def test_the_key_itself_and_the_mail_are_not_stored_with_it(
    gateway: Installation, sender: httpx.AsyncClient
) -> None:
    """The digest of a request tells nothing of it."""
    await accepted(sender, {**LETTER, "text": "VERY-PRIVATE"})
    stored = {name: value for name, value in gateway.keyspace().items() if b"idempotency" in name}
    assert stored
    assert KEY not in repr(stored)
    assert "VERY-PRIVATE" not in repr(stored)


async def test_members_that_older_clients_send_make_no_difference(sender: httpx.AsyncClient) -> None:
    answer = await sender.post("/v1/account/a/submit?documentStore=true&useStructuredFormat=true", json=LETTER)
    assert answer.status_code == 200
    assert "idempotency" not in answer.json()
    (entry,) = await queued(sender)
    assert entry["idempotencyKey"] is None
