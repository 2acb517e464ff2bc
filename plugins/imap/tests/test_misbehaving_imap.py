"""Servers that break off, lie, or speak nonsense: each ends in the branch of the error tree that says what to do.

The errors are raised by the real libraries against a server that misbehaves.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from gateway.errors import (
    ConnectError,
    GatewayError,
    MailboxNotFoundError,
    MailboxUnavailableError,
    NotFoundError,
    OutcomeUnknownError,
    PermanentError,
    RateLimitError,
    ReauthorizationError,
    ServiceUnavailableError,
    UnsupportedOperationError,
)
from gateway.model.message import FlagUpdate
from gateway.provider import Login, PageRequest, Session, SessionContext
from gateway.testing.context import AccountUnderTest, FixedCredentials, MemoryNumbers
from gateway_imap import ImapProvider, ImapTimeouts
from gateway_imap.ids import MessageId

pytestmark = pytest.mark.anyio
Start = Callable[..., Awaitable[Any]]
HANG_UP, NEXT_LINE = b"<hang up>", b"<next line>"
MESSAGE = MessageId(1, 5).encode()
FOUND = b"* 1 FETCH (UID 5 FLAGS (\\Seen))\r\nTAG OK done\r\n"
CAPABILITIES = b"* CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 UNSELECT\r\nTAG OK done\r\n"


async def _listing(session: Session) -> Any:
    return await session.messages("INBOX", PageRequest())


async def _outcome(server: Any, call: Callable[[Session], Awaitable[Any]] = _listing, **login: Any) -> Any:
    """What a call on a new session ends in: its result or its error."""
    under_test = server.account(**login)
    await under_test.context.numbers.number("7:INBOX")
    provider = ImapProvider(imap_timeouts=ImapTimeouts(connect=0.5, read=0.5))
    async with provider.open(*under_test) as session:
        try:
            return await call(session)
        except GatewayError as error:
            outcome = error
    assert "u@test" not in str(outcome), "an error names no address"
    return outcome


@pytest.mark.parametrize(
    ("prefix", "answer", "expected"),
    [
        (b"FETCH", HANG_UP, ConnectError),
        (b"FETCH", b"* 1 FETCH (UID 5 FLAGS" + HANG_UP, ConnectError),
        (b"FETCH", b"* 1 FETCH (UID 5 ENVELOPE {500}\r\nhalf" + HANG_UP, ConnectError),
        (b"FETCH", b"* 1 FETCH (UID 5 ENVELOPE {99999999999999999999}\r\n", ConnectError),
        (b"FETCH", b"", ConnectError),
        (b"FETCH", b"what?\r\n", ConnectError),
        (b"FETCH", b"OTHER1 OK done\r\n", ConnectError),
        (b"FETCH", b"* BYE Session invalidated - AccessTokenExpired\r\n" + HANG_UP, ConnectError),
        (b"FETCH", b"* BYE Too many connections\r\n" + HANG_UP, RateLimitError),
        (b"FETCH", b"TAG NO [UNAVAILABLE] later\r\n", ServiceUnavailableError),
        (b"FETCH", b"TAG BAD what\r\n", PermanentError),
        (b"EXAMINE", b"TAG NO xyz doesn't exist.\r\n", MailboxNotFoundError),
        (b"EXAMINE", b"TAG OK no numbers\r\n", ConnectError),
        (b"LIST", b"TAG OK nothing\r\n", ConnectError),
        (b"LIST", b"* LIST nonsense\r\nTAG OK done\r\n", ConnectError),
        (b"CAPABILITY", HANG_UP, ConnectError),
        (b"AUTHENTICATE", b"* BYE bye\r\n" + HANG_UP, ConnectError),
        (b"AUTHENTICATE", b"TAG NO [AUTHENTICATIONFAILED] u@test is wrong\r\n", ReauthorizationError),
        (b"AUTHENTICATE", b"TAG NO [UNAVAILABLE] later\r\n", ServiceUnavailableError),
    ],
)
async def test_broken_answers(scripted: Start, prefix: bytes, answer: bytes, expected: type[GatewayError]) -> None:
    """Half an answer is no answer, and no native error reaches the caller."""
    server = await scripted({prefix: answer})
    assert type(await _outcome(server)) is expected


@pytest.mark.parametrize(
    ("greeting", "expected"),
    [
        (b"", ConnectError),
        (HANG_UP, ConnectError),
        (b"220 mail.example.org ESMTP\r\n", ConnectError),
        (b"* BYE Too many connections from your address\r\n" + HANG_UP, RateLimitError),
        (b"* BYE go away\r\n" + HANG_UP, ConnectError),
    ],
)
async def test_broken_greetings(scripted: Start, greeting: bytes, expected: type[GatewayError]) -> None:
    """The wrong port, a server that says nothing, a server that is full."""
    assert type(await _outcome(await scripted(greeting=greeting))) is expected


async def test_signed_in_without_a_mailbox(scripted: Start) -> None:
    """Exchange Online lets in first and refuses every command afterwards; signing in again would not help."""
    refusal = b"TAG BAD User is authenticated but not connected.\r\n* BYE Connection closed. 14\r\n" + HANG_UP
    server = await scripted(dict.fromkeys((b"LIST", b"EXAMINE", b"NOOP"), refusal))
    assert isinstance(await _outcome(server), MailboxUnavailableError)
    assert isinstance(await _outcome(server, lambda session: session.check()), MailboxUnavailableError)


def _tokens(old: str, new: str) -> Any:
    credentials = FixedCredentials(
        Login(user="u@test", access_token=old), renewed=Login(user="u@test", access_token=new)
    )
    return SessionContext(credentials=credentials, numbers=MemoryNumbers())


def _takes(token: str, refusal: bytes) -> Callable[[bytes], bytes]:
    """An answer to AUTHENTICATE XOAUTH2 with initial response."""
    wanted = base64.b64encode(f"user=u@test\1auth=Bearer {token}\1\1".encode())
    return lambda command: b"TAG OK done\r\n" if command.split(b" ")[-1] == wanted else refusal


async def test_refused_token_is_renewed_once(scripted: Start) -> None:
    """It may have expired since it was handed out."""
    server = await scripted({b"AUTHENTICATE XOAUTH2": _takes("new", b"TAG NO AUTHENTICATE failed.\r\n")})
    context = _tokens("old", "new")
    assert await _outcome(server, lambda session: session.check(), context=context) is None
    assert [login.access_token for login in context.credentials.refused] == ["old"]
    assert server.connections == 2


async def test_token_refused_twice_needs_a_person(scripted: Start) -> None:
    """A third time would only lock the account."""
    server = await scripted({b"AUTHENTICATE XOAUTH2": _takes("other", b"TAG NO AUTHENTICATE failed.\r\n")})
    assert isinstance(await _outcome(server, context=_tokens("old", "new")), ReauthorizationError)
    assert server.connections == 2


async def test_refused_password_is_not_tried_again(scripted: Start) -> None:
    """It does not get better by repetition, and servers count."""
    server = await scripted({b"AUTHENTICATE": b"TAG NO wrong\r\n"})
    assert isinstance(await _outcome(server), ReauthorizationError)
    assert server.connections == 1


async def test_challenge_that_explains_a_refusal_gets_an_empty_line(scripted: Start) -> None:
    """RFC 7628 section 3.2.3; sending the token again would hang both sides."""
    challenge = base64.b64encode(b'{"status":"401"}')
    refusal = b"+ " + challenge + b"\r\n" + NEXT_LINE + b"TAG NO [AUTHENTICATIONFAILED] no\r\n"
    server = await scripted({b"AUTHENTICATE XOAUTH2": refusal})
    assert isinstance(await _outcome(server, context=_tokens("t", "t")), ReauthorizationError)
    assert server.commands[2] == b""


async def test_token_is_sent_after_the_challenge_without_initial_responses(scripted: Start) -> None:
    """SASL-IR (RFC 4959) is an extension."""
    server = await scripted(
        {b"CAPABILITY": CAPABILITIES, b"AUTHENTICATE XOAUTH2": b"+ \r\n" + NEXT_LINE + b"TAG OK done\r\n"}
    )
    assert await _outcome(server, lambda session: session.check(), context=_tokens("t", "t")) is None
    sent = server.commands[server.commands.index(b"AUTHENTICATE XOAUTH2") + 1]
    assert base64.b64decode(sent) == b"user=u@test\1auth=Bearer t\1\1"


async def test_password_beyond_ascii_is_sent_whole(scripted: Start) -> None:
    """Through SASL PLAIN, which is UTF-8 (RFC 4616)."""
    server = await scripted()
    login = Login(user="u@test", password='pä"ss\\wörd')
    assert await _outcome(server, lambda session: session.check(), login=login) is None
    (sent,) = [line for line in server.commands if line.startswith(b"AUTHENTICATE PLAIN")]
    assert base64.b64decode(sent.split(b" ")[2]) == '\0u@test\0pä"ss\\wörd'.encode()


async def test_password_goes_into_a_literal_for_login(scripted: Start) -> None:
    """An old server without SASL; octets above 127 are not allowed in quoted strings there."""
    server = await scripted(
        {
            b"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\nTAG OK done\r\n",
            b'LOGIN "u@test" {5}': b"+ go\r\n" + NEXT_LINE + b"TAG OK done\r\n",
        }
    )
    login = Login(user="u@test", password="wörd")
    assert await _outcome(server, lambda session: session.check(), login=login) is None
    assert "wörd".encode() in server.commands


async def test_no_password_is_sent_where_the_server_forbids_it(scripted: Start) -> None:
    """LOGINDISABLED (RFC 9051 section 6.2.3) means: not over this connection."""
    server = await scripted({b"CAPABILITY": b"* CAPABILITY IMAP4rev1 LOGINDISABLED\r\nTAG OK done\r\n"})
    assert isinstance(await _outcome(server), ReauthorizationError)
    assert not [line for line in server.commands if line.startswith(b"LOGIN")]


@pytest.mark.parametrize("operation", ["move", "copy", "append"])
async def test_break_in_a_change_that_cannot_be_repeated(scripted: Start, operation: str) -> None:
    """Doing it again might do it twice."""
    server = await scripted({b"UID FETCH": FOUND, b"UID MOVE": HANG_UP, b"UID COPY": HANG_UP, b"APPEND": HANG_UP})
    calls: dict[str, Callable[[Session], Awaitable[Any]]] = {
        "move": lambda session: session.move(MESSAGE, "Archive"),
        "copy": lambda session: session.copy(MESSAGE, "Archive"),
        "append": lambda session: session.append("Archive", b"a: b\r\n\r\n"),
    }
    assert isinstance(await _outcome(server, calls[operation]), OutcomeUnknownError)


async def test_break_in_a_change_of_flags_may_be_repeated(scripted: Start) -> None:
    """Setting a flag twice is setting it once."""
    server = await scripted({b"UID FETCH": FOUND, b"UID STORE": HANG_UP})
    outcome = await _outcome(server, lambda session: session.update_flags(MESSAGE, FlagUpdate(add="\\Seen")))
    assert isinstance(outcome, ConnectError)


async def test_move_without_the_extension_copies_and_expunges_only_that_message(scripted: Start) -> None:
    """Somebody else's messages that are marked as deleted stay, and stay marked."""
    done = b"TAG OK done\r\n"
    server = await scripted(
        {
            b"CAPABILITY": CAPABILITIES,
            b"AUTHENTICATE": b"+ \r\n" + NEXT_LINE + b"TAG OK done\r\n",
            b"UID FETCH": FOUND,
            b"UID COPY": done,
            b"UID STORE": done,
            b"UID SEARCH": b"* SEARCH 5 8 9\r\nTAG OK done\r\n",
            b"EXPUNGE": done,
        }
    )
    assert await _outcome(server, lambda session: session.move(MESSAGE, "Archive")) is None
    start = next(i for i, line in enumerate(server.commands) if line.startswith(b"UID COPY"))
    assert [line for line in server.commands[start:] if not line.startswith((b"UID FETCH", b"LOGOUT"))] == [
        b'UID COPY 5 "Archive"',
        b"UID STORE 5 +FLAGS.SILENT (\\Deleted)",
        b"UID SEARCH DELETED",
        b"UID STORE 8:9 -FLAGS.SILENT (\\Deleted)",
        b"EXPUNGE",
        b"UID STORE 8:9 +FLAGS.SILENT (\\Deleted)",
    ]


async def test_one_broken_message_does_not_spoil_a_page(scripted: Start) -> None:
    """It is listed by its id; the others are listed whole."""
    server = await scripted(
        {
            b"EXAMINE": b"* 2 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\nTAG OK done\r\n",
            b"FETCH": b'* 1 FETCH (UID 5 FLAGS () RFC822.SIZE 9)\r\n* 2 FETCH (UID 6 ENVELOPE ((("\r\nTAG OK done\r\n',
        }
    )
    page = await _outcome(server)
    assert [(entry.uid, entry.size) for entry in page.messages] == [(6, None), (5, 9)]


async def test_messages_that_go_while_a_page_is_read(scripted: Start) -> None:
    """RFC 5530 EXPUNGEISSUED: after a NOOP the numbers are right again."""
    fetches: list[bytes] = []

    def fetch(command: bytes) -> bytes:
        fetches.append(command)
        if len(fetches) == 1:
            return b"TAG NO [EXPUNGEISSUED] some are gone\r\n"
        return b"* 1 FETCH (UID 5 RFC822.SIZE 9)\r\nTAG OK done\r\n"

    server = await scripted(
        {
            b"EXAMINE": b"* 2 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\nTAG OK done\r\n",
            b"NOOP": b"* 1 EXPUNGE\r\nTAG OK done\r\n",
            b"FETCH": fetch,
        }
    )
    page = await _outcome(server)
    assert (page.total, [entry.uid for entry in page.messages]) == (1, [5])
    assert [line.split(b" ")[1] for line in fetches] == [b"1:2", b"1:1"]


async def test_mailbox_made_anew_makes_old_ids_unknown(scripted: Start) -> None:
    """The UID would be another message now (RFC 9051 section 2.3.1.1)."""
    server = await scripted(
        {b"EXAMINE": b"* 1 EXISTS\r\n* OK [UIDVALIDITY 8] x\r\nTAG OK done\r\n", b"UID FETCH": FOUND}
    )
    assert isinstance(await _outcome(server, lambda session: session.message(MESSAGE)), NotFoundError)


async def test_server_name_of_a_mailbox_is_used_as_the_server_gave_it(scripted: Start) -> None:
    """A name that breaks modified UTF-7 would be another one if it were encoded again."""
    server = await scripted(
        {
            b"LIST": b'* LIST () "/" INBOX\r\n* LIST () "/" "Tom & Jerry"\r\n* LIST () "/" {3}\r\na"b\r\n'
            b"TAG OK done\r\n",
            b"FETCH": b"TAG OK done\r\n",
        }
    )

    async def visit(session: Session) -> list[str]:
        paths = [mailbox.path for mailbox in await session.mailboxes()]
        for path in paths:
            await session.messages(path, PageRequest())
        return paths

    paths = await _outcome(server, visit)
    assert paths[0] == "INBOX"
    assert paths[2] == 'a"b'
    assert [line for line in server.commands if line.startswith(b"EXAMINE")] == [
        b'EXAMINE "INBOX"',
        b'EXAMINE "Tom & Jerry"',
        b'EXAMINE "a\\"b"',
    ]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"TAG NO [CANNOT] Character not allowed: *\r\n", "InvalidMailboxName"),
        (b"TAG NO Character not allowed: *\r\n", "PermanentError"),
    ],
)
async def test_wildcard_does_not_pass_for_a_mailbox_that_exists(scripted: Start, answer: bytes, code: str) -> None:
    """LIST takes the name for a pattern (RFC 9051 section 6.3.9), and answers with others."""
    server = await scripted({b"CREATE": answer, b"RENAME": answer})
    for call in (
        lambda session: session.create_mailbox("*"),
        lambda session: session.rename_mailbox("INBOX", "%"),
    ):
        outcome = await _outcome(server, call)
        assert isinstance(outcome, PermanentError)
        assert outcome.error_code == code


async def test_name_with_a_line_end_is_not_sent(scripted: Start) -> None:
    """Dovecot repeats a name that it does not know, decoded: what follows the line end would pose as an answer."""
    server = await scripted()
    for name in ("x\r\nA1 OK", "x\ny", "\0"):
        outcome = await _outcome(server, lambda session, name=name: session.append(name, b"Subject: x\r\n\r\n"))
        assert isinstance(outcome, NotFoundError)
    assert not [line for line in server.commands if line.startswith(b"APPEND")]


@pytest.mark.parametrize("name", ["a/", "/a", "a//b", "/"])
async def test_empty_name_between_delimiters_is_not_made(scripted: Start, name: str) -> None:
    """Servers would make another mailbox than the one that was asked for."""
    server = await scripted({b"CREATE": b"TAG OK done\r\n", b"RENAME": b"TAG OK done\r\n"})
    for call in (
        lambda session: session.create_mailbox(name),
        lambda session: session.rename_mailbox("Archive", name),
    ):
        assert (await _outcome(server, call)).error_code == "InvalidMailboxName"
    assert not [line for line in server.commands if line.startswith((b"CREATE", b"RENAME"))]


async def test_mailbox_that_is_named_like_a_special_use_is_reached(scripted: Start) -> None:
    """Somebody may have made it; its own name comes before the use that it looks like."""
    server = await scripted({b"LIST": b'* LIST () "/" INBOX\r\n* LIST () "/" "\\\\Odd"\r\nTAG OK done\r\n'})
    await _outcome(server, lambda session: session.messages("\\Odd", PageRequest()))
    assert b'EXAMINE "\\\\Odd"' in server.commands


@pytest.mark.parametrize(
    ("end", "size"), [(b"x", 100), (b"", None), (b"xy", None)], ids=["true", "too large", "too small"]
)
async def test_size_of_a_message_is_believed_if_it_ends_there(scripted: Start, end: bytes, size: int | None) -> None:
    """Exchange estimates sizes, and a download of another length than was told breaks."""
    octets = b"* 1 FETCH (UID 5 BODY[]<99> {%d}\r\n%b)\r\nTAG OK done\r\n" % (len(end), end)
    told = b"* 1 FETCH (UID 5 RFC822.SIZE 100)\r\nTAG OK done\r\n"
    server = await scripted({b"UID FETCH 5 (UID RFC822.SIZE": told, b"UID FETCH 5 (UID BODY.PEEK[]<99.2>": octets})
    assert await _outcome(server, lambda session: session.source_size(MESSAGE)) == size


async def test_cancelled_call_does_not_leave_its_answer_to_the_next(scripted: Start) -> None:
    """A caller's time is up in the middle of an answer; the session starts afresh."""
    server = await scripted({b"FETCH": b"* 1 FETCH (UID 5 RFC822.SIZE 1)\r\n"})

    async def impatient(session: Session) -> Any:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await session.messages("INBOX", PageRequest())
        server.answers[b"FETCH"] = b"* 1 FETCH (UID 5 RFC822.SIZE 2)\r\nTAG OK done\r\n"
        return await session.messages("INBOX", PageRequest())

    page = await _outcome(server, impatient)
    assert [entry.size for entry in page.messages] == [2]
    assert server.connections == 2


async def test_session_that_only_submits_never_opens_imap(scripted: Start) -> None:
    """Exchange counts connections, and a lane for sending has no use for one."""
    server = await scripted()
    outcome = await _outcome(server, lambda session: session.check_submit())
    assert isinstance(outcome, UnsupportedOperationError)
    assert server.connections == 0


async def test_account_without_imap_says_so(scripted: Start) -> None:
    """An account may exist only to send."""
    server = await scripted()
    under_test = server.account()
    account = AccountUnderTest(_without_imap(under_test), under_test.context)
    async with ImapProvider().open(*account) as session:
        with pytest.raises(UnsupportedOperationError):
            await session.mailboxes()


def _without_imap(under_test: AccountUnderTest) -> Any:
    return msgspec.structs.replace(under_test.account, settings=None)


async def test_flag_cannot_smuggle_a_command(scripted: Start) -> None:
    """Flags come from callers of the API."""
    server = await scripted()
    outcome = await _outcome(server, lambda session: session.update_flags(MESSAGE, FlagUpdate(add="x)\r\nA LOGOUT")))
    assert outcome.error_code == "InvalidRequest"
    assert not [line for line in server.commands if b"STORE" in line]
