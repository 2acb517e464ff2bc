"""Search criteria in IMAP's words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.errors import GatewayError, InvalidRequestError, UnsupportedOperationError
from gateway.model.message import LabelQuery, SearchQuery
from gateway.provider import PageRequest
from gateway_imap import ImapProvider

pytestmark = pytest.mark.anyio
Start = Callable[..., Awaitable[Any]]
DONE = b"TAG OK done\r\n"
GMAIL = b"* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR X-GM-EXT-1 ESEARCH LITERAL+ CONDSTORE\r\nTAG OK done\r\n"
OBJECTS = b"* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR OBJECTID\r\nTAG OK done\r\n"


async def _search(server: Any, query: SearchQuery, page: PageRequest | None = None) -> Any:
    async with ImapProvider().open(*server.account()) as session:
        return await session.search("INBOX", query, page or PageRequest())


def _sent(server: Any) -> bytes:
    (line,) = [line for line in server.commands if line.startswith(b"UID SEARCH")]
    return bytes(line.removeprefix(b"UID SEARCH "))


@pytest.mark.parametrize(
    ("query", "criteria"),
    [
        (SearchQuery(), b"ALL"),
        (SearchQuery(seq="1:5,*", uid="1:4294967295"), b"1:1,1:1 UID 1:4294967295"),
        (SearchQuery(seq="2,4294967295"), b"NOT ALL"),
        (SearchQuery(unseen=True, flagged=True, answered=False), b"UNANSWERED FLAGGED UNSEEN"),
        (SearchQuery(unseen=False, deleted=False, draft=True), b"UNDELETED DRAFT SEEN"),
        (SearchQuery(from_='a "b" \\', subject="x y"), b'FROM "a \\"b\\" \\\\" SUBJECT "x y"'),
        (SearchQuery(larger=10, smaller=20), b"LARGER 10 SMALLER 20"),
        (SearchQuery(since=datetime(2024, 2, 3, 23, tzinfo=UTC)), b"SINCE 3-Feb-2024"),
        (SearchQuery(sent_before=datetime(2024, 12, 31, tzinfo=UTC)), b"SENTBEFORE 31-Dec-2024"),
        (SearchQuery(header={"Message-ID": "<1@x>"}), b'HEADER "Message-ID" "<1@x>"'),
    ],
)
async def test_criteria_are_joined(scripted: Start, query: SearchQuery, criteria: bytes) -> None:
    """RFC 9051 section 6.4.4: one after the other means AND."""
    server = await scripted({b"UID SEARCH": b"* SEARCH\r\nTAG OK done\r\n"})
    page = await _search(server, query)
    assert (page.total, page.messages, page.next_cursor) == (0, (), None)
    assert _sent(server) == criteria


@pytest.mark.parametrize(
    "numbers", ["0", "1:0", "4294967296", "9999999999", "٣", "1,", ":1", "1 ALL", "1\n", "", "1:2:3"]
)
async def test_what_is_no_set_of_numbers_is_not_sent(scripted: Start, numbers: str) -> None:
    """RFC 9051 section 9: ASCII digits, without zero, of 32 bits."""
    server = await scripted({b"UID SEARCH": b"* SEARCH\r\nTAG OK done\r\n"})
    for query in (SearchQuery(uid=numbers), SearchQuery(seq=numbers)):
        with pytest.raises(InvalidRequestError):
            await _search(server, query)
    assert not [line for line in server.commands if b"SEARCH" in line]


async def test_text_beyond_ascii_travels_in_literals(scripted: Start) -> None:
    """As UTF-8, which the command names."""
    server = await scripted({b"CAPABILITY": GMAIL, b"UID SEARCH": b""})
    server.answers["Grüße".encode()] = b"* BYE enough\r\n<hang up>"
    with pytest.raises(GatewayError):
        await _search(server, SearchQuery(subject="Grüße"))
    assert _sent(server) == b"RETURN (ALL) CHARSET UTF-8 SUBJECT {7+}"


@pytest.mark.parametrize(
    ("capability", "query", "criteria"),
    [
        (GMAIL, SearchQuery(gmail_raw="has:attachment"), b'X-GM-RAW "has:attachment"'),
        (
            GMAIL,
            SearchQuery(labels=LabelQuery(has=("a b",), not_=("c",))),
            b'X-GM-LABELS "a b" NOT X-GM-LABELS "c"',
        ),
        (GMAIL, SearchQuery(thread_id="12", modseq=5), b"MODSEQ 5 X-GM-THRID 12"),
        (OBJECTS, SearchQuery(email_id="M1"), b"EMAILID M1"),
        (
            OBJECTS,
            SearchQuery(email_ids=("M1", "M2", "M3", "M1"), subject="x"),
            b'SUBJECT "x" OR EMAILID M1 OR EMAILID M2 EMAILID M3',
        ),
        (OBJECTS, SearchQuery(email_ids=("AAAAAQAAAAc", "M1")), b"OR UID 7 EMAILID M1"),
        (GMAIL, SearchQuery(email_ids=("AAAAAQAAAAc", "12", "M1")), b"OR UID 7 X-GM-MSGID 12"),
    ],
)
async def test_extensions_are_used_where_they_are(
    scripted: Start, capability: bytes, query: SearchQuery, criteria: bytes
) -> None:
    """Gmail's words, and those of RFC 8474; a list of ids is one criterion beside the others."""
    server = await scripted({b"CAPABILITY": capability, b"UID SEARCH": b"* SEARCH\r\nTAG OK done\r\n"})
    await _search(server, query)
    assert _sent(server).removeprefix(b"RETURN (ALL) ") == criteria


@pytest.mark.parametrize(
    "query",
    [SearchQuery(gmail_raw="x"), SearchQuery(thread_id="x"), SearchQuery(modseq=1), SearchQuery(labels=LabelQuery())],
)
async def test_missing_extension_is_told(scripted: Start, query: SearchQuery) -> None:
    """Ignoring a criterion would find too much, and a deletion may follow."""
    with pytest.raises(UnsupportedOperationError) as caught:
        await _search(await scripted(), query)
    assert caught.value.error_code == "MissingServerExtension"


@pytest.mark.parametrize(
    "query",
    [
        SearchQuery(uid="1\r\nA1 LOGOUT"),
        SearchQuery(seq="ALL"),
        SearchQuery(header={"a b": "x"}),
        SearchQuery(email_id="x) y"),
        SearchQuery(thread_id="x ALL"),
        SearchQuery(subject="a\0b"),
        SearchQuery(header={"X": "a\0b"}),
        SearchQuery(body="\ud800"),
    ],
)
async def test_criterion_cannot_smuggle_a_command(scripted: Start, query: SearchQuery) -> None:
    """Criteria come from callers of the API."""
    server = await scripted({b"CAPABILITY": OBJECTS})
    with pytest.raises(InvalidRequestError):
        await _search(server, query)
    assert not [line for line in server.commands if line.startswith(b"UID SEARCH")]


def _rows(command: bytes) -> bytes:
    ends = (part.partition(b":") for part in command.split(b" ")[2].split(b","))
    uids = [uid for low, _, high in ends for uid in range(int(low), int(high or low) + 1)]
    lines = (b"* %d FETCH (UID %d RFC822.SIZE 1)\r\n" % (position, uid) for position, uid in enumerate(uids, 1))
    return b"".join(lines) + b"TAG OK done\r\n"


@pytest.mark.parametrize(
    "found", [b"* SEARCH 3 9 1 2 8\r\n", b'* ESEARCH (TAG "x") UID ALL 1:3,8:9\r\n', b"* ESEARCH UID ALL 8:9,3:1\r\n"]
)
async def test_pages_are_exact_whatever_form_the_answer_has(scripted: Start, found: bytes) -> None:
    """A million matches arrive as a few ranges (RFC 4731)."""
    server = await scripted({b"UID SEARCH": found + b"TAG OK done\r\n", b"UID FETCH": _rows})
    async with ImapProvider().open(*server.account()) as session:
        pages = [await session.search("INBOX", SearchQuery(), PageRequest(size=2, page=number)) for number in range(4)]
    assert [[entry.uid for entry in page.messages] for page in pages] == [[9, 8], [3, 2], [1], []]
    assert {page.total for page in pages} == {5}
    assert [page.next_cursor is None for page in pages] == [False, False, True, True]


@pytest.mark.parametrize(
    ("capability", "ids"),
    [(OBJECTS, ("x) y", "x\r\nA1 LOGOUT", "ü", "\ud800", "")), (GMAIL, ("M1", "1 ALL", "-1", "AAAAZAAAAAE"))],
)
async def test_what_can_be_no_id_finds_nothing(scripted: Start, capability: bytes, ids: tuple[str, ...]) -> None:
    """A list of ids is of what there was; one that is wrong does not spoil the others."""
    server = await scripted({b"CAPABILITY": capability})
    assert (await _search(server, SearchQuery(email_ids=ids))).total == 0
    assert not [line for line in server.commands if line.startswith(b"UID SEARCH")]


async def test_no_ids_match_nothing(scripted: Start) -> None:
    """An empty list is not no list."""
    server = await scripted({b"CAPABILITY": OBJECTS})
    assert (await _search(server, SearchQuery(email_ids=()))).total == 0


async def test_many_ids_are_looked_for_in_commands_that_servers_take(scripted: Start) -> None:
    """RFC 7162 section 4: lines of 8192 octets; what is found twice counts once."""
    server = await scripted({b"CAPABILITY": OBJECTS, b"UID SEARCH": b"* SEARCH 5 9\r\n" + DONE, b"UID FETCH": _rows})
    ids = tuple(f"M{number}{'x' * 200}" for number in range(250))
    page = await _search(server, SearchQuery(email_ids=ids, unseen=True))
    searches = [line for line in server.commands if line.startswith(b"UID SEARCH")]
    assert all(len(line) < 8000 and line.startswith(b"UID SEARCH UNSEEN OR EMAILID M") for line in searches)
    assert sum(line.count(b"EMAILID") for line in searches) == 250
    assert (page.total, [entry.uid for entry in page.messages]) == (2, [9, 5])


@pytest.mark.parametrize("capability", [OBJECTS, GMAIL], ids=["SEARCH", "ESEARCH"])
async def test_large_mailbox_is_searched_in_pieces_whose_answers_fit_into_a_line(
    scripted: Start, capability: bytes
) -> None:
    """An id has up to ten digits, and the protocol library takes lines of a million octets."""

    def search(command: bytes) -> bytes:
        words = command.split()
        low, _, high = next(word for word in words if word[:1].isdigit()).partition(b":")
        top = 120_000 if high == b"*" else int(high)
        # Every second UID, so that ranges do not help.
        uids = (b"%d" % (4_000_000_000 + 2 * number) for number in range(int(low), top + 1))
        if b"RETURN" in words:
            return b"* ESEARCH UID ALL " + b",".join(uids) + b"\r\n" + DONE
        return b"* SEARCH " + b" ".join(uids) + b"\r\n" + DONE

    answers = {
        b"CAPABILITY": capability,
        b"EXAMINE": b"* 120000 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n" + DONE,
        b"UID SEARCH": search,
        b"UID FETCH": _rows,
    }
    server = await scripted(answers)
    page = await _search(server, SearchQuery(subject="x"), PageRequest(size=2, page=59_999))
    searches = [line for line in server.commands if line.startswith(b"UID SEARCH")]
    assert [line.split(b" ")[-3] for line in searches] == [b"100001:*", b"50001:100000", b"1:50000"]
    assert (page.total, [entry.uid for entry in page.messages]) == (120_000, [4_000_000_004, 4_000_000_002])
    assert page.next_cursor is None


def _refuse(*accepted: bytes, told: bytes = b"") -> Callable[[bytes], bytes]:
    """Refuse every charset but some."""

    def answer(command: bytes) -> bytes:
        charset = command.split(b"CHARSET ")[1].split()[0] if b"CHARSET " in command else b""
        if charset in accepted:
            return b"+ go on\r\n<next line>* SEARCH 5\r\n" + DONE
        return b"TAG NO [BADCHARSET" + told + b"] no\r\n"

    return answer


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        (_refuse(b"ISO-8859-1", told=b" (US-ASCII ISO-8859-1)"), [b"UTF-8", b"ISO-8859-1"]),
        (_refuse(b"", told=b" (US-ASCII)"), [b"UTF-8", b""]),
        (_refuse(b""), [b"UTF-8", b""]),
    ],
)
async def test_refused_charset_is_replaced_and_not_tried_again(
    scripted: Start, answer: Callable[[bytes], bytes], sent: list[bytes]
) -> None:
    """RFC 9051 section 7.1: the refusal may name charsets that would do."""
    server = await scripted({b"UID SEARCH": answer, b"UID FETCH": _rows})
    async with ImapProvider().open(*server.account()) as session:
        for _ in range(2):
            page = await session.search("INBOX", SearchQuery(subject="Gr\u00fc\u00dfe"), PageRequest())
            assert [entry.uid for entry in page.messages] == [5]
    searches = [line for line in server.commands if line.startswith(b"UID SEARCH")]
    named = [line.split(b"CHARSET ")[1].split()[0] if b"CHARSET" in line else b"" for line in searches]
    assert named == [*sent, sent[-1]]
    literal = "Gr\u00fc\u00dfe".encode("latin-1" if sent[-1] else "utf-8")
    assert server.commands.count(literal) == 2


async def test_text_that_the_server_takes_in_no_charset_is_told(scripted: Start) -> None:
    """A search without the criterion would find too much."""
    server = await scripted({b"UID SEARCH": _refuse(told=b" (US-ASCII)")})
    async with ImapProvider().open(*server.account()) as session:
        for _ in range(2):
            with pytest.raises(UnsupportedOperationError) as caught:
                await session.search("INBOX", SearchQuery(subject="Gr\u00fc\u00dfe"), PageRequest())
            assert caught.value.error_code == "UnsupportedSearchTerm"
    assert server.connections == 1
