"""Searches over Graph where they are unlike those over IMAP: exact times, ids, all mail at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from gateway.errors import NotFoundError
from gateway.model.message import FlagUpdate, MessageUpdate, SearchQuery
from gateway.provider import PageRequest, Session
from gateway.services import bulk, mail
from gateway_sandbox.testing import ALICE, BOB

if TYPE_CHECKING:
    from conftest import World

pytestmark = pytest.mark.anyio
NOON = datetime(2024, 3, 5, 12, tzinfo=UTC)
_HOUR, _SECOND = timedelta(hours=1), timedelta(seconds=1)


def letter(subject: str, sent: datetime = NOON) -> bytes:
    header = [
        f"From: {BOB}",
        f"To: {ALICE}",
        f"Subject: {subject}",
        f"Message-ID: <{subject}@search.test>",
        f"Date: {sent:%a, %d %b %Y %H:%M:%S} +0000",
        "MIME-Version: 1.0",
    ]
    return ("\r\n".join(header) + "\r\n\r\nHello Alice.\r\n").encode()


@pytest.fixture
async def session(outlook: World) -> AsyncIterator[Session]:
    """Alice's mailbox, whose inbox, archive and trash are empty."""
    await asyncio.to_thread(outlook.as_new)
    await asyncio.to_thread(outlook.empty, "Deleted Items")
    async with outlook.provider.open(*(await outlook.account())) as opened:
        yield opened


async def put(outlook: World, mailbox: str, *messages: tuple[bytes, datetime]) -> None:
    """Put messages into a mailbox, each with the time when it was received."""

    def append() -> None:
        with outlook.client() as client:
            for message, received in messages:
                client.append(mailbox, message, (), received)

    await asyncio.to_thread(append)


async def found(session: Session, mailbox: str, query: SearchQuery) -> list[str | None]:
    """Return the subjects of the messages that a search finds, newest first."""
    page = await session.search(mailbox, query, PageRequest(size=100))
    assert page.total == len(page.messages)
    assert await session.search_ids(mailbox, query) == [entry.id for entry in page.messages]
    return [entry.subject for entry in page.messages]


@pytest.mark.parametrize("more", [{}, {"to": ALICE}], ids=["filtered", "in words"])
@pytest.mark.parametrize("prefix", ["", "sent_"])
async def test_times_of_day_are_compared_to_the_second(
    outlook: World, session: Session, prefix: str, more: dict[str, str]
) -> None:
    """Graph compares times, so nothing else of the same day is found; a date is its first moment in UTC."""
    times = {"morning": NOON - _HOUR, "noon": NOON, "evening": NOON + _HOUR}
    await put(outlook, "Archive", *((letter(name, time), time) for name, time in times.items()))

    async def names(**terms: datetime) -> list[str | None]:
        return await found(
            session, "Archive", SearchQuery(**more, **{f"{prefix}{name}": time for name, time in terms.items()})
        )

    day = NOON - 12 * _HOUR
    assert await names(since=NOON) == ["evening", "noon"]
    assert await names(since=NOON + _SECOND / 2) == ["evening"]
    assert await names(before=NOON) == ["morning"]
    assert await names(before=NOON + _SECOND / 2) == ["noon", "morning"]
    assert await names(since=NOON, before=NOON + _SECOND) == ["noon"]
    assert await names(since=day, before=day + timedelta(days=1)) == ["evening", "noon", "morning"]
    assert await names(before=day) == []


@pytest.mark.parametrize("more", [{}, {"to": ALICE}], ids=["filtered", "in words"])
@pytest.mark.parametrize("prefix", ["", "sent_"])
async def test_the_first_and_the_last_times_there_are_can_be_searched_for(
    outlook: World, session: Session, prefix: str, more: dict[str, str]
) -> None:
    await put(outlook, "Archive", (letter("noon"), NOON))
    first, last = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    for term, time, expected in (
        ("since", first, ["noon"]),
        ("before", first, []),
        ("since", last, []),
        ("before", last, ["noon"]),
    ):
        assert await found(session, "Archive", SearchQuery(**more, **{f"{prefix}{term}": time})) == expected


async def test_ids_of_messages_override_all_other_terms(outlook: World, session: Session) -> None:
    """Also terms that Graph knows nothing of; an id that is none, or of no message there, is not found."""
    await put(outlook, "Archive", *((letter(name), NOON) for name in ("one", "two", "three")))
    await put(outlook, "INBOX", (letter("elsewhere"), NOON))
    ids = {entry.subject: entry.id for entry in (await session.messages("Archive", PageRequest())).messages}
    elsewhere = (await session.messages("INBOX", PageRequest())).messages[0].id
    await session.delete(ids["three"])
    wanted = (ids["one"], "not an id!", "AAMkAGI2", "", "x" * 256, ids["three"], elsewhere, ids["two"], ids["one"])
    for query in (
        SearchQuery(email_ids=wanted),
        SearchQuery(email_ids=wanted, subject="something else", email_id=elsewhere, before=NOON),
        SearchQuery(email_ids=wanted, body="nowhere", uid="1:3", gmail_raw="is:unread"),
    ):
        assert sorted(map(str, await found(session, "Archive", query.effective))) == ["one", "two"]
    assert await found(session, "Archive", SearchQuery(email_ids=())) == []
    assert await found(session, "Archive", SearchQuery(email_id="not an id!")) == []
    assert await found(session, "Archive", SearchQuery(email_id=ids["two"], subject="one")) == []


@pytest.fixture
async def spread(outlook: World, session: Session) -> list[str | None]:
    """Nine messages, in turn in three mailboxes; returns the subjects of all mail, newest first."""
    for number in range(9):
        mailbox = ("INBOX", "Archive", "Deleted Items")[number % 3]
        await put(outlook, mailbox, (letter(f"spread-{number}"), NOON + number * _HOUR))
    page = await session.messages("\\All", PageRequest(size=1000))
    assert page.total == len(page.messages)
    return [entry.subject for entry in page.messages]


async def test_all_mail_is_listed_newest_first_with_the_mailbox_of_each(
    session: Session, spread: list[str | None]
) -> None:
    page = await session.messages("\\all", PageRequest(size=1000))
    assert [entry.date for entry in page.messages] == sorted((entry.date for entry in page.messages), reverse=True)
    boxes = [mailbox.path for mailbox in await session.mailboxes()]
    assert page.total == sum([(await session.messages(path, PageRequest(size=1))).total for path in boxes])
    places = {entry.subject: (entry.path, entry.message_special_use) for entry in page.messages}
    assert [places[f"spread-{number}"] for number in range(3)] == [
        ("INBOX", "\\Inbox"),
        ("Archive", "\\Archive"),
        ("Deleted Items", "\\Trash"),
    ]


async def test_pages_of_all_mail_are_those_of_a_listing(session: Session, spread: list[str | None]) -> None:
    """Every message once, by numbers and by cursors, forth and back."""
    count = -(-len(spread) // 4)
    numbered = [await session.messages("\\All", PageRequest(page=page, size=4)) for page in range(count)]
    assert [entry.subject for page in numbered for entry in page.messages] == spread
    followed = [numbered[0]]
    while (cursor := followed[-1].next_cursor) is not None:
        followed.append(await session.messages("\\All", PageRequest(size=4, cursor=cursor)))
    assert [page.messages for page in followed] == [page.messages for page in numbered]
    assert {page.total for page in followed} == {len(spread)}
    back = await session.messages("\\All", PageRequest(size=4, cursor=followed[2].previous_cursor))
    assert back.messages == followed[1].messages


@pytest.mark.parametrize(
    "terms",
    [
        {"subject": "spread"},
        {"subject": "spread", "to": "alice"},
        {"subject": "spread", "answered": False},
        {"subject": "spread", "since": NOON, "before": NOON + 9 * _HOUR},
    ],
    ids=["filtered", "in words", "looked at", "of a time"],
)
async def test_all_mail_is_searched(session: Session, spread: list[str | None], terms: dict[str, Any]) -> None:
    expected = [subject for subject in spread if str(subject).startswith("spread")]
    assert len(expected) == 9
    assert await found(session, "\\All", SearchQuery(**terms)) == expected
    page = await session.search("\\All", SearchQuery(**terms), PageRequest(size=3))
    assert [entry.path for entry in page.messages] == ["Deleted Items", "Archive", "INBOX"]
    ids = tuple(entry.id for entry in page.messages)
    assert await found(session, "\\All", SearchQuery(email_ids=ids)) == expected[:3]
    assert await found(session, "Archive", SearchQuery(email_ids=ids)) == expected[1:2]


async def test_all_mail_heads_the_list_of_mailboxes_and_is_none_of_them(session: Session) -> None:
    """What synchronizes, watches and exports goes by the session's list: it must meet each message once."""
    shown = (await mail.list_mailboxes(session, counters=True)).mailboxes
    assert (shown[0].path, shown[0].special_use, shown[0].no_select) == ("\\All", "\\All", True)
    assert [mailbox.path for mailbox in shown[1:]] == [mailbox.path for mailbox in await session.mailboxes()]
    assert "\\All" not in {mailbox.special_use for mailbox in shown[1:]}
    for operation in (
        session.changes("\\All", None),
        session.watch("\\All"),
        session.append("\\All", letter("nowhere")),
        session.delete_mailbox("\\All"),
    ):
        with pytest.raises(NotFoundError):
            await operation


@pytest.mark.usefixtures("spread")
async def test_search_that_names_no_mailbox_is_of_all_mail(session: Session) -> None:
    query = SearchQuery(subject="spread")
    assert (await mail.search_messages(session, None, query, PageRequest())).total == 9
    assert (await mail.search_messages(session, "INBOX", query, PageRequest())).total == 3


@pytest.mark.usefixtures("spread")
async def test_what_is_found_in_all_mail_is_changed_and_deleted_into_the_trash(session: Session) -> None:
    """Nothing of it is deleted for good, wherever it is, unless that is asked for."""
    query = SearchQuery(subject="spread")
    flagged = await bulk.update(session, "\\All", query, MessageUpdate(flags=FlagUpdate(add="\\Flagged")))
    assert len(flagged.outcome.done) == 9
    deleted = await bulk.delete(session, "\\All", query, force=False)
    assert (deleted.deleted_messages, len(deleted.outcome.done)) == (msgspec.UNSET, 9)
    entries = (await session.search("\\All", query, PageRequest())).messages
    assert [(entry.path, entry.flagged) for entry in entries] == [("Deleted Items", True)] * 9
    assert (await bulk.delete(session, "\\All", query, force=True)).deleted_messages
    assert (await session.search("\\All", query, PageRequest())).total == 0
