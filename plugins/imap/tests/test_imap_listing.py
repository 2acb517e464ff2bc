"""A page that is listed again: asked for in one round trip, and never older than the answer to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.errors import ServiceUnavailableError
from gateway.provider import MessagePage, PageRequest, Session
from gateway_imap import ImapProvider
from gateway_imap.entries import LISTED_FIELDS

pytestmark = pytest.mark.anyio
Start = Callable[..., Awaitable[Any]]
FULL = f"(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE {LISTED_FIELDS})".encode()
DONE = b"TAG OK done\r\n"


def _message(number: int, uid: int, flags: bytes = b"") -> bytes:
    subject = b'NIL "Message %d" NIL NIL NIL NIL NIL NIL NIL NIL' % uid
    return b"* %d FETCH (UID %d FLAGS (%b) RFC822.SIZE %d ENVELOPE (%b))\r\n" % (number, uid, flags, uid * 100, subject)


def _flags(number: int, uid: int, flags: bytes = b"") -> bytes:
    return b"* %d FETCH (UID %d FLAGS (%b))\r\n" % (number, uid, flags)


def _turns(*answers: bytes) -> Callable[[bytes], bytes]:
    """Answer each time with the next one, and with the last one from then on."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


async def _list_twice(
    server: Any, between: Callable[[Session], Awaitable[Any]] | None = None
) -> tuple[MessagePage, list[bytes]]:
    """List a mailbox twice in one session; return what came of the second time, and the commands that it took."""
    under_test = server.account()
    async with ImapProvider().open(*under_test) as session:
        await session.messages("INBOX", PageRequest())
        if between is not None:
            await between(session)
        server.commands.clear()
        page = await session.messages("INBOX", PageRequest())
        return page, list(server.commands)


def _shown(page: MessagePage) -> tuple[int, list[tuple[int | None, str | None, int | None, bool]]]:
    return page.total, [(entry.uid, entry.subject, entry.size, entry.unseen) for entry in page.messages]


async def test_same_page_again_takes_its_flags_only_and_one_write(scripted: Start) -> None:
    """What cannot change under a UID (RFC 9051 section 2.3.1.1) is not asked for again."""
    fetch = _turns(_message(1, 5) + DONE, _flags(1, 5, rb"\Seen") + DONE)
    server = await scripted({b"FETCH": fetch})
    page, commands = await _list_twice(server)
    assert commands == [b"FETCH 1:1 (UID FLAGS)", b"NOOP"]
    assert _shown(page) == (1, [(5, "Message 5", 500, False)])


async def test_flags_that_the_look_afterwards_tells_are_newer(scripted: Start) -> None:
    """Servers tell of other sessions' changes at NOOP (RFC 9051 section 7.5.2), without a UID."""
    fetch = _turns(_message(1, 5) + DONE, _flags(1, 5) + DONE)
    server = await scripted({b"FETCH": fetch, b"NOOP": b"* 1 FETCH (FLAGS (\\Seen))\r\n" + DONE})
    assert _shown((await _list_twice(server))[0]) == (1, [(5, "Message 5", 500, False)])


async def test_gmail_labels_and_threads_are_asked_for_each_time(scripted: Start) -> None:
    """They can change while the UID stays."""
    capabilities = b"* CAPABILITY IMAP4rev1 AUTH=PLAIN UNSELECT X-GM-EXT-1\r\n" + DONE
    again = b"* 1 FETCH (UID 5 FLAGS () X-GM-THRID 9 X-GM-LABELS (Done))\r\n"
    server = await scripted({b"CAPABILITY": capabilities, b"FETCH": _turns(_message(1, 5) + DONE, again + DONE)})
    page, commands = await _list_twice(server)
    (entry,) = page.messages
    assert commands == [b"FETCH 1:1 (UID FLAGS X-GM-THRID X-GM-LABELS)", b"NOOP"]
    assert (entry.labels, entry.thread_id, entry.subject) == (("Done",), "9", "Message 5")


@pytest.mark.parametrize(
    ("news", "numbers", "total", "uids"),
    [
        (b"* 3 EXISTS\r\n", b"1:3", 3, [7, 6, 5]),
        (b"* 1 EXPUNGE\r\n", b"1:1", 1, [6]),
    ],
    ids=["one more", "one less"],
)
async def test_mailbox_that_changed_is_read_anew(
    scripted: Start, news: bytes, numbers: bytes, total: int, uids: list[int]
) -> None:
    """The numbers that were asked for first were wrong; the look behind them told the right ones."""
    before = _message(1, 5) + _message(2, 6) + DONE
    after = b"".join(_message(number, uid) for number, uid in enumerate(reversed(uids), 1)) + DONE
    server = await scripted(
        {
            b"EXAMINE": b"* 2 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n" + DONE,
            b"FETCH": _turns(before, _flags(1, 5) + _flags(2, 6) + DONE, after),
            b"NOOP": _turns(news + DONE, DONE),
        }
    )
    page, commands = await _list_twice(server)
    assert commands == [b"FETCH 1:2 (UID FLAGS)", b"NOOP", b"FETCH %b %b" % (numbers, FULL)]
    assert _shown(page) == (total, [(uid, f"Message {uid}", uid * 100, True) for uid in uids])


async def test_one_more_and_one_less_is_a_change_too(scripted: Start) -> None:
    """There are as many messages as before, but others."""
    server = await scripted(
        {
            b"FETCH": _turns(_message(1, 5) + DONE, _flags(1, 5) + b"* 2 EXISTS\r\n" + DONE, _message(1, 6) + DONE),
            b"NOOP": _turns(b"* 1 EXPUNGE\r\n" + DONE, DONE),
        }
    )
    assert _shown((await _list_twice(server))[0]) == (1, [(6, "Message 6", 600, True)])


async def test_same_numbers_of_other_messages_are_not_taken_for_the_page(scripted: Start) -> None:
    """The session learned of the change in between, when it did something else."""
    server = await scripted(
        {
            b"FETCH": _turns(_message(1, 5) + DONE, _flags(1, 6) + DONE, _message(1, 6) + DONE),
            b"NOOP": _turns(b"* 1 EXPUNGE\r\n" + DONE, b"* 1 EXISTS\r\n" + DONE, DONE),
        }
    )

    async def check_twice(session: Session) -> None:
        await session.check()
        await session.check()

    page, commands = await _list_twice(server, check_twice)
    assert commands == [b"FETCH 1:1 (UID FLAGS)", b"NOOP", b"FETCH 1:1 " + FULL]
    assert _shown(page) == (1, [(6, "Message 6", 600, True)])


async def test_messages_that_went_meanwhile_are_left_out(scripted: Start) -> None:
    """RFC 5530 EXPUNGEISSUED, and the look behind it tells how many are left."""
    server = await scripted(
        {
            b"EXAMINE": b"* 2 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n" + DONE,
            b"FETCH": _turns(
                _message(1, 5) + _message(2, 6) + DONE,
                b"TAG NO [EXPUNGEISSUED] some are gone\r\n",
                _message(1, 6) + DONE,
            ),
            b"NOOP": _turns(b"* 1 EXPUNGE\r\n" + DONE, DONE),
        }
    )
    assert _shown((await _list_twice(server))[0]) == (1, [(6, "Message 6", 600, True)])


async def test_mailbox_that_became_empty_is_an_empty_page(scripted: Start) -> None:
    """Nothing is fetched by numbers that there are not."""
    fetch = _turns(_message(1, 5) + DONE, _flags(1, 5) + DONE)
    server = await scripted({b"FETCH": fetch, b"NOOP": b"* 1 EXPUNGE\r\n" + DONE})
    assert _shown((await _list_twice(server))[0]) == (0, [])


async def test_page_with_a_broken_message_is_read_in_full_again(scripted: Start) -> None:
    """The server may have mended it."""
    broken = b'* 1 FETCH (UID 5 FLAGS () ENVELOPE ((("\r\n'
    server = await scripted({b"FETCH": _turns(broken + DONE, _message(1, 5) + DONE)})
    page, commands = await _list_twice(server)
    assert commands == [b"FETCH 1:1 " + FULL, b"NOOP"]
    assert _shown(page) == (1, [(5, "Message 5", 500, True)])


async def test_refusal_of_either_command_is_the_answer(scripted: Start) -> None:
    """Both were sent; the caller hears what was refused, and the session goes on in step."""
    for answers in (
        {b"FETCH": _turns(_message(1, 5) + DONE, b"TAG NO [UNAVAILABLE] later\r\n", _flags(1, 5) + DONE)},
        {b"FETCH": _turns(_message(1, 5) + DONE), b"NOOP": _turns(b"TAG NO [UNAVAILABLE] later\r\n", DONE)},
    ):
        server = await scripted(answers)
        async with ImapProvider().open(*server.account()) as session:
            await session.messages("INBOX", PageRequest())
            with pytest.raises(ServiceUnavailableError):
                await session.messages("INBOX", PageRequest())
            assert (await session.messages("INBOX", PageRequest())).total == 1
        assert server.connections == 1
