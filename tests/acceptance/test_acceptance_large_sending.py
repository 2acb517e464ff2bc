"""Messages that are larger than what a worker may hold are sent, octet for octet."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import smtplib
from typing import NamedTuple

import pytest

from tests.acceptance.client import account_path, message_path
from tests.acceptance.memory import MEBIBYTE, digest_of, growth_bounded
from tests.acceptance.stack import GatewayStack
from tests.acceptance.test_acceptance_sending import left_outbox
from tests.rigs.processes import wait_until

SIZES = [25_000_000, 100_000_000]
LIMIT = 150 * MEBIBYTE


class Large(NamedTuple):
    """A message, and the file in it."""

    subject: str
    raw: bytes
    file: bytes


def large(size: int, sender: str, recipient: str) -> Large:
    """Return a message of at least so many octets; the lines of its text begin with dots."""
    subject = secrets.token_hex(8)
    head = (
        f"From: {sender}\r\nTo: {recipient}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@large.test>\r\n"
        "Date: Fri, 27 Nov 2026 03:00:00 +0000\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n"
    )
    text = b".\r\n..\r\n.line\r\n" * 50_000
    file = os.urandom(MEBIBYTE) * ((size - len(text)) * 3 // 4 // MEBIBYTE + 1)
    named = b"--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
    disposition = b"Content-Disposition: attachment; filename=x.bin\r\n\r\n"
    encoded = base64.encodebytes(file).replace(b"\n", b"\r\n")
    return Large(subject, b"".join((head.encode(), text, named, disposition, encoded, b"--b--\r\n")), file)


def hand_over(stack: GatewayStack, account: str, letter: Large) -> None:
    """Send a message through `gateway smtp`, and wait until it is out; no worker may hold it."""
    recipient, sender = stack.lab.users[1:3]
    token = stack.api.post("/v1/tokens", {"account": account, "description": "large", "scopes": ["smtp"]})["token"]
    stack.scan.plant(token)
    port = stack.start_smtp(GATEWAY_SMTP_MAX_SIZE=str(LIMIT))
    with smtplib.SMTP("127.0.0.1", port) as client, growth_bounded(stack.running_workers):
        client.login(account, token)
        client.mail(sender)
        client.rcpt(recipient)
        code, reply = client.data(letter.raw)
        assert code == 250
        queue_id = reply.decode().rpartition(" ")[2]
        wait_until(lambda: left_outbox(stack.api, queue_id), "the entry is gone", 120)


@pytest.mark.parametrize("size", SIZES)
def test_large_messages_are_sent_and_filed_through_little_memory(full_stack: GatewayStack, size: int) -> None:
    """Over SMTP, with a copy over IMAP; that is the message itself, and the recipient has the same body."""
    api, (recipient, sender) = full_stack.api, full_stack.lab.users[1:3]
    bob = full_stack.connect(recipient, "bob")
    with full_stack.connected(sender) as carol:
        # This server does not file submitted mail by itself, as Exchange does.
        api.put(account_path(carol), {"copy": True})
        letter = large(size, sender, recipient)
        hand_over(full_stack, carol, letter)
        sent = api.mailbox_of_use(carol, "\\Sent")
        copy = api.wait_for_message(carol, letter.subject, sent)["id"]
        received = api.wait_for_message(bob, letter.subject)["id"]
        try:
            path = f"{message_path(carol, copy)}/source"
            assert digest_of(api.http, path) == hashlib.sha256(letter.raw).hexdigest()
            arrived = api.octets(f"{message_path(bob, received)}/source").content
            assert arrived.partition(b"\r\n\r\n")[2] == letter.raw.partition(b"\r\n\r\n")[2]
        finally:
            api.delete(message_path(carol, copy), force=True)
            api.delete(message_path(bob, received), force=True)


@pytest.mark.parametrize("size", SIZES)
def test_large_messages_are_sent_over_graph_through_little_memory(graph_stack: GatewayStack, size: int) -> None:
    """The file in them is uploaded in pieces."""
    api, (recipient, sender) = graph_stack.api, graph_stack.lab.users[1:3]
    bob = graph_stack.connect(recipient, "bob")
    with graph_stack.connected(sender) as carol:
        letter = large(size, sender, recipient)
        hand_over(graph_stack, carol, letter)
        received = api.wait_for_message(bob, letter.subject)["id"]
        message = api.get(message_path(bob, received), textType="plain")
        assert message["text"]["plain"].splitlines()[:3] == [".", "..", ".line"]
        (attachment,) = message["attachments"]
        path = f"{account_path(bob)}/attachment/{attachment['id']}"
        assert digest_of(api.http, path) == hashlib.sha256(letter.file).hexdigest()
        api.delete(message_path(bob, received), force=True)
