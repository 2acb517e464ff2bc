"""Messages of an account: list, read, change, store."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.api.call import Call, Download
from gateway.api.dispatch import ask, download
from gateway.api.operation import operation
from gateway.model.base import Payload
from gateway.model.mailbox import MailboxPath
from gateway.model.message import (
    AppendResult,
    DeleteResult,
    MessageDetail,
    MessageList,
    MessageText,
    MessageUpdate,
    MessageUpdateResult,
    MoveResult,
    SearchQuery,
    TextType,
)
from gateway.model.submission import AppendRequest
from gateway.provider import LONGEST_CURSOR
from gateway.queue import operations

_ACCOUNT = "/v1/account/{account}"
_MESSAGE = f"{_ACCOUNT}/message/{{message}}"

MaxBytes = Annotated[int, Meta(ge=0, le=1073741824, description="Octets of each text part, at most")]


class _PageQuery(Payload, frozen=True, kw_only=True):
    """Which part of what there is."""

    cursor: (
        Annotated[str, Meta(max_length=LONGEST_CURSOR, description="Cursor of an earlier page; wins over `page`")]
        | None
    ) = None
    page: Annotated[int, Meta(ge=0, le=1048576, description="Page, from 0")] = 0
    page_size: Annotated[int, Meta(ge=1, le=1000, description="Messages on a page")] = 20


class MessageListQuery(_PageQuery, frozen=True, kw_only=True):
    """Which part of which mailbox."""

    path: MailboxPath


class MessageSearchQuery(_PageQuery, frozen=True, kw_only=True):
    """Where to search, and which part of what is found."""

    path: (
        Annotated[
            MailboxPath, Meta(description="Path of a mailbox; else all mail over MS Graph, and `INBOX` elsewhere")
        ]
        | None
    ) = None
    use_outlook_search: Annotated[bool, Meta(description="Of accounts over MS Graph only; others ignore it")] = False


class SearchRequest(Payload, frozen=True, kw_only=True):
    """What to look for."""

    search: SearchQuery


class TextQuery(Payload, frozen=True, kw_only=True):
    """Which text, and how."""

    max_bytes: MaxBytes | None = None
    text_type: TextType = "*"
    web_safe_html: Annotated[bool, Meta(description="HTML only, safe to be shown; made of plain text if need be")] = (
        False
    )


class MessageQuery(Payload, frozen=True, kw_only=True):
    """What to tell of a message; no text unless `textType` asks for it."""

    max_bytes: MaxBytes | None = None
    text_type: TextType | None = None
    web_safe_html: Annotated[
        bool, Meta(description="Both texts, the HTML safe to be shown, history folded, attached images in their place")
    ] = False
    embed_attached_images: Annotated[bool, Meta(description="Replace `cid:` URLs of images by `data:` URLs")] | None = (
        None
    )
    pre_process_html: Annotated[bool, Meta(description="Make the HTML safe, and fold history")] = False
    mark_as_seen: Annotated[bool, Meta(description="Also set `\\Seen`")] = False


class DeleteQuery(Payload, frozen=True, kw_only=True):
    """How to delete."""

    force: Annotated[bool, Meta(description="Delete for good, also what is not in the trash")] = False


class MoveRequest(Payload, frozen=True, kw_only=True):
    """Where to move a message; `source` is not needed and accepted for compatibility."""

    path: MailboxPath
    source: MailboxPath | None = None


@operation(
    "GET",
    f"{_ACCOUNT}/messages",
    operation_id="getV1AccountAccountMessages",
    summary="List messages",
    tag="Message",
    action="read",
    group="message",
    returns=MessageList,
)
async def list_messages(call: Call, query: MessageListQuery) -> bytes:
    """List one page of a mailbox, newest first. The path may be a special use, e.g. `\\Sent` or `\\All`."""
    cursor = query.cursor or None
    found = await call.services.listings.page(
        call.account, query.path, page=query.page, size=query.page_size, cursor=cursor
    )
    if found is not None:
        return found
    arguments = operations.ListMessages(path=query.path, page=query.page, page_size=query.page_size, cursor=cursor)
    return await ask(call, operations.MESSAGES_LIST, arguments)


@operation(
    "POST",
    f"{_ACCOUNT}/search",
    operation_id="postV1AccountAccountSearch",
    summary="Search for messages",
    tag="Message",
    action="read",
    group="message",
    returns=MessageList,
    errors=(422,),
)
async def search_messages(call: Call, query: MessageSearchQuery, body: SearchRequest) -> bytes:
    """Search a mailbox; all terms have to match. Answers like a listing, newest first."""
    cursor, wanted = query.cursor or None, body.search.effective
    if query.path is not None:
        found = await call.services.listings.search(
            call.account, query.path, wanted, page=query.page, size=query.page_size, cursor=cursor
        )
        if found is not None:
            return found
    arguments = operations.SearchMessages(
        path=query.path, query=wanted, page=query.page, page_size=query.page_size, cursor=cursor
    )
    return await ask(call, operations.MESSAGES_SEARCH, arguments)


@operation(
    "GET",
    _MESSAGE,
    operation_id="getV1AccountAccountMessageMessage",
    summary="Read a message",
    tag="Message",
    action="read",
    group="message",
    returns=MessageDetail,
)
async def get_message(call: Call, query: MessageQuery) -> bytes:
    """Read headers, flags and attachment list of a message, and its text if `textType` asks for it."""
    web_safe, embed = query.web_safe_html, query.embed_attached_images
    arguments = operations.GetMessage(
        message=call.path["message"],
        text_type="*" if web_safe else query.text_type,
        max_bytes=query.max_bytes,
        mark_as_seen=query.mark_as_seen,
        safe_html=web_safe or query.pre_process_html,
        embed_images=web_safe if embed is None else embed,
    )
    return await ask(call, operations.MESSAGES_GET, arguments)


@operation(
    "GET",
    f"{_ACCOUNT}/text/{{text}}",
    operation_id="getV1AccountAccountTextText",
    summary="Read the text of a message",
    tag="Message",
    action="read",
    group="message",
    returns=MessageText,
)
async def get_text(call: Call, query: TextQuery) -> bytes:
    """Read body text by the `text.id` of a message."""
    arguments = operations.GetText(
        text=call.path["text"],
        text_type="*" if query.web_safe_html else query.text_type,
        max_bytes=query.max_bytes,
        safe_html=query.web_safe_html,
    )
    return await ask(call, operations.MESSAGES_TEXT, arguments)


@operation(
    "GET",
    f"{_MESSAGE}/source",
    operation_id="getV1AccountAccountMessageMessageSource",
    summary="Download a message",
    tag="Message",
    action="read",
    group="message",
    returns="message/rfc822",
    ranges=True,
)
async def get_source(call: Call) -> Download:
    """Download the message as it was sent (RFC 5322), octet for octet. A `Range` of octets resumes a broken download.

    The size of some messages over a mebibyte is not known beforehand; then the range is ignored.
    """
    arguments = operations.GetSource(message=call.path["message"])
    return await download(call, operations.MESSAGES_SOURCE, arguments, default_filename="message.eml")


@operation(
    "GET",
    f"{_ACCOUNT}/attachment/{{attachment}}",
    operation_id="getV1AccountAccountAttachmentAttachment",
    summary="Download an attachment",
    tag="Message",
    action="read",
    group="message",
    returns="*/*",
    ranges=True,
)
async def get_attachment(call: Call) -> Download:
    """Download an attachment, decoded, with its own Content-Type and file name.

    A `Range` of octets is ignored where the size is not known beforehand: of encoded attachments over a mebibyte,
    unless the mail server tells it (IMAP servers with BINARY).
    """
    arguments = operations.GetAttachment(attachment=call.path["attachment"])
    return await download(call, operations.MESSAGES_ATTACHMENT, arguments, default_filename="attachment")


@operation(
    "PUT",
    _MESSAGE,
    operation_id="putV1AccountAccountMessageMessage",
    summary="Change flags or labels",
    tag="Message",
    action="write",
    group="message",
    returns=MessageUpdateResult,
)
async def update_message(call: Call, body: MessageUpdate) -> bytes:
    """Add, remove or set flags and labels of a message."""
    arguments = operations.UpdateMessage(message=call.path["message"], update=body)
    return await ask(call, operations.MESSAGES_UPDATE, arguments)


@operation(
    "PUT",
    f"{_MESSAGE}/move",
    operation_id="putV1AccountAccountMessageMessageMove",
    summary="Move a message",
    tag="Message",
    action="write",
    group="message",
    returns=MoveResult,
)
async def move_message(call: Call, body: MoveRequest) -> bytes:
    """Move a message to another mailbox. It may have another id there, which is answered."""
    arguments = operations.MoveMessage(message=call.path["message"], path=body.path)
    return await ask(call, operations.MESSAGES_MOVE, arguments)


@operation(
    "DELETE",
    _MESSAGE,
    operation_id="deleteV1AccountAccountMessageMessage",
    summary="Delete a message",
    tag="Message",
    action="destructive",
    group="message",
    returns=DeleteResult,
)
async def delete_message(call: Call, query: DeleteQuery) -> bytes:
    """Move a message to the trash; delete it for good if it is there already, or if `force` says so."""
    arguments = operations.DeleteMessage(message=call.path["message"], force=query.force)
    return await ask(call, operations.MESSAGES_DELETE, arguments)


@operation(
    "POST",
    f"{_ACCOUNT}/message",
    operation_id="postV1AccountAccountMessage",
    summary="Store a message",
    tag="Message",
    action="write",
    group="message",
    returns=AppendResult,
    errors=(422,),
    takes_mail=True,
)
async def append_message(call: Call, body: AppendRequest) -> bytes | AppendResult:
    """Store a message, e.g. a draft, in a mailbox. Nothing is sent."""
    content, reference = await call.services.composer.compose_draft(call.account, body)
    arguments = operations.AppendMessage(path=body.path, content=content, flags=body.flags, date=body.internal_date)
    stored = await ask(call, operations.MESSAGES_APPEND, arguments)
    if reference is None:
        return stored
    return msgspec.structs.replace(msgspec.json.decode(stored, type=AppendResult), reference=reference)


OPERATIONS = (
    list_messages,
    search_messages,
    get_message,
    get_text,
    get_source,
    get_attachment,
    update_message,
    move_message,
    delete_message,
    append_message,
)
