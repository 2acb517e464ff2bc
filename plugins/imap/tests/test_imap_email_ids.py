"""`emailId` of messages on servers that have no ids of their own (RFC 8474)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.model.message import SearchQuery
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


async def test_messages_are_found_by_their_fingerprints(dovecot: Dovecot, certificates: Certificates) -> None:
    """The server finds the size, the gateway which of those it is: a deletion may follow."""
    user, (host, port) = dovecot.new_user(), dovecot.exchange
    imap = Server(host=host, port=port, ca_file=certificates.authority)
    account = Account(id=user, user=user, email=user, settings=ImapAccountSettings(imap=imap))
    under_test = AccountUnderTest(account, session_context(Login(user=user, password=GUEST_PASSWORD)))
    same_size = [LETTER.replace(b"<1@", b"<%d@" % number) for number in range(1, 5)]
    async with ImapProvider().open(*under_test) as session:
        for letter in (*same_size, LETTER + b"Longer.\r\n", b"Subject: no id\r\n\r\nx\r\n"):
            await session.append("INBOX", letter)
        entries = (await session.messages("INBOX", PageRequest())).messages
        ids = [entry.email_id for entry in entries if entry.email_id is not None]
        assert len(set(ids)) == 5

        async def found(**query: Any) -> list[str | None]:
            page = await session.search("INBOX", SearchQuery(**query), PageRequest())
            assert page.total == len(page.messages)
            return [entry.email_id for entry in page.messages]

        for id in ids:
            assert await found(email_id=id) == [id]
        assert await found(email_ids=(ids[3], ids[0], "unknown", "AAAA" * 7)) == [ids[0], ids[3]]
        assert await found(email_ids=tuple(ids[:3]), email_id=ids[1]) == [ids[1]]
        without = entries[0].id
        assert entries[0].email_id is None
        assert await session.search_ids("INBOX", SearchQuery(email_ids=(ids[0], without))) == [without, entries[1].id]
        assert await found(email_ids=(without, entries[3].id)) == [None, entries[3].email_id]
        assert await found(email_ids=(without,), subject="no such subject") == []
        assert await found(email_id=ids[0], seen=True) == []
        assert await found(email_id="unknown") == await found(email_ids=()) == []
        await session.move(entries[1].id, "Archive")
        moved = await session.search("Archive", SearchQuery(email_id=entries[1].email_id), PageRequest())
        assert [entry.email_id for entry in moved.messages] == [entries[1].email_id]
        assert await session.search_ids("INBOX", SearchQuery(email_id=entries[1].email_id)) == []


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
