"""Flags over Graph that it cannot keep, and names that none can have; and what is shown of messages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.errors import InvalidRequestError
from gateway.model.message import FlagUpdate, MessageUpdate
from gateway.provider import PageRequest, Session

if TYPE_CHECKING:
    from conftest import World

pytestmark = pytest.mark.anyio
LETTER = b"Subject: stored\r\nMessage-ID: <stored@contoso.test>\r\n\r\nHello.\r\n"


async def stored(session: Session) -> str:
    id = (await session.append("INBOX", LETTER)).id
    assert id is not None
    return id


@pytest.mark.parametrize("name", ["", "bad flag", "ünï", "a]b"])
async def test_names_that_no_flag_can_have_are_refused(session: Session, name: str) -> None:
    id = await stored(session)
    for update in (FlagUpdate(add=name), FlagUpdate(delete=name), FlagUpdate(set=(name,))):
        with pytest.raises(InvalidRequestError):
            await session.update_flags(id, update)
        with pytest.raises(InvalidRequestError):
            await session.update_many([id], MessageUpdate(flags=update))


@pytest.mark.parametrize("update", [FlagUpdate(add=("\\Seen", "kw")), FlagUpdate(set=("\\Recent", "\\Seen"))])
async def test_a_flag_that_cannot_be_kept_is_not_told_as_done(
    outlook: World, session: Session, update: FlagUpdate
) -> None:
    await asyncio.to_thread(outlook.deliver, LETTER)
    id = (await session.messages("INBOX", PageRequest())).messages[0].id
    for lacking in (update, FlagUpdate(add="\\Draft")):
        result = await session.update_many([id], MessageUpdate(flags=lacking))
        assert (result.done, [error.error_code for error in result.failed.values()]) == ({}, ["FlagsNotStored"])
    assert await session.update_flags(id, update) == ("\\Seen",)
    assert (await session.update_many([id], MessageUpdate(flags=FlagUpdate(delete="kw")))).done == {id: id}


async def test_a_message_without_its_text_has_the_preview_of_the_listing(session: Session) -> None:
    id = await stored(session)
    (entry,) = (await session.messages("INBOX", PageRequest())).messages
    assert (await session.message(id)).preview == entry.preview == "Hello."


async def test_an_attached_message_is_named_by_its_subject(outlook: World, session: Session) -> None:
    inner = b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nHello.\r\n"
    whole = b"Subject: outer\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    await asyncio.to_thread(outlook.deliver, whole + b"--b\r\n\r\nText\r\n--b\r\n" + inner + b"--b--\r\n")
    (entry,) = (await session.messages("INBOX", PageRequest())).messages
    opened = await session.attachment(entry.attachments[0].id)
    assert opened.file_name == "inner.eml"
