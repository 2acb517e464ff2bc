"""Searches over Graph where they are unlike those over IMAP: exact times, ids, all mail at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from gateway.model.message import SearchQuery
from gateway.provider import PageRequest, Session
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
    """Alice's mailbox, whose inbox and archive are empty."""
    await asyncio.to_thread(outlook.as_new)
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
        assert sorted(map(str, await found(session, "Archive", query))) == ["one", "two"]
    assert await found(session, "Archive", SearchQuery(email_ids=())) == []
    assert await found(session, "Archive", SearchQuery(email_id="not an id!")) == []
    assert await found(session, "Archive", SearchQuery(email_id=ids["two"], subject="one")) == []
