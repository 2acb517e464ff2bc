"""What a sender asks to be told of a delivery, and a real server's report (RFC 3461, RFC 3464)."""

from __future__ import annotations

import asyncio

import pytest

from gateway.model.server import Server
from gateway.provider import Account, DeliveryNotification, Envelope, Login, SessionContext
from gateway.testing.context import FixedCredentials, MemoryNumbers
from gateway_imap import open_session
from tests.rigs.certificates import Certificates
from tests.rigs.dovecot import GUEST_PASSWORD, Dovecot
from tests.rigs.postfix import Postfix
from tests.rigs.processes import wait_until

pytestmark = pytest.mark.anyio


async def test_a_success_that_was_asked_for_is_reported(
    dovecot: Dovecot, postfix: Postfix, certificates: Certificates
) -> None:
    """With the id that the sender gave, and with the header section alone."""
    sender, recipient = dovecot.new_user(), dovecot.new_user()
    host, port = dovecot.full
    imap = Server(host=host, port=port, ca_file=certificates.authority)
    smtp = Server(host="localhost", port=postfix.submission_port, security="starttls", ca_file=certificates.authority)
    context = SessionContext(
        credentials=FixedCredentials(Login(user=sender, password=GUEST_PASSWORD)), numbers=MemoryNumbers()
    )
    letter = f"From: {sender}\r\nTo: {recipient}\r\nSubject: tell me\r\n\r\nsecret body\r\n".encode()
    wishes = DeliveryNotification(full=False, envelope_id="order 7", notify=("success",), original_recipient=recipient)
    account = Account(id="ann", user=sender, email=sender)
    async with open_session(account=account, context=context, imap=imap, smtp=smtp) as session:
        await session.submit(letter, Envelope(mail_from=sender, rcpt_to=(recipient,), dsn=wishes))
    await asyncio.to_thread(wait_until, lambda: dovecot.raw_messages(sender), "a report", 30)
    (report,) = dovecot.raw_messages(sender)
    for line in (b"Original-Envelope-Id: order", b"Original-Recipient: rfc822;", b"Action: "):
        assert line in report
    assert b"secret body" not in report
