"""What happened in a mailbox since a state, on servers of other habits than Dovecot's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.errors import ConnectError, ServiceUnavailableError
from gateway.provider import Changes
from gateway_imap import ImapProvider

pytestmark = pytest.mark.anyio
Start = Callable[..., Awaitable[Any]]
DONE = b"TAG OK done\r\n"
QRESYNC = b"* CAPABILITY IMAP4rev1 AUTH=PLAIN ENABLE CONDSTORE QRESYNC UNSELECT\r\n" + DONE
SELECTED = b"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 10] x\r\n"


def _changed(changes: Changes) -> list[tuple[int, tuple[str, ...]]]:
    return [(message.position, message.flags) for message in changes.changed]


async def test_qresync_takes_one_command(scripted: Start) -> None:
    """Flags, arrivals and removals since a modification sequence come with the selection."""
    answers = {
        b"CAPABILITY": QRESYNC,
        b"ENABLE": DONE,
        b"EXAMINE": SELECTED + b"* OK [HIGHESTMODSEQ 90] x\r\n" + DONE,
        b"UID FETCH": b"* 1 FETCH (UID 2 FLAGS ())\r\n* 2 FETCH (UID 4 FLAGS (a))\r\n* 3 FETCH (UID 9 FLAGS ())\r\n"
        + DONE,
    }
    server = await scripted(answers)
    async with ImapProvider().open(*server.account()) as session:
        first = await session.changes("INBOX", None)
        server.commands.clear()
        news = b"* VANISHED (EARLIER) 1:2,5:99\r\n* 1 FETCH (UID 4 FLAGS (b) MODSEQ (91))\r\n"
        server.answers[b"EXAMINE"] = SELECTED + b"* OK [HIGHESTMODSEQ 95] x\r\n" + news + DONE
        after = await session.changes("INBOX", "v:7:10:89")
        assert server.commands == [b'EXAMINE "INBOX" (QRESYNC (7 89))']
    assert (first.state, first.complete, first.uid_validity) == ("v:7:10:90", True, 7)
    assert (after.state, after.complete, after.uid_validity) == ("v:7:10:95", False, 7)
    assert _changed(after) == [(4, ("b",))]
    # Nobody was told of UIDs from 10 on.
    assert len(after.removed) == len({1, 2, 5, 6, 7, 8, 9})


@pytest.mark.parametrize(
    ("told", "asked"),
    [(b"", [b"NOOP"]), (b"* VANISHED 4\r\n", [b"NOOP", b'EXAMINE "INBOX" (QRESYNC (7 90))'])],
    ids=["nothing new", "news"],
)
async def test_a_selected_mailbox_is_selected_again_only_for_news(
    scripted: Start, told: bytes, asked: list[bytes]
) -> None:
    answers = {
        b"CAPABILITY": QRESYNC,
        b"ENABLE": DONE,
        b"EXAMINE": SELECTED + b"* OK [HIGHESTMODSEQ 90] x\r\n" + DONE,
        b"UID FETCH": b"* 1 FETCH (UID 2 FLAGS ())\r\n* 2 FETCH (UID 4 FLAGS ())\r\n" + DONE,
        b"NOOP": told + DONE,
    }
    server = await scripted(answers)
    async with ImapProvider().open(*server.account()) as session:
        first = await session.changes("INBOX", None)
        server.commands.clear()
        server.answers[b"EXAMINE"] = SELECTED + b"* OK [HIGHESTMODSEQ 91] x\r\n* VANISHED (EARLIER) 4\r\n" + DONE
        after = await session.changes("INBOX", first.state)
        assert server.commands == asked
    assert (len(after.removed), after.state) == ((1, "v:7:10:91") if told else (0, first.state))


async def test_mailbox_without_modification_sequences_is_followed(scripted: Start) -> None:
    """NOMODSEQ: the server has the extension and the mailbox does not."""
    fetched = b"".join(b"* %d FETCH (UID %d FLAGS ())\r\n" % (number, number) for number in (1, 2, 3))
    server = await scripted(
        {
            b"CAPABILITY": QRESYNC,
            b"ENABLE": DONE,
            b"EXAMINE": SELECTED + b"* OK [NOMODSEQ] x\r\n" + DONE,
            b"FETCH": fetched + DONE,
            b"UID FETCH": fetched + DONE,
        }
    )
    async with ImapProvider().open(*server.account()) as session:
        first = await session.changes("INBOX", None)
        assert first.state.startswith("f:7:")
        assert len(first.changed) == 3


async def test_server_that_forgot_most_of_its_history_is_asked_for_everything(scripted: Start) -> None:
    """Then it takes all UIDs that are not there for removed ones, which may be millions."""
    examine = b"* 1 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 4000000000] x\r\n* OK [HIGHESTMODSEQ 90] x\r\n"
    server = await scripted(
        {
            b"CAPABILITY": QRESYNC,
            b"ENABLE": DONE,
            b"EXAMINE": examine + b"* VANISHED (EARLIER) 1:3999999998\r\n" + DONE,
            b"UID FETCH": b"* 1 FETCH (UID 3999999999 FLAGS ())\r\n" + DONE,
        }
    )
    async with ImapProvider().open(*server.account()) as session:
        changes = await session.changes("INBOX", "v:7:4000000000:5")
    assert (changes.complete, changes.removed, len(changes.changed)) == (True, (), 1)


async def test_gmail_tells_labels_with_every_message(scripted: Start) -> None:
    """They change without a word, so everything is asked for each time."""
    labelled = b'* 1 FETCH (X-GM-LABELS ("\\\\Important" Work) UID 5 FLAGS (\\Seen))\r\n'
    rows = labelled + b"* 2 FETCH (X-GM-LABELS () UID 6 FLAGS ())\r\n"
    server = await scripted(
        {
            b"CAPABILITY": b"* CAPABILITY IMAP4rev1 AUTH=PLAIN UNSELECT X-GM-EXT-1 CONDSTORE\r\n" + DONE,
            b"EXAMINE": SELECTED + b"* OK [HIGHESTMODSEQ 90] x\r\n" + DONE,
            b"UID FETCH": rows + DONE,
        }
    )
    async with ImapProvider().open(*server.account()) as session:
        first = await session.changes("INBOX", None)
        again = await session.changes("INBOX", first.state)
    assert [message.labels for message in first.changed] == [("\\Important", "Work"), ()]
    assert (again.complete, again.changed) == (True, first.changed)


@pytest.mark.parametrize("capability", [QRESYNC, b"* CAPABILITY IMAP4rev1 AUTH=PLAIN UNSELECT X-GM-EXT-1\r\n" + DONE])
async def test_interrupted_list_of_messages_is_no_list(scripted: Start, capability: bytes) -> None:
    """Messages that a server did not come to tell would be taken for deleted ones."""
    half = b"* 1 FETCH (UID 2 FLAGS ())\r\nTAG NO [EXPUNGEISSUED] somebody expunged\r\n"
    examine = SELECTED + b"* OK [HIGHESTMODSEQ 90] x\r\n" + DONE
    server = await scripted(
        {b"CAPABILITY": capability, b"ENABLE": DONE, b"EXAMINE": examine, b"UID FETCH": half, b"FETCH": half}
    )
    async with ImapProvider().open(*server.account()) as session:
        with pytest.raises(ServiceUnavailableError):
            await session.changes("INBOX", None)
        server.answers[b"UID FETCH"] = b"* 1 FETCH (UID 2 FLAGS ())\r\n* 2 FETCH (UID 4 FLAGS ())\r\n" + DONE
        assert len((await session.changes("INBOX", None)).changed) == 2


async def test_server_that_keeps_quiet_about_a_message_is_not_followed(scripted: Start) -> None:
    """What it counts and what it tells do not fit together; all that it tells is told."""
    server = await scripted(
        {
            b"EXAMINE": SELECTED + DONE,
            b"FETCH": b"* 1 FETCH (UID 2 FLAGS ())\r\n* 3 FETCH (UID 4 FLAGS ())\r\n" + DONE,
            b"UID FETCH": b"* 1 FETCH (UID 2 FLAGS ())\r\n* 3 FETCH (UID 4 FLAGS ())\r\n" + DONE,
        }
    )
    async with ImapProvider().open(*server.account()) as session:
        first = await session.changes("INBOX", None)
        again = await session.changes("INBOX", first.state)
    assert _changed(first) == [(2, ()), (4, ())]
    assert (again.complete, again.changed) == (True, first.changed)


async def test_server_that_does_not_count_its_messages_cannot_be_asked(scripted: Start) -> None:
    """RFC 9051 section 6.3.2 requires EXISTS; guessing "none" would delete everything."""
    server = await scripted({b"EXAMINE": b"* OK [UIDVALIDITY 7] x\r\n" + DONE})
    async with ImapProvider().open(*server.account()) as session:
        with pytest.raises(ConnectError):
            await session.changes("INBOX", None)


async def test_message_that_arrives_during_the_question_is_told_once(scripted: Start) -> None:
    """The answer to FETCH mentions it before anybody knows it."""
    late = b"* 1 FETCH (UID 2 FLAGS ())\r\n* 2 EXISTS\r\n" + DONE
    rows = iter([late, b"* 2 FETCH (UID 3 FLAGS (new))\r\n" + DONE])
    examine = b"* 1 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n" + DONE
    server = await scripted({b"EXAMINE": examine, b"FETCH": lambda _: next(rows)})
    async with ImapProvider().open(*server.account()) as session:
        first = await session.changes("INBOX", None)
        assert _changed(first) == [(2, ()), (3, ("new",))]
        assert (await session.changes("INBOX", first.state)).changed == ()


# --- entries ----------------------------------------------------------------------------------------------------------


def _row(number: int, uid: int, flags: bytes = b"") -> bytes:
    envelope = b'NIL "Message %d" NIL NIL NIL NIL NIL NIL NIL NIL' % uid
    body = b'("TEXT" "PLAIN" NIL NIL NIL "7BIT" 1 1 NIL NIL NIL NIL)'
    return b"* %d FETCH (UID %d FLAGS (%b) ENVELOPE (%b) BODYSTRUCTURE %b)\r\n" % (number, uid, flags, envelope, body)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (_row(1, 2) + _row(2, 4), [(2, "Message 2", ()), (4, "Message 4", ())]),
        (_row(2, 4) + b"* 7 FETCH (FLAGS (x))\r\n" + _row(1, 2), [(2, "Message 2", ()), (4, "Message 4", ())]),
        # Another session changes flags meanwhile.
        (_row(1, 2) + b"* 1 FETCH (UID 2 FLAGS (new))\r\n", [(2, "Message 2", ("new",))]),
        (b"* 1 FETCH (FLAGS (old))\r\n" + _row(1, 2, b"new"), [(2, "Message 2", ("new",))]),
        # In pieces, and with a literal.
        (b"* 1 FETCH (UID 2 FLAGS (a))\r\n* 1 FETCH (ENVELOPE (NIL {3}\r\nabc))\r\n", [(2, None, ("a",))]),
        (_row(1, 2).replace(b'"Message 2"', b"{9}\r\nMessage 2"), [(2, "Message 2", ())]),
        # One that cannot be read, and one of which nothing is told but that it is there.
        (b"* 1 FETCH (UID 2 ENVELOPE ((()\r\n" + _row(2, 4), [(2, None, ()), (4, "Message 4", ())]),
        (_row(1, 2) + b"* 2 FETCH (UID 4 FLAGS ())\r\n", [(2, "Message 2", ())]),
    ],
)
async def test_entries_are_made_of_whatever_is_told(scripted: Start, told: bytes, expected: list[Any]) -> None:
    """In any order, and with news of other messages in between."""
    fetched = b"* 1 FETCH (UID 2 FLAGS ())\r\n* 2 FETCH (UID 4 FLAGS ())\r\n" + DONE
    examine = b"* 2 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n" + DONE
    server = await scripted({b"EXAMINE": examine, b"FETCH": fetched, b"UID FETCH": told + DONE})
    async with ImapProvider().open(*server.account()) as session:
        known = await session.changes("INBOX", None)
        entries = await session.entries("INBOX", [message.id for message in known.changed])
    assert [(entry.uid, entry.subject, entry.flags) for entry in entries] == expected


async def test_entries_are_asked_for_again_when_numbers_shift_meanwhile(scripted: Start) -> None:
    """RFC 2180 section 4.1.2: of a message that others expunged servers may tell empty attributes."""
    rows = iter([_row(1, 2) + b"* 1 EXPUNGE\r\n" + _row(1, 4), _row(1, 4)])
    fetched = b"* 1 FETCH (UID 2 FLAGS ())\r\n* 2 FETCH (UID 4 FLAGS ())\r\n" + DONE
    examine = b"* 2 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n" + DONE
    server = await scripted({b"EXAMINE": examine, b"FETCH": fetched, b"UID FETCH": lambda _: next(rows, b"") + DONE})
    async with ImapProvider().open(*server.account()) as session:
        known = await session.changes("INBOX", None)
        entries = await session.entries("INBOX", [message.id for message in known.changed])
        after = await session.changes("INBOX", known.state)
    assert [entry.uid for entry in entries] == [4]
    assert after.removed == (known.changed[0].id,)


# --- revisions --------------------------------------------------------------------------------------------------------

STATUS = b"* STATUS %b (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 3 HIGHESTMODSEQ %d)\r\n"


@pytest.mark.parametrize("extension", [b"CONDSTORE LIST-EXTENDED LIST-STATUS", b"CONDSTORE"])
async def test_revisions_are_modification_sequences(scripted: Start, extension: bytes) -> None:
    """In one command where the server can do that; a mailbox without them, or that refuses, is unknown."""
    listed = b'* LIST () "/" INBOX\r\n* LIST () "/" Archive\r\n* LIST (\\Noselect) "/" Shared\r\n'
    both = STATUS % (b"INBOX", 77) + STATUS % (b"Archive", 0)
    server = await scripted(
        {
            b"CAPABILITY": b"* CAPABILITY IMAP4rev1 AUTH=PLAIN UNSELECT " + extension + b"\r\n" + DONE,
            b"LIST": lambda command: listed + (both if b"STATUS" in command else b"") + DONE,
            b'STATUS "INBOX"': STATUS % (b"INBOX", 77) + DONE,
            b'STATUS "Archive"': b"TAG NO not this one\r\n",
        }
    )
    async with ImapProvider().open(*server.account()) as session:
        revisions = await session.revisions()
        assert revisions == {"INBOX": "3.2.1.77", "Archive": None}


async def test_server_without_modification_sequences_has_no_revisions(scripted: Start) -> None:
    """Numbers of messages say nothing about flags; nothing is asked in vain."""
    server = await scripted()
    async with ImapProvider().open(*server.account()) as session:
        assert await session.revisions() == {"INBOX": None, "Archive": None}
        assert not [command for command in server.commands if command.startswith(b"STATUS")]
