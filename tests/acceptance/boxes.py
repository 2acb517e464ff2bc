"""Accounts of every kind of mailbox in front of one gateway: Dovecot over IMAP, and a Maildir."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from typing import Any

import httpx

from tests.acceptance.client import Client, account_path, message_path
from tests.acceptance.stack import GatewayStack
from tests.integration.api.refusals import refusal

KINDS = ("dovecot", "maildir")


@dataclass(frozen=True)
class Box:
    """A connected account.

    Attributes:
        kind: one of `KINDS`.
        stack: the gateway.
        account: its id.
    """

    kind: str
    stack: GatewayStack
    account: str

    @property
    def api(self) -> Client:
        """Calls the API."""
        return self.stack.api

    @property
    def path(self) -> str:
        """The path of the account in the API."""
        return account_path(self.account)

    def try_call(self, method: str, path: str, payload: Any = None, /, **query: Any) -> Any:
        """Return the JSON of an answer, or the code of a proper refusal; anything else fails the test."""
        answer = self.api.http.request(method, f"{self.path}{path}", json=payload, params=query or None)
        return answer.json() if answer.status_code == 200 else refused(answer)

    def store(self, raw: bytes, mailbox: str = "INBOX") -> str:
        """Upload a message octet for octet, and return its id."""
        payload = {"path": mailbox, "raw": base64.b64encode(raw).decode()}
        return str(self.api.post(f"{self.path}/message", payload)["id"])

    def read(self, id: str, **query: Any) -> Any:
        """Return a message."""
        return self.api.get(message_path(self.account, id), **query)

    def source(self, id: str) -> bytes:
        """Return the octets of a message."""
        return self.api.octets(f"{message_path(self.account, id)}/source").content

    def attachment(self, id: str) -> httpx.Response:
        """Return the download of an attachment."""
        return self.api.octets(f"{self.path}/attachment/{id}")

    def mailboxes(self) -> set[str]:
        """Return the paths of all mailboxes."""
        return {str(mailbox["path"]) for mailbox in self.api.get(f"{self.path}/mailboxes")["mailboxes"]}


def refused(answer: httpx.Response) -> str:
    """Return the code of a proper 4xx answer; anything else fails the test."""
    assert 400 <= answer.status_code < 500, f"{answer.request.method} {answer.request.url}: {answer.text[:500]}"
    return refusal(answer, answer.status_code)


def open_box(kind: str, stack: GatewayStack) -> Box:
    """Connect an account of one kind; nobody else's, and never the same twice for a Maildir."""
    if kind == "dovecot":
        return Box(kind, stack, stack.connect(stack.lab.users[3], "torture-dovecot"))
    name = f"maildir-{secrets.token_hex(3)}"
    for part in ("", ".Trash", ".Archive", ".Drafts"):
        for place in ("cur", "new", "tmp"):
            (stack.directory / "maildir" / name / part / place).mkdir(parents=True)
    account = {"account": name, "name": name, "email": f"{name}@example.org", "provider": "maildir"}
    stack.api.post("/v1/account", {**account, "settings": {"path": name}})
    stack.api.wait_for_state(name, "connected")
    return Box(kind, stack, name)
