"""`emailId` of messages on servers that have no ids of their own (RFC 8474)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.model.server import Server
from gateway.provider import Account, Login, PageRequest
from gateway.testing.context import AccountUnderTest, session_context
from gateway_imap import ImapAccountSettings, ImapProvider
from tests.rigs.certificates import Certificates
from tests.rigs.dovecot import GUEST_PASSWORD, Dovecot

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("dovecot")]
Start = Callable[..., Awaitable[Any]]
DONE = b"TAG OK done\r\n"
LETTER = b"From: a@example.org\r\nDate: Thu, 2 Jan 2025 03:04:05 +0100\r\nMessage-ID: <1@example.org>\r\n\r\nHello.\r\n"


async def test_a_moved_message_is_recognised_and_another_is_not(dovecot: Dovecot, certificates: Certificates) -> None:
    user, (host, port) = dovecot.new_user(), dovecot.exchange
    imap = Server(host=host, port=port, ca_file=certificates.authority)
    account = Account(id=user, user=user, email=user, settings=ImapAccountSettings(imap=imap))
    under_test = AccountUnderTest(account, session_context(Login(user=user, password=GUEST_PASSWORD)))
    async with ImapProvider().open(*under_test) as session:
        for letter in (LETTER, LETTER.replace(b"<1@", b"<2@"), LETTER.replace(b"05 +", b"06 +")):
            await session.append("INBOX", letter)
        before = {entry.email_id: entry.id for entry in (await session.messages("INBOX", PageRequest())).messages}
        assert len(before) == 3
        for id in before.values():
            await session.move(id, "Archive")
        moved = (await session.messages("Archive", PageRequest())).messages
        assert {entry.email_id for entry in moved} == set(before)
        assert not {entry.id for entry in moved} & set(before.values())
        assert [(await session.message(entry.id)).email_id for entry in moved] == [entry.email_id for entry in moved]


@pytest.mark.parametrize(
    ("extra", "email_id"),
    [(b"", None), (b" EMAILID (M1)", "M1"), (b" X-GM-MSGID 12", "12")],
    ids=["no Message-ID", "RFC 8474", "Gmail"],
)
async def test_the_id_of_the_server_goes_first_and_without_message_id_there_is_none(
    scripted: Start, extra: bytes, email_id: str | None
) -> None:
    named = b"NIL" if not extra else b'"<1@example.org>"'
    envelope = b'("Thu, 2 Jan 2025 03:04:05 +0100" NIL NIL NIL NIL NIL NIL NIL NIL %b)' % named
    row = b"* 1 FETCH (UID 5 FLAGS () RFC822.SIZE 9 ENVELOPE %b%b)\r\n" % (envelope, extra)
    server = await scripted({b"FETCH": row + DONE})
    async with ImapProvider().open(*server.account()) as session:
        (entry,) = (await session.messages("INBOX", PageRequest())).messages
    assert entry.email_id == email_id
