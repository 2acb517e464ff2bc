"""Many messages of an account at once: change, move, delete."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gateway.api.call import Call
from gateway.api.dispatch import ask
from gateway.api.operation import operation
from gateway.model.base import Payload
from gateway.model.bulk import (
    BulkDeleteRequest,
    BulkDeleteResult,
    BulkMoveRequest,
    BulkMoveResult,
    BulkUpdateRequest,
    BulkUpdateResult,
)
from gateway.model.mailbox import MailboxPath
from gateway.queue import operations

_MESSAGES = "/v1/account/{account}/messages"
_TAG = "Multi Message Actions"


class BulkQuery(Payload, frozen=True, kw_only=True):
    """The mailbox to search."""

    path: MailboxPath


class BulkDeleteQuery(BulkQuery, frozen=True, kw_only=True):
    """The mailbox to search, and how to delete."""

    force: Annotated[bool, Meta(description="Delete for good, also what is not in the trash")] = False


@operation(
    "PUT",
    _MESSAGES,
    operation_id="putV1AccountAccountMessages",
    summary="Change flags or labels of many messages",
    tag=_TAG,
    action="write",
    group="message",
    returns=BulkUpdateResult,
    errors=(422,),
)
async def update_messages(call: Call, query: BulkQuery, body: BulkUpdateRequest) -> bytes:
    """Change all messages of a mailbox that a search finds. `outcome` tells what became of each."""
    arguments = operations.UpdateMessages(path=query.path, query=body.search.effective, update=body.update)
    return await ask(call, operations.BULK_UPDATE, arguments)


@operation(
    "PUT",
    f"{_MESSAGES}/move",
    operation_id="putV1AccountAccountMessagesMove",
    summary="Move many messages",
    tag=_TAG,
    action="write",
    group="message",
    returns=BulkMoveResult,
    errors=(422,),
)
async def move_messages(call: Call, query: BulkQuery, body: BulkMoveRequest) -> bytes:
    """Move all messages of a mailbox that a search finds. `outcome` tells what became of each."""
    arguments = operations.MoveMessages(path=query.path, query=body.search.effective, destination=body.path)
    return await ask(call, operations.BULK_MOVE, arguments)


@operation(
    "PUT",
    f"{_MESSAGES}/delete",
    operation_id="putV1AccountAccountMessagesDelete",
    summary="Delete many messages",
    tag=_TAG,
    action="destructive",
    group="message",
    returns=BulkDeleteResult,
    errors=(422,),
)
async def delete_messages(call: Call, query: BulkDeleteQuery, body: BulkDeleteRequest) -> bytes:
    """Move all messages that a search finds to the trash, or delete them for good if they are there already, are junk,
    or `force` says so. `outcome` tells what became of each.
    """
    arguments = operations.DeleteMessages(path=query.path, query=body.search.effective, force=query.force)
    return await ask(call, operations.BULK_DELETE, arguments)


OPERATIONS = (update_messages, move_messages, delete_messages)
