"""Pausing a queue through the API, as a real worker sees it."""

from __future__ import annotations

import secrets

from tests.acceptance.client import account_path
from tests.acceptance.stack import GatewayStack
from tests.rigs.processes import wait_until

QUEUE = "/v1/settings/queue/submit"


def test_mail_waits_while_sending_is_paused_and_arrives_after_that(sandbox_stack: GatewayStack) -> None:
    """Everything else goes on meanwhile."""
    api, users = sandbox_stack.api, sandbox_stack.lab.users
    subject = f"Paused {secrets.token_hex(8)}"
    payload = {"to": [{"address": users[2]}], "subject": subject, "text": "to be sent later"}
    with sandbox_stack.connected(users[2]) as account:
        assert api.put(QUEUE, {"paused": True}) == {"queue": "submit", "paused": True}
        try:
            queued = api.post(f"{account_path(account)}/submit", payload)
            wait_until(lambda: api.get(QUEUE)["jobs"]["paused"] == 1, "its job waits", 10)
            # The worker is at work: it answers, and has not touched the job by then.
            assert api.get(f"{account_path(account)}/mailboxes")["mailboxes"]
            assert api.with_subject(account, subject) == []
            entry = api.get(f"/v1/outbox/{queued['queueId']}")
            assert entry["attemptsMade"] == 0
            assert api.get(QUEUE) == {
                "queue": "submit",
                "jobs": {"active": 0, "delayed": 1, "paused": 1, "waiting": 0},
                "paused": True,
            }
        finally:
            api.put(QUEUE, {"paused": False})
        api.wait_for_message(account, subject)
        wait_until(lambda: api.get(QUEUE)["jobs"]["waiting"] == 0, "no job is left", 10)
