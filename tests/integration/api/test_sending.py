"""Submission and outbox over REST, up to the point where a worker takes over."""

from __future__ import annotations

import base64
import json
import re
from datetime import timedelta
from email import message_from_bytes, policy
from typing import Any

import httpx
import msgspec
import pytest

from gateway.app import create_app
from gateway.redis import keys
from tests.integration.api.installation import Installation
from tests.integration.api.refusals import refusal

pytestmark = pytest.mark.anyio

SMTP = {"host": "smtp.example.com", "port": 587, "auth": {"user": "u", "pass": "p"}}
LETTER = {"to": {"name": "Bob", "address": "bob@example.com"}, "subject": "Hello", "text": "Hello Bob"}


@pytest.fixture
async def sender(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A client; there is the account `a` of ada@example.com, which can send, and `b`, too."""
    for account in ("a", "b"):
        member = {"account": account, "name": "Ada", "email": "ada@example.com", "smtp": SMTP}
        assert (await client.post("/v1/account", json=member)).status_code == 200
    return client


async def test_how_large_a_body_may_be_is_a_setting(gateway: Installation, sender: httpx.AsyncClient) -> None:
    """Of bodies that carry mail; 50 MiB are taken where nothing is said."""
    settings = msgspec.structs.replace(gateway.settings, max_body_size=5000)
    app, headers = create_app(settings, gateway.services, started=True), dict(sender.headers)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url=str(sender.base_url), headers=headers
    ) as client:
        assert (await client.post("/v1/account/a/submit", json={**LETTER, "text": "x" * 4000})).status_code == 200
        answer = await client.post("/v1/account/a/submit", json={**LETTER, "text": "x" * 5000})
    assert refusal(answer, 413) == "RequestTooLarge"


async def submit(client: httpx.AsyncClient, account: str = "a", **members: Any) -> Any:
    answer = await client.post(f"/v1/account/{account}/submit", json={**LETTER, **members})
    assert answer.status_code == 200, answer.text
    return answer.json()


def jobs(gateway: Installation) -> int:
    return sum(name.startswith(keys.rq_job("").encode()) for name in gateway.keyspace())


async def test_a_message_is_in_the_outbox_when_it_was_accepted(
    gateway: Installation, sender: httpx.AsyncClient
) -> None:
    before = jobs(gateway)
    answer = await submit(sender)
    assert answer["response"] == "Queued for delivery"
    assert jobs(gateway) == before + 1
    entry = (await sender.get(f"/v1/outbox/{answer['queueId']}")).json()
    assert (entry["state"], entry["account"], entry["subject"]) == ("queued", "a", "Hello")
    assert entry["envelope"] == {"from": "ada@example.com", "to": ["bob@example.com"]}
    assert (entry["messageId"], entry["attemptsMade"], entry["attempts"]) == (answer["messageId"], 0, 10)
    assert entry["progress"] == {"status": "queued"}


async def test_a_message_may_choose_its_way_and_the_login_of_a_proxy_is_sealed(
    gateway: Installation, sender: httpx.AsyncClient
) -> None:
    """A token that is narrowed may send, and not choose a proxy."""
    way = {"proxy": "http://gate:s3cret@proxy.example:3128", "localAddress": "127.0.0.5"}
    queued = await submit(sender, **way)
    entry = (await sender.get(f"/v1/outbox/{queued['queueId']}")).json()
    assert (entry["proxy"], entry["localAddress"]) == ("http://******@proxy.example:3128", "127.0.0.5")
    assert "s3cret" not in repr(gateway.keyspace())
    wanted = {"description": "sends", "scopes": ["api"], "permissions": {"actions": ["send"]}}
    token = (await sender.post("/v1/tokens", json=wanted)).json()["token"]
    async with gateway.client(token) as narrowed:
        refused = await narrowed.post("/v1/account/a/submit", json={**LETTER, **way})
        assert (refused.status_code, "proxy" in refused.text) == (403, True)
        assert (await narrowed.post("/v1/account/a/submit", json=LETTER)).status_code == 200
        draft = await narrowed.post("/v1/account/a/message/AAAAAQAAAAE/submit", json=way)
        assert (draft.status_code, "proxy" in draft.text) == (403, True)


async def test_the_body_of_a_queued_message_is_sealed(gateway: Installation, sender: httpx.AsyncClient) -> None:
    """It is the one mail body that is stored, and only until it is sent."""
    await submit(sender, text="VERY-PRIVATE", attachments=[{"content": base64.b64encode(b"ALSO-PRIVATE").decode()}])
    stored = repr(gateway.keyspace())
    assert "VERY-PRIVATE" not in stored
    assert base64.b64encode(b"ALSO-PRIVATE").decode() not in stored


async def test_a_dry_run_shows_the_message_and_stores_nothing(gateway: Installation, sender: httpx.AsyncClient) -> None:
    before = gateway.keyspace()
    answer = await submit(
        sender,
        dryRun=True,
        cc=[{"address": "carol@example.com"}],
        bcc=[{"address": "dave@example.com"}],
        html="<p>Hello Bob</p>",
        attachments=[{"filename": "a.txt", "contentType": "text/plain", "content": base64.b64encode(b"abc").decode()}],
        headers={"X-Ticket": "7"},
        messageId="<known@example.com>",
    )
    assert gateway.keyspace() == before
    assert set(answer) == {"response", "messageId", "preview"}
    message = message_from_bytes(base64.b64decode(answer["preview"]), policy=policy.default)
    assert (message["From"], message["To"], message["Cc"]) == (
        "Ada <ada@example.com>",
        "Bob <bob@example.com>",
        "carol@example.com",
    )
    assert message["Bcc"] is None
    assert (message["X-Ticket"], message["Message-ID"], answer["messageId"]) == (
        "7",
        "<known@example.com>",
        "<known@example.com>",
    )
    assert [part.get_filename() for part in message.iter_attachments()] == ["a.txt"]


async def test_a_message_for_later_is_not_queued_before_its_time(
    gateway: Installation, sender: httpx.AsyncClient
) -> None:
    before = jobs(gateway)
    at = gateway.clock() + timedelta(days=3)
    answer = await submit(sender, sendAt=at.isoformat())
    assert jobs(gateway) == before
    entry = (await sender.get(f"/v1/outbox/{answer['queueId']}")).json()
    stamp = at.isoformat().replace("+00:00", "Z")
    assert answer["sendAt"] == entry["scheduled"] == entry["nextAttempt"] == stamp
    assert [work.subject for work in await gateway.services.due.claim(at)] == [answer["queueId"]]


@pytest.mark.parametrize("at", ["1970-01-01", "0001-01-01T00:00:00Z"])
async def test_a_time_that_is_over_means_now(at: str, gateway: Installation, sender: httpx.AsyncClient) -> None:
    answer = await submit(sender, sendAt=at)
    assert answer["sendAt"] == gateway.clock().isoformat().replace("+00:00", "Z")


async def test_the_end_of_time_is_a_time(sender: httpx.AsyncClient) -> None:
    answer = await submit(sender, sendAt="9999-12-31T23:59:59.999999Z")
    assert (await sender.get(f"/v1/outbox/{answer['queueId']}")).json()["scheduled"].startswith("9999-12-31")
    assert (await sender.delete(f"/v1/outbox/{answer['queueId']}")).json() == {"deleted": True}


async def test_a_cancelled_message_is_told_of_and_cannot_be_sent_again(sender: httpx.AsyncClient) -> None:
    entry = f"/v1/outbox/{(await submit(sender))['queueId']}"
    answer = await sender.post(f"{entry}/cancel")
    assert (answer.status_code, answer.json()["state"], answer.json()["nextAttempt"]) == (200, "cancelled", False)
    assert "ended" in (await sender.get(entry)).json()
    assert refusal(await sender.post(f"{entry}/retry", json={}), 409) == "OutboxEntryEnded"
    assert (await sender.delete(entry)).json() == {"deleted": True}
    assert refusal(await sender.post(f"{entry}/cancel"), 404) == "OutboxEntryNotFound"
    assert refusal(await sender.post(f"{entry}/retry", json={"mayRepeat": True}), 404) == "OutboxEntryNotFound"


async def test_a_message_that_waits_is_not_queued_twice(sender: httpx.AsyncClient) -> None:
    entry = f"/v1/outbox/{(await submit(sender))['queueId']}"
    assert refusal(await sender.post(f"{entry}/retry", json={}), 409) == "OutboxEntryQueued"


async def test_a_deleted_message_leaves_nothing(gateway: Installation, sender: httpx.AsyncClient) -> None:
    before = gateway.keyspace()
    answer = await submit(sender, sendAt=(gateway.clock() + timedelta(days=1)).isoformat())
    assert (await sender.delete(f"/v1/outbox/{answer['queueId']}")).json() == {"deleted": True}
    assert (await sender.delete(f"/v1/outbox/{answer['queueId']}")).json() == {"deleted": False}
    assert refusal(await sender.get(f"/v1/outbox/{answer['queueId']}"), 404) == "OutboxEntryNotFound"
    assert gateway.keyspace() == before


async def test_the_outbox_has_pages_and_a_filter(gateway: Installation, sender: httpx.AsyncClient) -> None:
    ids = []
    for number in range(5):
        at = gateway.clock() + timedelta(days=number + 1)
        account = "b" if number == 2 else "a"
        ids.append((await submit(sender, account, sendAt=at.isoformat()))["queueId"])

    async def listed(**query: Any) -> tuple[int, int, list[str]]:
        found = (await sender.get("/v1/outbox", params=query)).json()
        return found["total"], found["pages"], [entry["queueId"] for entry in found["messages"]]

    assert await listed() == (5, 1, ids)
    assert await listed(page=1, pageSize=2) == (5, 3, ids[2:4])
    assert await listed(account="b") == (1, 1, ids[2:3])
    assert await listed(account="none") == (0, 0, [])


async def test_the_number_of_attempts_is_the_callers_or_a_setting(
    gateway: Installation, sender: httpx.AsyncClient
) -> None:
    async def attempts(**members: Any) -> int:
        found = (await sender.get(f"/v1/outbox/{(await submit(sender, **members))['queueId']}")).json()
        return int(found["attempts"])

    await gateway.services.runtime_settings.update({"deliveryAttempts": 4})
    assert (await attempts(), await attempts(deliveryAttempts=7)) == (4, 7)


@pytest.mark.parametrize(
    ("members", "key"),
    [
        ({"to": None}, "to"),
        ({"to": []}, "to"),
        ({"subject": "a\r\nBcc: x@example.com"}, "subject"),
        ({"to": {"name": "a\r\nBcc: x", "address": "bob@example.com"}}, "to"),
        ({"to": {"address": "bob@example.com>\r\nRCPT TO:<x@y"}}, "to"),
        ({"headers": {"X-A\r\nBcc": "x"}}, "headers"),
        ({"headers": {"X-A": "b\r\nBcc: x@example.com"}}, "headers"),
        ({"headers": {"Bcc": "x@example.com"}}, "headers"),
        ({"headers": {"From": "x@example.com"}}, "headers"),
        ({"messageId": "no id\r\nX: y"}, "messageId"),
        ({"attachments": [{"content": "%%%"}]}, "attachments"),
        ({"raw": "%%%"}, "raw"),
        ({"envelope": {"from": "a@example.com", "to": []}}, "to"),
    ],
)
async def test_what_cannot_be_sent_is_refused_and_nothing_is_queued(
    members: dict[str, Any], key: str, gateway: Installation, sender: httpx.AsyncClient
) -> None:
    """Nothing that a caller puts into a member becomes a header or an SMTP command of its own."""
    before = gateway.keyspace()
    for more in ({}, {"dryRun": True}):
        answer = await sender.post("/v1/account/a/submit", json={**LETTER, **members, **more})
        assert refusal(answer, 400) == "InvalidRequest"
        assert [re.split(r"[.\[]", field["key"])[0] for field in answer.json()["fields"]] == [key]
    assert gateway.keyspace() == before


async def test_only_an_account_that_can_send_sends(gateway: Installation, sender: httpx.AsyncClient) -> None:
    await sender.post("/v1/account", json={"account": "mute", "name": "x", "email": "x@example.com"})
    assert refusal(await sender.post("/v1/account/mute/submit", json=LETTER), 404) == "SMTPUnavailable"
    assert refusal(await sender.post("/v1/account/none/submit", json=LETTER), 404) == "AccountNotFound"


async def test_a_message_larger_than_other_bodies_is_taken(sender: httpx.AsyncClient) -> None:
    """Mail is larger than records; the limit of one attachment is its own."""
    content = base64.b64encode(b"x" * 3_500_000).decode()
    body = json.dumps({**LETTER, "attachments": [{"content": content}], "dryRun": True})
    answer = await sender.post("/v1/account/a/submit", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200
    assert len(answer.json()["preview"]) > len(content)


async def test_a_finished_message_is_sent_as_it_is(sender: httpx.AsyncClient) -> None:
    raw = b"From: Ada <ada@example.com>\r\nTo: bob@example.com\r\nSubject: =?utf-8?q?x?=\r\nX-Odd:   1\r\n\r\nbody \r\n"
    members = {"raw": base64.b64encode(raw).decode(), "dryRun": True}
    answer = (await sender.post("/v1/account/a/submit", json=members)).json()
    sent = base64.b64decode(answer["preview"])
    assert b"X-Odd:   1\r\n" in sent
    assert sent.endswith(b"\r\n\r\nbody \r\n")


@pytest.mark.parametrize(
    ("dsn", "key"),
    [
        ({"id": "7"}, "dsn.return"),
        ({"return": "full", "notify": ["never", "success"]}, "dsn.notify"),
        ({"return": "full", "notify": ["sometimes"]}, "dsn.notify[0]"),
        ({"return": "headers", "id": "é"}, "dsn.id"),
        ({"return": "headers", "recipient": "nobody"}, "dsn.recipient"),
    ],
)
async def test_delivery_notifications_that_cannot_be_asked_for_are_refused(
    sender: httpx.AsyncClient, dsn: dict[str, Any], key: str
) -> None:
    answer = await sender.post("/v1/account/a/submit", json={**LETTER, "dsn": dsn})
    assert answer.status_code == 400
    assert key in {field["key"] for field in answer.json()["fields"]}
