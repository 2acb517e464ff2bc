"""Mail merge to a list, and the way out of it, from the API to the mailboxes and back, in every lab."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.acceptance.client import Client, account_path, message_path
from tests.acceptance.stack import GatewayStack


@pytest.fixture
def list_id(api: Client) -> Iterator[str]:
    """A list of this test's own; nobody has left it yet."""
    name = f"list-{secrets.token_hex(4)}"
    yield name
    for found in api.get(f"/v1/blocklist/{name}")["addresses"]:
        api.delete(f"/v1/blocklist/{name}", recipient=found["recipient"])


@pytest.fixture
def template(api: Client, alice: str) -> Iterator[str]:
    """A stored template with something of each recipient in it."""
    content = {
        "subject": "{{params.word}} for {{account.email}}",
        "html": "# Hello {{params.name}}\n\n[Leave]({{rcpt.unsubscribeUrl}})",
    }
    made = api.post("/v1/templates/template", {"account": alice, "name": "x", "format": "markdown", "content": content})
    yield made["id"]
    api.delete(f"/v1/templates/template/{made['id']}")


def merge(api: Client, account: str, template: str, list_id: str, recipients: dict[str, dict[str, str]]) -> list[Any]:
    """Send the template to a list."""
    entries = [{"to": {"address": address}, "params": params} for address, params in recipients.items()]
    payload = {"template": template, "listId": list_id, "mailMerge": entries}
    return list(api.post(f"{account_path(account)}/submit", payload)["mailMerge"])


def test_each_recipient_of_a_merge_gets_a_letter_of_his_own_and_can_leave_the_list(
    gateway_stack: GatewayStack, api: Client, alice: str, bob: str, template: str, list_id: str
) -> None:
    """Whoever has left gets nothing any more, however often he is written to; the others do."""
    alice_address, bob_address = gateway_stack.lab.users[:2]
    word = secrets.token_hex(8)
    subject = f"{word} for {alice_address}"
    recipients = {
        bob_address: {"name": "Bob", "word": word},
        alice_address: {"name": "Alice", "word": word},
    }
    told = merge(api, alice, template, list_id, recipients)
    assert [entry["success"] for entry in told] == [True, True]
    entries = {account: api.wait_for_message(account, subject) for account in (alice, bob)}
    letters = {account: api.get(message_path(account, entry["id"]), textType="*") for account, entry in entries.items()}
    assert "<h1>Hello Bob</h1>" in letters[bob]["text"]["html"]
    assert "<h1>Hello Alice</h1>" in letters[alice]["text"]["html"]
    assert [who["address"] for who in letters[bob]["to"]] == [bob_address]
    assert letters[bob]["messageId"] == told[0]["messageId"] != letters[alice]["messageId"]

    (link,) = letters[bob]["headers"]["list-unsubscribe"]
    way_out = urlsplit(link.strip("<>"))
    answer = api.http.post(f"{way_out.path}?{way_out.query}", data={"List-Unsubscribe": "One-Click"}, headers={})
    assert answer.status_code == 200
    (gone,) = api.get(f"/v1/blocklist/{list_id}")["addresses"]
    assert (gone["recipient"], gone["account"], gone["messageId"]) == (bob_address, alice, told[0]["messageId"])

    again = secrets.token_hex(8)
    recipients = {address: {**params, "word": again} for address, params in recipients.items()}
    skipped, sent = merge(api, alice, template, list_id, recipients)
    assert (skipped["success"], skipped["skipped"]) == (False, {"reason": "unsubscribe", "listId": list_id})
    assert sent["success"]
    api.wait_for_message(alice, f"{again} for {alice_address}")
    assert api.with_subject(bob, f"{again} for {alice_address}") == []

    api.delete(f"/v1/blocklist/{list_id}", recipient=bob_address)
    assert [entry["success"] for entry in merge(api, alice, template, list_id, recipients)] == [True, True]
    api.wait_for_message(bob, f"{again} for {alice_address}")


def test_one_recipient_who_cannot_be_written_to_does_not_hinder_the_others(
    gateway_stack: GatewayStack, api: Client, alice: str, bob: str
) -> None:
    subject = f"Merged {secrets.token_hex(8)}"
    entries = [
        {"to": {"address": "nobody@example.org", "name": "line\nbreak"}},
        {"to": {"address": gateway_stack.lab.users[1]}},
    ]
    payload = {"subject": subject, "text": "x", "mailMerge": entries}
    refused, sent = api.post(f"{account_path(alice)}/submit", payload)["mailMerge"]
    assert (refused["success"], sent["success"]) == (False, True)
    api.wait_for_message(bob, subject)
