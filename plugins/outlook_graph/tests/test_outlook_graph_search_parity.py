"""The same searches of the same mail, over IMAP and over Graph, find the same messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import UnsupportedOperationError
from gateway.model.message import SearchQuery
from gateway.provider import PageRequest, Session
from gateway_outlook_graph import searching
from gateway_outlook_graph.resources import Message
from gateway_sandbox import graph_listing
from gateway_sandbox.graph_errors import too_complex
from gateway_sandbox.testing import ALICE

if TYPE_CHECKING:
    from conftest import World

pytestmark = pytest.mark.anyio
_MAILBOX = "Archive"


def letter(number: int, sender: str, to: str, subject: str, day: str, body: str, *fields: str) -> bytes:
    header = [
        f"From: {sender}",
        f"To: {to}",
        f"Subject: {subject}",
        f"Message-ID: <parity-{number}@x.test>",
        f"Date: {day}",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
        *fields,
    ]
    return ("\r\n".join(header) + f"\r\n\r\n{body}\r\n").encode()


ANN, BEN = "Ann Archer <ann@one.test>", "Ben O'Brien <ben@two.test>"
#: Message, flags, when it was received.
MAIL: tuple[tuple[bytes, tuple[str, ...], datetime], ...] = tuple(
    (letter(number, *told), flags, datetime(2024, 3, day, 12, tzinfo=UTC))
    for number, (flags, day, *told) in enumerate(
        [
            ((), 1, ANN, ALICE, "Invoice 2024-17", "Fri, 01 Mar 2024 10:00:00 +0000", "Please pay the invoice."),
            (("\\Seen",), 2, BEN, ALICE, "Re: Invoice 2024-17", "Sat, 02 Mar 2024 10:00:00 +0000", "It is paid."),
            (("\\Flagged",), 5, ANN, f"{ALICE}, {BEN}", "Lunch", "Tue, 05 Mar 2024 10:00:00 +0000", "Pizza at noon?"),
            (("\\Seen", "\\Flagged"), 5, BEN, ALICE, "Lunch", "Mon, 04 Mar 2024 10:00:00 +0000", "Pasta, please."),
            (
                ("\\Answered",),
                9,
                ANN,
                "team@one.test",
                "It's Ann's turn",
                "Sat, 09 Mar 2024 10:00:00 +0000",
                "Your turn",
            ),
            ((), 9, BEN, ALICE, "Report", "Sat, 09 Mar 2024 10:00:00 +0000", "Attached words. " * 2000),
            (("\\Draft", "\\Seen"), 20, ALICE, ANN, "Unfinished", "Wed, 20 Mar 2024 10:00:00 +0000", "More to come"),
            (
                (),
                21,
                ANN,
                ALICE,
                "=?utf-8?q?Gr=C3=BC=C3=9Fe?=",
                "Thu, 21 Mar 2024 10:00:00 +0000",
                "Viele Grüße",
                f"Cc: {BEN}",
                "X-Kind: Card",
            ),
        ]
    )
)
DAY = {number: datetime(2024, 3, number, tzinfo=UTC) for number in (1, 2, 4, 5, 6, 9, 10, 20, 21, 22)}

#: What both find: fields of the gateway's search, and the same in the words of IMAP.
SAME: list[tuple[dict[str, Any], list[Any]]] = [
    ({}, ["ALL"]),
    ({"seen": True}, ["SEEN"]),
    ({"seen": False}, ["UNSEEN"]),
    ({"unseen": True}, ["UNSEEN"]),
    ({"unseen": False}, ["SEEN"]),
    ({"seen": True, "unseen": True}, ["SEEN", "UNSEEN"]),
    ({"flagged": True}, ["FLAGGED"]),
    ({"flagged": False}, ["UNFLAGGED"]),
    ({"answered": True}, ["ANSWERED"]),
    ({"answered": False}, ["UNANSWERED"]),
    ({"draft": True}, ["DRAFT"]),
    ({"draft": False}, ["UNDRAFT"]),
    ({"flagged": True, "seen": True}, ["FLAGGED", "SEEN"]),
    ({"flagged": False, "seen": False, "draft": False}, ["UNFLAGGED", "UNSEEN", "UNDRAFT"]),
    ({"answered": False, "flagged": True}, ["UNANSWERED", "FLAGGED"]),
    ({"from_": "ann@one.test"}, ["FROM", "ann@one.test"]),
    ({"from_": "ANN@ONE.TEST"}, ["FROM", "ann@one.test"]),
    ({"from_": "Archer"}, ["FROM", "Archer"]),
    ({"from_": "arch"}, ["FROM", "arch"]),
    ({"from_": "two.test"}, ["FROM", "two.test"]),
    ({"from_": "O'Brien"}, ["FROM", "O'Brien"]),
    ({"from_": "nobody"}, ["FROM", "nobody"]),
    ({"to": "team@one.test"}, ["TO", "team@one.test"]),
    ({"to": "ben@two.test"}, ["TO", "ben@two.test"]),
    ({"to": ALICE}, ["TO", ALICE]),
    ({"to": "nobody@x.test"}, ["TO", "nobody@x.test"]),
    ({"cc": "ben@two.test"}, ["CC", "ben@two.test"]),
    ({"cc": "ann@one.test"}, ["CC", "ann@one.test"]),
    ({"subject": "Lunch"}, ["SUBJECT", "Lunch"]),
    ({"subject": "lunch"}, ["SUBJECT", "lunch"]),
    ({"subject": "voice 2024"}, ["SUBJECT", "voice 2024"]),
    ({"subject": "Ann's"}, ["SUBJECT", "Ann's"]),
    ({"subject": "Grüße"}, ["SUBJECT", "Grüße"]),
    ({"subject": "nothing of it"}, ["SUBJECT", "nothing of it"]),
    ({"body": "pay"}, ["BODY", "pay"]),
    ({"body": "Pizza"}, ["BODY", "Pizza"]),
    ({"body": "pizza at noon"}, ["BODY", "pizza at noon"]),
    ({"body": "turn"}, ["BODY", "turn"]),
    ({"body": "nowhere"}, ["BODY", "nowhere"]),
    ({"larger": 10_000}, ["LARGER", 10_000]),
    ({"smaller": 10_000}, ["SMALLER", 10_000]),
    ({"since": DAY[5]}, ["SINCE", DAY[5].date()]),
    ({"before": DAY[5]}, ["BEFORE", DAY[5].date()]),
    ({"since": DAY[2], "before": DAY[9]}, ["SINCE", DAY[2].date(), "BEFORE", DAY[9].date()]),
    ({"since": DAY[22]}, ["SINCE", DAY[22].date()]),
    ({"sent_since": DAY[5]}, ["SENTSINCE", DAY[5].date()]),
    ({"sent_before": DAY[5]}, ["SENTBEFORE", DAY[5].date()]),
    ({"sent_since": DAY[4], "sent_before": DAY[6]}, ["SENTSINCE", DAY[4].date(), "SENTBEFORE", DAY[6].date()]),
    ({"header": {"X-Kind": "card"}}, ["HEADER", "X-Kind", "card"]),
    ({"header": {"X-Kind": ""}}, ["HEADER", "X-Kind", ""]),
    ({"header": {"Subject": "lunch"}}, ["HEADER", "Subject", "lunch"]),
    ({"header": {"Message-ID": "<parity-3@x.test>"}}, ["HEADER", "Message-ID", "<parity-3@x.test>"]),
    ({"header": {"Message-ID": "parity-3@x.test"}}, ["HEADER", "Message-ID", "parity-3@x.test"]),
    ({"header": {"message-id": "PARITY-3"}}, ["HEADER", "Message-ID", "parity-3"]),
    ({"header": {"Message-ID": "@x.test"}}, ["HEADER", "Message-ID", "@x.test"]),
    ({"header": {"Message-ID": "parity-3@x.test"}, "to": ALICE}, ["HEADER", "Message-ID", "parity-3", "TO", ALICE]),
    ({"header": {"Message-ID": "nowhere"}}, ["HEADER", "Message-ID", "nowhere"]),
    ({"subject": "Lunch", "from_": "ben"}, ["SUBJECT", "Lunch", "FROM", "ben"]),
    ({"subject": "Invoice", "seen": False}, ["SUBJECT", "Invoice", "UNSEEN"]),
    ({"subject": "Lunch", "since": DAY[5], "flagged": True}, ["SUBJECT", "Lunch", "SINCE", DAY[5].date(), "FLAGGED"]),
    ({"body": "please", "from_": "ann"}, ["BODY", "please", "FROM", "ann"]),
    ({"body": "please", "since": DAY[2]}, ["BODY", "please", "SINCE", DAY[2].date()]),
    ({"body": "please", "before": DAY[5]}, ["BODY", "please", "BEFORE", DAY[5].date()]),
    ({"body": "turn", "answered": True}, ["BODY", "turn", "ANSWERED"]),
    ({"to": ALICE, "subject": "Lunch", "flagged": True}, ["TO", ALICE, "SUBJECT", "Lunch", "FLAGGED"]),
    ({"to": ALICE, "sent_before": DAY[4]}, ["TO", ALICE, "SENTBEFORE", DAY[4].date()]),
    ({"smaller": 10_000, "from_": "ben"}, ["SMALLER", 10_000, "FROM", "ben"]),
]

#: What is different over Graph: fields, the words of IMAP, how many less are found, and why.
FEWER: list[tuple[dict[str, Any], list[Any], int, str]] = [
    ({"body": "izz"}, ["BODY", "izz"], 1, "$search finds whole words, IMAP parts of them"),
    ({"to": "eam@one"}, ["TO", "eam@one"], 1, "$search finds whole words, IMAP parts of them"),
    (
        {"header": {"Message-ID": "3@x.test"}},
        ["HEADER", "Message-ID", "3@x.test"],
        1,
        "what may be a whole Message-ID is compared as one",
    ),
]
#: What Graph has nothing for: the term, which is refused by its name, and the field.
REFUSED = {
    "seq": {"seq": "1:3"},
    "uid": {"uid": "1:3"},
    "modseq": {"modseq": 1},
    "gmailRaw": {"gmail_raw": "is:unread"},
    "deleted": {"deleted": True},
}


@pytest.fixture(scope="module")
def filled(running_outlook: World) -> World:
    """Alice's archive with the mail, and nothing else."""
    running_outlook.as_new()
    with running_outlook.client() as client:
        for message, flags, received in MAIL:
            client.append(_MAILBOX, message, flags, received)
    return running_outlook


@pytest.fixture
async def session(filled: World, outlook: World) -> AsyncIterator[Session]:
    async with outlook.provider.open(*(await outlook.account())) as opened:
        yield opened


def over_imap(world: World, criteria: list[Any]) -> set[str]:
    with world.client() as client:
        client.select_folder(_MAILBOX, readonly=True)
        found = client.fetch(client.search(criteria, charset="UTF-8"), ["ENVELOPE"])
        return {each[b"ENVELOPE"].message_id.decode() for each in found.values()}


async def over_graph(session: Session, fields: dict[str, Any]) -> set[str | None]:
    page = await session.search(_MAILBOX, SearchQuery(**fields), PageRequest(size=100))
    assert page.total == len(page.messages)
    assert await session.search_ids(_MAILBOX, SearchQuery(**fields)) == [entry.id for entry in page.messages]
    return {entry.message_id for entry in page.messages}


@pytest.mark.parametrize(("fields", "criteria"), SAME, ids=[str(criteria) for _, criteria in SAME])
async def test_search_finds_the_same_as_over_imap(
    filled: World, session: Session, fields: dict[str, Any], criteria: list[Any]
) -> None:
    assert await over_graph(session, fields) == await asyncio.to_thread(over_imap, filled, criteria)


@pytest.mark.parametrize(("fields", "criteria", "fewer", "reason"), FEWER)
async def test_search_over_graph_finds_what_is_whole(
    filled: World, session: Session, fields: dict[str, Any], criteria: list[Any], fewer: int, reason: str
) -> None:
    found, there = await over_graph(session, fields), await asyncio.to_thread(over_imap, filled, criteria)
    assert found <= there, reason
    assert len(there - found) == fewer, reason


@pytest.mark.parametrize(("term", "fields"), REFUSED.items())
async def test_what_graph_cannot_search_by_is_refused_by_its_name(
    session: Session, term: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(UnsupportedOperationError) as caught:
        await session.search(_MAILBOX, SearchQuery(**fields), PageRequest())
    record = caught.value.record()
    assert (record.code, record.details["term"]) == ("UnsupportedSearchTerm", term)
    assert term in record.message


@pytest.fixture
def finds(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Say how many messages a search in words finds: 1,000, and nothing tells of the others."""

    def find(most: int) -> None:
        monkeypatch.setattr(graph_listing, "MAX_SEARCH", most)
        monkeypatch.setattr(searching, "_SEARCHED", most)

    return find


@pytest.mark.parametrize("most", [3, 4, 5])
@pytest.mark.parametrize(
    ("fields", "criteria"),
    [
        ({"to": ALICE}, ["TO", ALICE]),
        ({"smaller": 1_000_000}, ["SMALLER", 1_000_000]),
        ({"to": ALICE, "since": DAY[2], "seen": False}, ["TO", ALICE, "SINCE", DAY[2].date(), "UNSEEN"]),
        ({"to": ALICE, "before": DAY[10]}, ["TO", ALICE, "BEFORE", DAY[10].date()]),
    ],
)
async def test_a_search_that_graph_would_cut_is_made_in_parts(
    filled: World,
    session: Session,
    finds: Callable[[int], None],
    fields: dict[str, Any],
    criteria: list[Any],
    most: int,
) -> None:
    finds(most)
    assert await over_graph(session, fields) == await asyncio.to_thread(over_imap, filled, criteria)


async def test_more_in_one_day_than_graph_finds_is_refused(session: Session, finds: Callable[[int], None]) -> None:
    """Of other days, they are found."""
    finds(2)
    with pytest.raises(UnsupportedOperationError) as caught:
        await session.search(_MAILBOX, SearchQuery(to=ALICE), PageRequest())
    assert caught.value.error_code == "UnsupportedSearchTerm"
    assert len(await over_graph(session, {"to": ALICE, "before": DAY[2]})) == 1


async def test_a_search_that_takes_too_many_calls_is_refused(
    session: Session, finds: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    finds(3)
    monkeypatch.setattr(searching, "_CALLS", 3)
    with pytest.raises(UnsupportedOperationError) as caught:
        await session.search(_MAILBOX, SearchQuery(to=ALICE), PageRequest())
    assert caught.value.error_code == "UnsupportedSearchTerm"


async def test_more_messages_than_are_looked_at_are_refused(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "_CANDIDATES", 3)
    monkeypatch.setattr(searching, "_QUERY", {**searching._QUERY, "$top": "3"})
    with pytest.raises(UnsupportedOperationError) as caught:
        await session.search(_MAILBOX, SearchQuery(answered=False), PageRequest())
    assert caught.value.error_code == "UnsupportedSearchTerm"


async def test_search_that_is_too_complex_for_the_service_is_refused(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise too_complex()

    monkeypatch.setattr(graph_listing, "parse_query", refuse)
    with pytest.raises(UnsupportedOperationError) as caught:
        await session.search(_MAILBOX, SearchQuery(subject="Lunch"), PageRequest())
    assert caught.value.error_code == "UnsupportedSearchTerm"


@pytest.mark.parametrize(
    ("first", "last", "days", "expected"),
    [
        (None, None, [1, 2, 3, 4, 5, 6], [(None, 1), (2, None)]),
        (None, None, [5, 5, 5], [(None, 4), (5, None)]),
        (5, None, [5, 5, 5], [(5, 5), (6, None)]),
        (None, 5, [5, 5, 5], [(None, 4), (5, 5)]),
        (5, 6, [5, 5, 5], [(5, 5), (6, 6)]),
        # Days that are those of another zone.
        (5, 6, [4, 4, 5], [(5, 5), (6, 6)]),
        (5, 6, [7, 7, 7], [(5, 5), (6, 6)]),
    ],
)
def test_parts_of_a_search_get_shorter(
    first: int | None, last: int | None, days: list[int], expected: list[tuple[int | None, int | None]]
) -> None:
    def day(number: int | None) -> date | None:
        return None if number is None else date(2024, 3, number)

    part = [Message(id="x", received_date_time=datetime(2024, 3, number, tzinfo=UTC)) for number in days]
    assert searching._split(day(first), day(last), part) == [(day(start), day(end)) for start, end in expected]
