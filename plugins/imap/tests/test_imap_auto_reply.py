"""`isAutoReply` in listings and in full: the same, as the subject and the header tell it."""

from __future__ import annotations

import pytest

from gateway.mime.identity import MOST_REFERENCES
from gateway.model.server import Server
from gateway.provider import Account, Login, PageRequest
from gateway.testing.context import AccountUnderTest, session_context
from gateway_imap import ImapAccountSettings, ImapProvider
from tests.rigs.certificates import Certificates
from tests.rigs.dovecot import GUEST_PASSWORD, Dovecot

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("dovecot")]
_LONG = "References:" + "".join(f"\r\n <{number:050}@x>" for number in range(MOST_REFERENCES // 54))
REPLIES = {
    "Automatic reply: away": "X-Nothing: here",
    "auto: away": "In-Reply-To: <1@x>",
    "vacation": "Auto-Submitted: auto-replied (vacation)",
    "folded": "auto-submitted:\r\n auto-replied",
    "precedence": "Precedence: auto_reply",
    "suppressed": "X-Auto-Response-Suppress: All",
    "responder": "X-Autoresponder: yes",
    "respond": "X-Autorespond: yes",
    "reply": "X-Autoreply: yes",
    "mail": "X-Mail-Autoreply: yes",
    "after a long thread": f"{_LONG}\r\nAuto-Submitted: auto-replied",
}
LETTERS = {
    "hello": "X-Nothing: here",
    "auto: hello": "X-Nothing: here",
    "by a person": "Auto-Submitted: no",
    "by a list": "Auto-Submitted: auto-generated\r\nPrecedence: bulk",
    "about": "References: <auto-replied@x>\r\nX-Auto-Response-Suppress:",
}


@pytest.mark.parametrize("face", ["full", "exchange"])
async def test_listing_tells_automatic_replies_as_the_message_does(
    dovecot: Dovecot, certificates: Certificates, face: str
) -> None:
    """Whoever reads listings or notifications only would answer a machine otherwise."""
    user, (host, port) = dovecot.new_user(), getattr(dovecot, face)
    imap = Server(host=host, port=port, ca_file=certificates.authority)
    account = Account(id=user, user=user, email=user, settings=ImapAccountSettings(imap=imap))
    under_test = AccountUnderTest(account, session_context(Login(user=user, password=GUEST_PASSWORD)))
    async with ImapProvider().open(*under_test) as session:
        for subject, header in (REPLIES | LETTERS).items():
            await session.append("INBOX", f"Subject: {subject}\r\n{header}\r\n\r\nHello.\r\n".encode())
        for _ in range(2):
            listed = (await session.messages("INBOX", PageRequest(size=50))).messages
            assert {entry.subject for entry in listed if entry.is_auto_reply} == REPLIES.keys()
        assert {entry.subject for entry in listed} == REPLIES.keys() | LETTERS.keys()
        for entry in listed:
            assert (await session.message(entry.id)).is_auto_reply == entry.is_auto_reply
