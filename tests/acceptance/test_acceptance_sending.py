"""Submission through the API until the message lies in somebody's inbox, in every lab."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.client import Client, RefusedError, account_path, message_path
from tests.acceptance.letters import BINARY
from tests.acceptance.stack import GatewayStack
from tests.rigs.ports import reserve_port
from tests.rigs.processes import ServerProcess, accepts_connections, wait_until
from tests.rigs.requirement import require


def left_outbox(api: Client, queue_id: str) -> bool:
    """Whether a message was sent: only then it leaves the outbox by itself."""
    try:
        api.get(f"/v1/outbox/{queue_id}")
    except RefusedError as refused:
        return refused.status == 404
    return False


def outbox_state(api: Client, queue_id: str, *states: str) -> Any:
    """Wait until an outbox entry is in one of some states, and return it."""
    wait_until(lambda: api.get(f"/v1/outbox/{queue_id}")["state"] in states, f"entry {states}", 30)
    return api.get(f"/v1/outbox/{queue_id}")


def test_a_submitted_message_arrives_once_and_is_filed_once(
    gateway_stack: GatewayStack, api: Client, alice: str, bob: str
) -> None:
    """With an attachment and a hidden recipient, whom nobody but the sender may see."""
    lab = gateway_stack.lab
    subject, secret_text = f"Angebot {secrets.token_hex(8)} – Grüße", f"vertraulich {secrets.token_hex(8)}"
    gateway_stack.scan.plant(subject, secret_text)
    payload: dict[str, Any] = {
        "to": [{"name": "Bob", "address": lab.users[1]}],
        "bcc": [{"address": lab.users[2]}],
        "subject": subject,
        "text": secret_text,
        "attachments": [{"filename": "Preise.bin", "content": base64.b64encode(BINARY).decode()}],
    }
    if lab.name == "real-full":
        # This server does not file submitted mail by itself, as Exchange does.
        payload["copy"] = True
    with gateway_stack.connected(lab.users[2]) as carol:
        queued = api.post(f"{account_path(alice)}/submit", payload)
        received = api.wait_for_message(bob, subject)
        hidden = api.wait_for_message(carol, subject)
        wait_until(lambda: left_outbox(api, queued["queueId"]), "the entry is gone", 30)
        for account, entry in ((bob, received), (carol, hidden)):
            headers = {name.lower() for name in api.get(message_path(account, entry["id"]))["headers"]}
            assert "bcc" not in headers
    message = api.get(message_path(bob, received["id"]), textType="*")
    assert message["from"]["address"] == lab.users[0]
    assert message["messageId"] == queued["messageId"]
    assert message["text"]["plain"].strip() == secret_text
    attachment = api.octets(f"{account_path(bob)}/attachment/{message['attachments'][0]['id']}")
    assert attachment.content == BINARY
    sent = api.mailbox_of_use(alice, "\\Sent")
    api.wait_for_message(alice, subject, sent)
    assert len(api.with_subject(bob, subject)) == 1
    assert len(api.with_subject(alice, subject, sent)) == 1
    assert api.account(alice)["smtpStatus"]["status"] == "ok"


def test_a_message_can_wait_and_be_cancelled(gateway_stack: GatewayStack, api: Client, alice: str, bob: str) -> None:
    """Until its time it stands in the outbox, and what was cancelled never arrives."""
    subject = f"Later {secrets.token_hex(8)}"
    payload = {
        "to": [{"address": gateway_stack.lab.users[1]}],
        "subject": subject,
        "text": "later",
        "sendAt": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
    }
    queued = api.post(f"{account_path(alice)}/submit", payload)
    entry = api.get(f"/v1/outbox/{queued['queueId']}")
    assert (entry["state"], entry["account"], entry["attemptsMade"]) == ("queued", alice, 0)
    listed = api.get("/v1/outbox", account=alice)["messages"]
    assert queued["queueId"] in {item["queueId"] for item in listed}
    assert api.delete(f"/v1/outbox/{queued['queueId']}") == {"deleted": True}
    assert api.delete(f"/v1/outbox/{queued['queueId']}") == {"deleted": False}
    assert left_outbox(api, queued["queueId"])
    assert api.with_subject(bob, subject) == []


def test_a_refused_sender_is_final(gateway_stack: GatewayStack, api: Client, alice: str, bob: str) -> None:
    """Sending as somebody else is refused by the service for good; trying ten times would change nothing."""
    subject = f"Not me {secrets.token_hex(8)}"
    payload = {
        "from": {"address": gateway_stack.lab.users[2]},
        "to": [{"address": gateway_stack.lab.users[1]}],
        "subject": subject,
        "text": "x",
    }
    queued = api.post(f"{account_path(alice)}/submit", payload)
    entry = outbox_state(api, queued["queueId"], "failed")
    assert entry["attemptsMade"] == 1
    assert entry["progress"]["error"]["message"]
    assert entry["progress"]["error"]["code"]
    assert api.with_subject(bob, subject) == []
    assert api.account(alice)["state"] == "connected"
    assert api.account(alice)["smtpStatus"]["status"] == "error"
    assert api.delete(f"/v1/outbox/{queued['queueId']}") == {"deleted": True}


def test_a_dry_run_sends_nothing(gateway_stack: GatewayStack, api: Client, alice: str) -> None:
    """The message as it would be sent, and no entry."""
    payload = {"to": [{"address": gateway_stack.lab.users[1]}], "subject": "Dry", "text": "run", "dryRun": True}
    answer = api.post(f"{account_path(alice)}/submit", payload)
    assert "queueId" not in answer
    assert b"Subject: Dry" in base64.b64decode(answer["preview"])


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param({"subject": "nobody", "text": "x"}, id="no-recipient"),
        pytest.param({"to": [{"address": "bob"}], "text": "x"}, id="no-address"),
        pytest.param(
            {"to": [{"address": "b@example.test"}], "subject": "a\r\nBcc: eve@example.test", "text": "x"},
            id="header-injection",
        ),
    ],
)
def test_what_cannot_be_sent_is_refused_at_once(api: Client, alice: str, payload: dict[str, Any]) -> None:
    """The caller hears of it, not the outbox."""
    before = api.get("/v1/outbox", account=alice)["total"]
    with pytest.raises(RefusedError) as refused:
        api.post(f"{account_path(alice)}/submit", payload)
    assert refused.value.status == 400
    assert api.get("/v1/outbox", account=alice)["total"] == before


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[int]:
    """The port of a server that takes mail from everybody, as those that know their clients by their addresses."""
    require("postfix")
    port = reserve_port()
    server = ServerProcess(["smtp-sink", "-u", "nobody", f"127.0.0.1:{port}", "10"], tmp_path / "sink.log")
    server.start(lambda: accepts_connections(port))
    yield port
    server.stop()


def test_an_account_without_login_and_mailbox_sends(full_stack: GatewayStack, sink: int) -> None:
    """There is nothing to log in with, and no mailbox that a copy could be filed in: neither is tried."""
    api, account = full_stack.api, f"sender-{secrets.token_hex(3)}"
    smtp = {"host": "127.0.0.1", "port": sink, "secure": False, "auth": False}
    api.post("/v1/account", {"account": account, "name": "x", "email": "sender@example.org", "smtp": smtp})
    queued = api.post(f"{account_path(account)}/submit", {"to": [{"address": "a@b.test"}], "subject": "x", "text": "x"})
    wait_until(lambda: left_outbox(api, queued["queueId"]), "the message is sent", 30)
    told = api.get("/v1/events", account=account)["events"]
    (sent,) = [event for event in told if event["event"] == "messageSent"]
    assert sent["data"]["queueId"] == queued["queueId"]
    full_stack.forget(account)
    assert account not in "".join(line for line in full_stack.log_tail().splitlines() if "not_filed" in line)
