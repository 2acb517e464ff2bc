"""A program that knows SMTP only sends through an account that was signed in with OAuth2."""

from __future__ import annotations

import secrets
import smtplib

from tests.acceptance.client import Client, account_path, message_path
from tests.acceptance.stack import GatewayStack
from tests.acceptance.test_acceptance_sending import left_outbox
from tests.rigs.processes import wait_until


def test_a_message_handed_over_by_smtp_is_sent_by_the_account(
    gateway_stack: GatewayStack, api: Client, alice: str, bob: str
) -> None:
    """With a token of the account as its password, and to those of the envelope."""
    stack, (sender, recipient) = gateway_stack, gateway_stack.lab.users[:2]
    subject, body = f"Old program {secrets.token_hex(6)}", f"vertraulich {secrets.token_hex(6)}"
    wish = {"account": alice, "description": "old program", "scopes": ["smtp"]}
    token = api.post("/v1/tokens", wish)["token"]
    stack.scan.plant(subject, body, token)
    letter = f"From: {sender}\r\nTo: {recipient}\r\nSubject: {subject}\r\nX-EE-Delivery-Attempts: 2\r\n\r\n{body}\r\n"
    with smtplib.SMTP("127.0.0.1", stack.start_smtp()) as client:
        client.login(alice, token)
        client.mail(sender)
        client.rcpt(recipient)
        code, reply = client.data(letter.encode())
    assert code == 250
    queue_id = reply.decode().rpartition(" ")[2]
    arrived = api.wait_for_message(bob, subject)
    wait_until(lambda: left_outbox(api, queue_id), "the entry is gone", 30)
    message = api.get(message_path(bob, arrived["id"]), textType="plain")
    assert message["text"]["plain"].strip() == body
    assert not [name for name in message["headers"] if name.lower().startswith("x-ee-")]
    told = api.get("/v1/events", account=alice, types="messageSent")["events"]
    assert queue_id in {event["data"]["queueId"] for event in told}
    assert api.http.get(account_path(alice), headers={"Authorization": f"Bearer {token}"}).status_code == 403
