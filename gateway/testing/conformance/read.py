"""Listing messages and finding them again by their ids."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from gateway.errors import CursorExpiredError, GatewayError, InvalidIdentifierError, NotFoundError
from gateway.model.message import Address, MessageEntry
from gateway.provider import LONGEST_CURSOR, Capability, MessagePage, PageRequest, Provider, Session
from gateway.testing.conformance.base import Deliver, arrived, entries, octets, requires
from gateway.testing.conformance.samples import MULTIPART, numbered, octets_of_every_kind
from gateway.testing.context import AccountUnderTest

__all__ = ["ReadConformance"]

_NUMBERS = range(7)
_SIZE = 3
_MALFORMED = ("no-such-message", "", "0", "../../etc/passwd", "%2e%2e", "a\0b", "é", "-", "A" * 5000)


def _subjects(page: MessagePage) -> list[str | None]:
    return [entry.subject for entry in page.messages]


def _expected(page: int) -> list[str]:
    newest_first = [f"number {number}" for number in reversed(_NUMBERS)]
    return newest_first[page * _SIZE : (page + 1) * _SIZE]


class ReadConformance:
    """Listings and identifiers."""

    async def test_empty_mailbox_has_an_empty_page(self, session: Session, inbox: str) -> None:
        """Nothing there is an answer, not an error."""
        assert await session.messages(inbox, PageRequest()) == MessagePage(total=0, page=0, messages=())

    async def test_page_numbers_hold_every_message_once_newest_first(
        self, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """Seven messages in pages of three: nothing is lost at an edge, nothing shown twice, the total is the total."""
        for number in _NUMBERS:
            await deliver(inbox, numbered(number))
        for number in range(3):
            page = await session.messages(inbox, PageRequest(page=number, size=_SIZE))
            assert (page.total, page.page, _subjects(page)) == (len(_NUMBERS), number, _expected(number))

    async def test_cursors_lead_through_every_message_and_back(
        self, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """Clients scroll by cursor; there is none where the listing ends, in either direction, and none too long."""
        for number in _NUMBERS:
            await deliver(inbox, numbered(number))
        pages = [await session.messages(inbox, PageRequest(size=_SIZE))]
        assert pages[0].previous_cursor is None
        while pages[-1].next_cursor is not None and len(pages) < len(_NUMBERS):
            pages.append(await session.messages(inbox, PageRequest(size=_SIZE, cursor=pages[-1].next_cursor)))
        assert [_subjects(page) for page in pages] == [_expected(number) for number in range(3)]
        assert [page.page for page in pages] == [0, 1, 2]
        assert all(len(page.next_cursor or page.previous_cursor or "") <= LONGEST_CURSOR for page in pages)
        back = await session.messages(inbox, PageRequest(size=_SIZE, cursor=pages[1].previous_cursor))
        assert (_subjects(back), back.previous_cursor) == (_expected(0), None)

    async def test_cursors_hold_what_was_there_at_first_while_messages_come(
        self, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """A client that scrolls through a busy inbox shows nothing twice, and what comes is above where it began."""
        for number in _NUMBERS:
            await deliver(inbox, numbered(number))
        page = await session.messages(inbox, PageRequest(size=_SIZE))
        shown = _subjects(page)
        for late in range(20, 30):
            if page.next_cursor is None:
                break
            await deliver(inbox, numbered(late))
            page = await session.messages(inbox, PageRequest(size=_SIZE, cursor=page.next_cursor))
            shown += _subjects(page)
        assert shown == [f"number {number}" for number in reversed(_NUMBERS)]

    @requires(Capability.DELETE)
    async def test_cursors_lose_nothing_while_messages_go(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """What moves up when others are deleted is not skipped, not even when the place itself is deleted."""
        for number in _NUMBERS:
            await deliver(inbox, numbered(number))
        first = await session.messages(inbox, PageRequest(size=_SIZE))
        for entry in first.messages:
            await session.delete(entry.id)
        second = await session.messages(inbox, PageRequest(size=_SIZE, cursor=first.next_cursor))
        assert (_subjects(second), second.total) == (_expected(1), len(_NUMBERS) - _SIZE)
        await session.delete(second.messages[0].id)
        third = await session.messages(inbox, PageRequest(size=_SIZE, cursor=second.next_cursor))
        back = await session.messages(inbox, PageRequest(size=_SIZE, cursor=third.previous_cursor))
        assert (_subjects(third), third.next_cursor) == (_expected(2), None)
        assert (_subjects(back), back.previous_cursor) == (_expected(1)[1:], None)

    async def test_page_after_the_last_is_empty(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """Messages may have gone while a client was reading; that is no error."""
        await deliver(inbox, numbered(1))
        page = await session.messages(inbox, PageRequest(page=5, size=_SIZE))
        assert (page.total, page.messages, page.next_cursor) == (1, (), None)

    async def test_invented_cursor_is_refused(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """Taking it for the first page would send a client round in circles."""
        await deliver(inbox, numbered(1))
        for cursor in ("no-such-cursor", "é", "-1", "A" * 2000):
            with pytest.raises(CursorExpiredError):
                await session.messages(inbox, PageRequest(cursor=cursor))

    async def test_entry_tells_who_wrote_what(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """An inbox is drawn from this alone: names are decoded, a comma in a name does not split it."""
        entry = await arrived(session, deliver, inbox, numbered(3, subject="=?utf-8?b?R3LDvMOfZQ==?="))
        assert entry.subject == "Grüße"
        assert entry.from_ == Address(name="Zoë Example", address="zoe@example.org")
        assert entry.to == (Address(name="Doe, Bob", address="bob@example.org"), Address(address="carol@example.org"))
        assert entry.cc == (Address(address="dave@example.org"),)
        assert entry.message_id == "<3@conformance.example>"
        assert entry.in_reply_to == "<0@conformance.example>"

    async def test_detail_agrees_with_the_listing(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """A client that opens a message finds the one it clicked on."""
        entry = await arrived(session, deliver, inbox, MULTIPART)
        detail = await session.message(entry.id)
        for name in ("id", "subject", "from_", "to", "date", "message_id", "flags", "unseen", "attachments"):
            assert getattr(detail, name) == getattr(entry, name), name

    async def test_new_message_is_unseen_and_the_flags_say_so(
        self, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """The booleans and the flags are two views of one thing."""
        entry = await arrived(session, deliver, inbox, numbered(1))
        low = {flag.lower() for flag in entry.flags}
        assert entry.unseen
        assert "\\seen" not in low
        assert (entry.flagged, entry.answered, entry.draft) == (False, False, False)
        assert not low & {"\\flagged", "\\answered", "\\draft"}

    async def test_reading_leaves_a_message_unseen(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """The gateway reads every new message for its webhooks; the user has not."""
        entry = await arrived(session, deliver, inbox, MULTIPART)
        await session.message(entry.id, text_type="*")
        await octets(session, entry.id)
        await _read_attachment(session, entry)
        assert (await entries(session, inbox))[0].unseen

    async def test_dates_are_aware_and_of_the_delivery_or_the_header(
        self, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """A naive time means something else on every machine."""
        entry = await arrived(session, deliver, inbox, numbered(5))
        assert entry.date is not None
        assert entry.date.utcoffset() == timedelta(0)
        now = datetime.now(UTC)
        is_header = entry.date == datetime(2025, 1, 2, 2, 4, 5, tzinfo=UTC)
        assert is_header or abs(now - entry.date) < timedelta(hours=1)

    async def test_size_is_the_number_of_octets(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """Clients decide by it what to download; a service that does not tell gives None, not a guess."""
        entry = await arrived(session, deliver, inbox, octets_of_every_kind())
        assert entry.size in (None, len(octets_of_every_kind()))

    async def test_ids_are_stable(
        self, provider: Provider, account: AccountUnderTest, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """Clients keep ids: they survive new mail and a new connection."""
        first = await arrived(session, deliver, inbox, numbered(1))
        await deliver(inbox, numbered(2))
        async with provider.open(*account) as other:
            ids = [entry.id for entry in await entries(other, inbox)]
            assert ids.count(first.id) == 1
            assert len(set(ids)) == 2
            assert await octets(other, first.id) == numbered(1)

    async def test_ids_fit_into_a_url(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """Ids of messages, texts and attachments are path segments of the API."""
        entry = await arrived(session, deliver, inbox, MULTIPART)
        assert entry.text is not None
        for id in (entry.id, entry.text.id, *(attachment.id for attachment in entry.attachments)):
            assert re.fullmatch(r"[A-Za-z0-9_=.~-]+", id)

    @pytest.mark.parametrize("operation", ["message", "text", "source", "attachment"])
    async def test_malformed_id_is_refused(self, session: Session, operation: str) -> None:
        """Anything can stand in a URL. It ends in a clear answer: not a native error, not another message."""
        calls: dict[str, Callable[[str], Awaitable[object]]] = {
            "message": session.message,
            "text": session.text,
            "source": lambda id: octets(session, id),
            "attachment": session.attachment,
        }
        for id in _MALFORMED:
            with pytest.raises((NotFoundError, InvalidIdentifierError)):
                await calls[operation](id)

    async def test_session_survives_a_permanent_error(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """The worker keeps the connection after telling a caller "no such message"."""
        entry = await arrived(session, deliver, inbox, numbered(1))
        with pytest.raises((NotFoundError, InvalidIdentifierError)):
            await session.message("no-such-message")
        with pytest.raises(NotFoundError):
            await session.messages("no-such-mailbox", PageRequest())
        assert await octets(session, entry.id) == numbered(1)

    async def test_secrets_are_never_shown(
        self, provider: Provider, account: AccountUnderTest, session: Session
    ) -> None:
        """Errors reach logs and answers, objects reach tracebacks."""
        shown = [repr(session), repr(provider), repr(account)]
        for call in (
            lambda: session.message("no-such-message"),
            lambda: session.attachment("no-such-attachment"),
            lambda: session.messages("no-such-mailbox", PageRequest()),
        ):
            with pytest.raises(GatewayError) as caught:
                await call()
            error: BaseException | None = caught.value
            shown.append(repr(caught.value.record()))
            while error is not None:
                shown.append(f"{error!r} {error}")
                error = error.__cause__ or error.__context__
        for secret in await _secrets(account):
            assert not [text for text in shown if secret in text], "a secret is shown"


async def _secrets(account: AccountUnderTest) -> set[str]:
    found = {account.context.app.client_secret if account.context.app else ""}
    for service in ("imap", "smtp", "api"):
        login = await account.context.credentials.login(service)
        found |= {login.password or "", login.access_token or ""}
    return found - {""}


async def _read_attachment(session: Session, entry: MessageEntry) -> None:
    stream = await session.attachment(entry.attachments[0].id)
    async for _ in stream.chunks:
        pass
