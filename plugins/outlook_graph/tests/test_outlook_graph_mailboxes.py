"""Mailboxes over Graph: how their paths are written, and what is said of those that are not there."""

from __future__ import annotations

import pytest

from gateway.errors import NotFoundError
from gateway.model.bulk import DeletedMessages
from gateway.model.message import SearchQuery
from gateway.provider import PageRequest, Session
from gateway.services import bulk, mailboxes

pytestmark = pytest.mark.anyio
LETTER = b"Subject: stored\r\nMessage-ID: <stored@contoso.test>\r\n\r\nHello.\r\n"


async def test_a_mailbox_is_answered_by_the_path_that_it_is_listed_by(session: Session) -> None:
    """However it is written: spaces around a name are not kept, and a percent sign is escaped."""
    for wanted, path in {"100%": "100%25", " lead ": "lead", "Inbox/sub": "INBOX/sub"}.items():
        made = await mailboxes.create(session, wanted)
        again = await mailboxes.create(session, wanted)
        listed = {mailbox.path: mailbox.id for mailbox in await session.mailboxes()}
        assert (made.path, made.created, made.mailbox_id) == (path, True, listed[path])
        assert (again.path, again.created) == (path, False)
        assert (await session.messages(wanted, PageRequest())).total == 0
        renamed = await mailboxes.change(session, wanted, "50% off ", None)
        assert (renamed.new_path, renamed.mailbox_id) == ("50%25 off", made.mailbox_id)
        assert (await mailboxes.delete(session, "50% off")).path == "50%25 off"


async def test_a_stored_message_is_answered_with_the_listed_path(session: Session) -> None:
    stored = await session.append("inbox", LETTER)
    assert stored.path == "INBOX"


async def test_a_mailbox_named_like_a_special_use_is_found(session: Session) -> None:
    made = await mailboxes.create(session, "\\Foo")
    stored = await session.append("\\Foo", LETTER)
    page = await session.messages("\\Foo", PageRequest())
    assert [entry.id for entry in page.messages] == [stored.id]
    renamed = await mailboxes.change(session, "\\Foo", "\\Bar", None)
    assert (renamed.new_path, renamed.mailbox_id) == ("\\Bar", made.mailbox_id)
    await session.delete_mailbox("\\Bar")


async def test_what_is_missing_is_named(session: Session) -> None:
    gone = (await session.append("INBOX", LETTER)).id
    assert gone is not None
    await session.delete(gone)
    with pytest.raises(NotFoundError) as message:
        await session.message(gone)
    with pytest.raises(NotFoundError) as mailbox:
        await session.append("no-such-mailbox", b"Subject: x\r\n\r\n")
    assert (message.value.error_code, mailbox.value.error_code) == ("MessageNotFound", "MailboxNotFound")


async def test_messages_deleted_for_good_are_told_by_their_ids(session: Session) -> None:
    for _ in range(2):
        await session.append("INBOX", LETTER)
    ids = {entry.id for entry in (await session.messages("INBOX", PageRequest())).messages}
    deleted = (await bulk.delete(session, "INBOX", SearchQuery(), force=True)).deleted_messages
    assert isinstance(deleted, DeletedMessages)
    assert set(deleted.email_ids or ()) == ids
