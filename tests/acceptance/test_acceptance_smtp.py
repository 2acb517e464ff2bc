"""A program that knows SMTP only sends through an account that was signed in with OAuth2."""

from __future__ import annotations

import secrets
import smtplib

from tests.acceptance.client import account_path, message_path
from tests.acceptance.stack import GatewayStack
from tests.acceptance.test_acceptance_sending import left_outbox
from tests.rigs.processes import wait_until


def test_a_message_handed_over_by_smtp_is_sent_by_the_account(sandbox_stack: GatewayStack) -> None:
    """With a token of the account as its password, to those of the envelope, and filed under Sent."""
    stack, api = sandbox_stack, sandbox_stack.api
    subject, body = f"Old program {secrets.token_hex(6)}", f"vertraulich {secrets.token_hex(6)}"
    stack.scan.plant(subject, body)
    alice, bob = stack.lab.users[:2]
    port = stack.start_smtp()
    with stack.connected(alice) as sender, stack.connected(bob) as recipient:
        wish = {"account": sender, "description": "old program", "scopes": ["smtp"]}
        token = api.post("/v1/tokens", wish)["token"]
        stack.scan.plant(token)
        letter = f"From: {alice}\r\nTo: {bob}\r\nSubject: {subject}\r\nX-EE-Delivery-Attempts: 2\r\n\r\n{body}\r\n"
        with smtplib.SMTP("127.0.0.1", port) as client:
            client.login(sender, token)
            client.mail(alice)
            client.rcpt(bob)
            code, reply = client.data(letter.encode())
        assert code == 250
        queue_id = reply.decode().rpartition(" ")[2]
        arrived = api.wait_for_message(recipient, subject)
        wait_until(lambda: left_outbox(api, queue_id), "the entry is gone", 30)
        message = api.get(message_path(recipient, arrived["id"]), textType="plain")
        assert message["text"]["plain"].strip() == body
        assert not [name for name in message["headers"] if name.lower().startswith("x-ee-")]
        api.wait_for_message(sender, subject, api.mailbox_of_use(sender, "\\Sent"))
        told = api.get("/v1/events", account=sender, types="messageSent")["events"]
        assert queue_id in {event["data"]["queueId"] for event in told}
        assert api.http.get(account_path(sender), headers={"Authorization": f"Bearer {token}"}).status_code == 403
