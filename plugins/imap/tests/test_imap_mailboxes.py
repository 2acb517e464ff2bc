"""Ids of mailboxes (RFC 8474 section 4), where the server has them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from gateway.services import mailboxes
from gateway_imap import ImapProvider

pytestmark = pytest.mark.anyio
Start = Callable[..., Awaitable[Any]]
DONE = b"TAG OK done\r\n"
IN_LIST = b"* CAPABILITY IMAP4rev1 AUTH=PLAIN LIST-EXTENDED LIST-STATUS OBJECTID\r\n" + DONE
ALONE = b"* CAPABILITY IMAP4rev1 AUTH=PLAIN OBJECTID\r\n" + DONE


def _listing(name: bytes = b"Work", id: bytes = b"F2") -> bytes:
    """A LIST answer with STATUS, as RFC 5819 has it."""
    return (
        b'* LIST () "/" INBOX\r\n* STATUS INBOX (MAILBOXID (F1) MESSAGES 3 UNSEEN 1)\r\n'
        b'* LIST (\\Subscribed) "/" %b\r\n* STATUS %b (MAILBOXID (%b) MESSAGES 0 UNSEEN 0)\r\n' % (name, name, id)
    ) + DONE


async def test_ids_come_with_the_list_in_one_round_trip(scripted: Start) -> None:
    server = await scripted({b"CAPABILITY": IN_LIST, b"LIST": _listing()})
    async with ImapProvider().open(*server.account()) as session:
        listed = await session.mailboxes()
        counted = await session.mailboxes(counters=True)
    assert [(box.path, box.id, box.status) for box in listed] == [("INBOX", "F1", None), ("Work", "F2", None)]
    assert [(box.id, box.status and box.status.messages) for box in counted] == [("F1", 3), ("F2", 0)]
    assert [command for command in server.commands if command.startswith(b"LIST")] == [
        b'LIST "" "*" RETURN (SUBSCRIBED STATUS (MAILBOXID))',
        b'LIST "" "*" RETURN (SUBSCRIBED STATUS (MESSAGES UNSEEN UIDNEXT MAILBOXID))',
    ]


async def test_no_mailbox_is_asked_by_itself_for_its_id_alone(scripted: Start) -> None:
    """A round trip for each mailbox is the price of counters, not of every list."""
    status = b"* STATUS INBOX (MESSAGES 3 UNSEEN 1 MAILBOXID (F1))\r\n"
    server = await scripted({b"CAPABILITY": ALONE, b'STATUS "INBOX"': status + DONE, b"STATUS": b"TAG NO no\r\n"})
    async with ImapProvider().open(*server.account()) as session:
        assert [box.id for box in await session.mailboxes()] == [None, None]
        assert not [command for command in server.commands if command.startswith(b"STATUS")]
        counted = await session.mailboxes(counters=True)
    assert [(box.path, box.id, box.status and box.status.error) for box in counted] == [
        ("INBOX", "F1", None),
        ("Archive", None, "refused"),
    ]


async def test_changes_of_mailboxes_tell_the_id_and_a_renamed_one_its_subscription(scripted: Start) -> None:
    answers = {b"CREATE": DONE, b"RENAME": DONE, b"DELETE": DONE, b"SUBSCRIBE": DONE, b"UNSUBSCRIBE": DONE}
    server = await scripted({b"CAPABILITY": IN_LIST, b"LIST": _listing(), **answers})
    async with ImapProvider().open(*server.account()) as session:
        created = await mailboxes.create(session, "Work")
        server.answers[b"LIST"] = _listing(b"Done")
        renamed = await mailboxes.change(session, "Work", "Done", None)
        deleted = await mailboxes.delete(session, "Done")
    assert msgspec.to_builtins(created) == {"path": "Work", "created": True, "mailboxId": "F2"}
    assert msgspec.to_builtins(renamed) == {
        "path": "Work",
        "newPath": "Done",
        "renamed": True,
        "mailboxId": "F2",
        "subscribed": True,
    }
    assert msgspec.to_builtins(deleted) == {"path": "Done", "deleted": True, "mailboxId": "F2"}


async def test_a_change_that_was_made_is_told_even_if_the_list_cannot_be_read_after_it(scripted: Start) -> None:
    server = await scripted({b"CREATE": DONE, b"SUBSCRIBE": DONE})
    async with ImapProvider().open(*server.account()) as session:
        await session.mailboxes()
        server.answers[b"LIST"] = b"TAG NO [UNAVAILABLE] later\r\n"
        created = await mailboxes.create(session, "Work")
    assert msgspec.to_builtins(created) == {"path": "Work", "created": True}


async def test_a_special_use_goes_before_a_mailbox_of_this_name(scripted: Start) -> None:
    """One path is one place, whatever is done there."""
    listing = (
        b'* LIST () "/" INBOX\r\n* LIST () "/" Trash\r\n* LIST () "/" "\\\\Trash"\r\n* LIST () "/" "\\\\Foo"\r\n' + DONE
    )
    server = await scripted({b"LIST": listing, b"DELETE": DONE, b"UNSUBSCRIBE": DONE})
    async with ImapProvider().open(*server.account()) as session:
        for path in ("\\Trash", "\\Foo"):
            await session.delete_mailbox(path)
    deleted = [command for command in server.commands if command.startswith(b"DELETE")]
    assert deleted == [b'DELETE "Trash"', b'DELETE "\\\\Foo"']
