"""A list that is sent to, as clients of the API and its recipients see it."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import httpx

from gateway.store.outbox import OutboxStore
from tests.integration.api.installation import Installation

LIST = "news.shop.example"
SMTP = {"host": "smtp.example.com", "port": 587, "auth": {"user": "u", "pass": "p"}}
LETTER: dict[str, Any] = {"subject": "Hello {{rcpt.name}}", "text": "{{params.n}} {{rcpt.unsubscribeUrl}}"}


def recipient(name: str, **members: Any) -> dict[str, Any]:
    return {"to": {"name": name, "address": f"{name}@example.com"}, **members}


async def submit(client: httpx.AsyncClient, *entries: dict[str, Any], **members: Any) -> httpx.Response:
    return await client.post("/v1/account/a/submit", json={**LETTER, "mailMerge": list(entries), **members})


async def merged(client: httpx.AsyncClient, *entries: dict[str, Any], **members: Any) -> list[dict[str, Any]]:
    answer = await submit(client, *entries, **members)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["mailMerge"]
    return found


async def queued(gateway: Installation, queue_id: str) -> EmailMessage:
    """The message as a worker would send it."""
    message = await OutboxStore(gateway.services.store).message("a", queue_id)
    assert message is not None
    return message_from_bytes(message.raw, policy=policy.default)


def link_of(message: EmailMessage) -> str:
    """The path of the address in List-Unsubscribe."""
    found = re.fullmatch(r"<https://gateway\.example(/unsubscribe\?\S+)>", "".join(message["List-Unsubscribe"].split()))
    assert found is not None, message["List-Unsubscribe"]
    return found[1]
