"""Pages that are followed by cursors, while another client stores and expunges messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import imapclient
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import CursorExpiredError
from gateway.model.message import SearchQuery
from gateway.model.server import Server
from gateway.provider import Account, Login, MessagePage, PageRequest, Session
from gateway.testing.context import AccountUnderTest, session_context
from gateway_imap import ImapAccountSettings, ImapProvider
from gateway_imap.entries import LISTED_FIELDS
from tests.rigs.certificates import Certificates
from tests.rigs.dovecot import GUEST_PASSWORD, Dovecot

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("dovecot")]
Start = Callable[..., Awaitable[Any]]
DONE = b"TAG OK done\r\n"
FULL = f"(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE {LISTED_FIELDS})".encode()
_SEARCH = SearchQuery(subject="Message")


class _Other:
    """Another client of the inbox."""

    def __init__(self, client: imapclient.IMAPClient) -> None:
        self._client = client
        client.select_folder("INBOX")

    def uids(self) -> list[int]:
        return sorted(self._client.search())

    def append(self, count: int) -> None:
        for _ in range(count):
            self._client.append("INBOX", b"Subject: Message\r\n\r\nHello.\r\n")

    def expunge(self, uids: list[int]) -> None:
        if uids:
            self._client.delete_messages(uids, silent=True)
            self._client.expunge(uids)


@pytest.fixture(params=["full", "exchange"])
def server(request: pytest.FixtureRequest, dovecot: Dovecot, certificates: Certificates) -> Server:
    """Dovecot with all its extensions, and with those of Exchange Online."""
    host, port = dovecot.full if request.param == "full" else dovecot.exchange
    return Server(host=host, port=port, ca_file=certificates.authority)


@pytest.fixture
def other_of(dovecot: Dovecot, certificates: Certificates) -> Iterator[Callable[[str], _Other]]:
    """Opens other clients."""
    clients: list[imapclient.IMAPClient] = []

    def open_(user: str) -> _Other:
        host, port = dovecot.full
        clients.append(imapclient.IMAPClient(host, port, ssl_context=certificates.client_context(), timeout=10))
        clients[-1].login(user, GUEST_PASSWORD)
        return _Other(clients[-1])

    yield open_
    for client in clients:
        client.logout()


def _account(user: str, server: Server) -> AccountUnderTest:
    account = Account(id=user, user=user, email=user, settings=ImapAccountSettings(imap=server))
    return AccountUnderTest(account, session_context(Login(user=user, password=GUEST_PASSWORD)))


def _uids(page: MessagePage) -> list[int]:
    return [entry.uid or 0 for entry in page.messages]


_CHANGES = st.lists(st.tuples(st.integers(0, 3), st.sets(st.integers(1, 12), max_size=5)), max_size=4)


@pytest.mark.parametrize("searching", [False, True], ids=["listing", "search"])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(1, 5), changes=_CHANGES)
async def test_pages_are_the_mailbox_at_the_start_without_what_was_deleted(
    server: Server,
    dovecot: Dovecot,
    other_of: Callable[[str], _Other],
    searching: bool,
    size: int,
    changes: list[tuple[int, set[int]]],
) -> None:
    user = dovecot.new_user()
    dovecot.fill(user, 12)
    other = await asyncio.to_thread(other_of, user)

    async def read(session: Session, cursor: str | None) -> MessagePage:
        request = PageRequest(size=size, cursor=cursor)
        if searching:
            return await session.search("INBOX", _SEARCH, request)
        return await session.messages("INBOX", request)

    async with ImapProvider().open(*_account(user, server)) as session:
        page = await read(session, None)
        start, shown, deleted, left = await asyncio.to_thread(other.uids), _uids(page), set[int](), list(changes)
        while page.next_cursor is not None:
            arrivals, gone = left.pop(0) if left else (0, set[int]())
            await asyncio.to_thread(other.append, arrivals)
            await asyncio.to_thread(other.expunge, sorted(gone - deleted))
            deleted |= gone
            page = await read(session, page.next_cursor)
            assert page.total == len(await asyncio.to_thread(other.uids))
            shown += _uids(page)
        back: list[int] = []
        while page.previous_cursor is not None:
            page = await read(session, page.previous_cursor)
            back += _uids(page)[::-1]
    assert shown == sorted(set(shown), reverse=True)
    assert set(start) - deleted <= set(shown) <= set(start)
    assert back == sorted(set(back))


async def test_a_place_is_found_again_when_most_of_the_mailbox_went(
    server: Server, dovecot: Dovecot, other_of: Callable[[str], _Other]
) -> None:
    """It lies further from where it was than is looked at first."""
    user = dovecot.new_user()
    dovecot.fill(user, 1500)
    other = await asyncio.to_thread(other_of, user)
    async with ImapProvider().open(*_account(user, server)) as session:
        page = await session.messages("INBOX", PageRequest(page=30, size=40))
        uids = await asyncio.to_thread(other.uids)
        oldest = _uids(page)[-1]
        await asyncio.to_thread(other.expunge, [uid for uid in uids if uid > oldest + 100])
        following = await session.messages("INBOX", PageRequest(size=40, cursor=page.next_cursor))
        preceding = await session.messages("INBOX", PageRequest(size=40, cursor=page.previous_cursor))
    assert _uids(following) == [uid for uid in reversed(uids) if uid < oldest][:40]
    assert _uids(preceding) == [uid for uid in uids if uid > oldest + 39][:40][::-1]
    assert following.page == 31


def _message(number: int, uid: int) -> bytes:
    envelope = b'NIL "Message" NIL NIL NIL NIL NIL NIL NIL NIL'
    return b"* %d FETCH (UID %d FLAGS () RFC822.SIZE 1 ENVELOPE (%b))\r\n" % (number, uid, envelope)


async def test_next_page_of_a_quiet_mailbox_takes_one_round_trip(scripted: Start) -> None:
    """One message more tells that the place is where it was."""

    def fetch(command: bytes) -> bytes:
        low, high = map(int, command.split()[1].split(b":"))
        return b"".join(_message(number, number + 10) for number in range(low, high + 1)) + DONE

    server = await scripted({b"EXAMINE": b"* 9 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n" + DONE, b"FETCH": fetch})
    async with ImapProvider().open(*server.account()) as session:
        page = await session.messages("INBOX", PageRequest(size=3))
        server.commands.clear()
        page = await session.messages("INBOX", PageRequest(size=3, cursor=page.next_cursor))
        assert server.commands == [b"FETCH 4:7 " + FULL, b"NOOP"]
        assert _uids(page) == [16, 15, 14]


async def test_cursor_of_a_mailbox_that_was_made_anew_has_expired(scripted: Start) -> None:
    """Its UIDs mean other messages (RFC 9051 section 2.3.1.1)."""
    answers = {b"FETCH": _message(2, 9) + DONE, b"UID SEARCH": b"* SEARCH 8 9\r\n" + DONE, b"UID FETCH": DONE}
    server = await scripted({b"EXAMINE": b"* 2 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n" + DONE, **answers})
    async with ImapProvider().open(*server.account()) as session:
        page = await session.messages("INBOX", PageRequest(size=1))
    server.answers[b"EXAMINE"] = b"* 2 EXISTS\r\n* OK [UIDVALIDITY 8] x\r\n" + DONE
    async with ImapProvider().open(*server.account()) as session:
        request = PageRequest(size=1, cursor=page.next_cursor)
        for call in (session.messages("INBOX", request), session.search("INBOX", SearchQuery(), request)):
            with pytest.raises(CursorExpiredError) as caught:
                await call
            assert caught.value.error_code == "CursorExpired"
