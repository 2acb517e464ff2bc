"""Operations on mailboxes and messages."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.model.bulk import BulkDeleteResult, BulkMoveResult, BulkUpdateResult
from gateway.model.mailbox import MailboxChanged, MailboxCreated, MailboxDeleted
from gateway.model.message import (
    AppendResult,
    DeleteResult,
    MailboxList,
    MessageDetail,
    MessageFound,
    MessageList,
    MessageText,
    MessageUpdateResult,
    MoveResult,
)
from gateway.provider import PageRequest
from gateway.queue import operations as ask
from gateway.services import bulk, mail, mailboxes, showing, threads
from gateway.services.calendars import with_calendar_events
from gateway_workers.context import Handler, JobContext
from gateway_workers.operations.downloads import get_attachment, get_source


async def list_mailboxes(job: JobContext, arguments: ask.ListMailboxes) -> MailboxList:
    """Every mailbox of the account."""
    async with job.session() as session:
        return await mail.list_mailboxes(session, counters=arguments.counters)


async def create_mailbox(job: JobContext, arguments: ask.CreateMailbox) -> MailboxCreated:
    """Create a mailbox."""
    async with job.session() as session:
        return await mailboxes.create(session, arguments.path)


async def change_mailbox(job: JobContext, arguments: ask.ChangeMailbox) -> MailboxChanged:
    """Rename a mailbox, or change its subscription."""
    async with job.session() as session:
        return await mailboxes.change(session, arguments.path, arguments.new_path, arguments.subscribed)


async def delete_mailbox(job: JobContext, arguments: ask.DeleteMailbox) -> MailboxDeleted:
    """Delete a mailbox."""
    async with job.session() as session:
        return await mailboxes.delete(session, arguments.path)


async def list_messages(job: JobContext, arguments: ask.ListMessages) -> MessageList:
    """One page of a mailbox."""
    request = PageRequest(page=arguments.page, size=arguments.page_size, cursor=arguments.cursor)
    async with job.session() as session:
        return await mail.list_messages(session, arguments.path, request)


async def search_messages(job: JobContext, arguments: ask.SearchMessages) -> MessageList:
    """One page of what a search finds."""
    request = PageRequest(page=arguments.page, size=arguments.page_size, cursor=arguments.cursor)
    async with job.session() as session:
        return await mail.search_messages(session, arguments.path, arguments.query, request)


async def find_newest(job: JobContext, arguments: ask.FindNewest) -> MessageFound:
    """The message of a thread that is answered."""
    async with job.session() as session:
        return MessageFound(id=await threads.newest_of_thread(session, arguments.thread, arguments.own))


async def get_message(job: JobContext, arguments: ask.GetMessage) -> MessageDetail:
    """One message."""
    async with job.session() as session:
        found = await session.message(
            arguments.message,
            text_type=arguments.text_type,
            max_bytes=arguments.max_bytes,
            mark_as_seen=arguments.mark_as_seen,
        )
        found = await with_calendar_events(session, found)
        return await showing.shown_message(session, found, safe=arguments.safe_html, embed=arguments.embed_images)


async def get_text(job: JobContext, arguments: ask.GetText) -> MessageText:
    """Body text."""
    async with job.session() as session:
        found = await session.text(arguments.text, text_type=arguments.text_type, max_bytes=arguments.max_bytes)
    shown = await showing.shown_text(found, safe=arguments.safe_html)
    return msgspec.structs.replace(shown, plain=None) if arguments.safe_html else shown


async def update_message(job: JobContext, arguments: ask.UpdateMessage) -> MessageUpdateResult:
    """Change flags or labels."""
    async with job.session() as session:
        return await mail.update(session, arguments.message, arguments.update)


async def move_message(job: JobContext, arguments: ask.MoveMessage) -> MoveResult:
    """Move a message."""
    async with job.session() as session:
        return await mail.move(session, arguments.message, arguments.path)


async def delete_message(job: JobContext, arguments: ask.DeleteMessage) -> DeleteResult:
    """Delete a message."""
    async with job.session() as session:
        return await mail.delete(session, arguments.message, force=arguments.force)


async def update_messages(job: JobContext, arguments: ask.UpdateMessages) -> BulkUpdateResult:
    """Change flags or labels of many messages."""
    async with job.session() as session:
        return await bulk.update(session, arguments.path, arguments.query, arguments.update)


async def move_messages(job: JobContext, arguments: ask.MoveMessages) -> BulkMoveResult:
    """Move many messages."""
    async with job.session() as session:
        return await bulk.move(session, arguments.path, arguments.query, arguments.destination)


async def delete_messages(job: JobContext, arguments: ask.DeleteMessages) -> BulkDeleteResult:
    """Delete many messages."""
    async with job.session() as session:
        return await bulk.delete(session, arguments.path, arguments.query, force=arguments.force)


async def append_message(job: JobContext, arguments: ask.AppendMessage) -> AppendResult:
    """Store a message."""
    async with job.session() as session:
        return await mail.append(session, arguments.path, arguments.content, flags=arguments.flags, date=arguments.date)


HANDLERS: Mapping[str, Handler] = {
    ask.MAILBOXES_LIST.name: list_mailboxes,
    ask.MAILBOXES_CREATE.name: create_mailbox,
    ask.MAILBOXES_CHANGE.name: change_mailbox,
    ask.MAILBOXES_DELETE.name: delete_mailbox,
    ask.MESSAGES_LIST.name: list_messages,
    ask.MESSAGES_SEARCH.name: search_messages,
    ask.MESSAGES_NEWEST.name: find_newest,
    ask.MESSAGES_GET.name: get_message,
    ask.MESSAGES_TEXT.name: get_text,
    ask.MESSAGES_SOURCE.name: get_source,
    ask.MESSAGES_ATTACHMENT.name: get_attachment,
    ask.MESSAGES_UPDATE.name: update_message,
    ask.MESSAGES_MOVE.name: move_message,
    ask.MESSAGES_DELETE.name: delete_message,
    ask.MESSAGES_APPEND.name: append_message,
    ask.BULK_UPDATE.name: update_messages,
    ask.BULK_MOVE.name: move_messages,
    ask.BULK_DELETE.name: delete_messages,
}
