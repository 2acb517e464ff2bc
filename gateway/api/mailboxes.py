"""Mailboxes of an account."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.api.call import Call
from gateway.api.dispatch import ask
from gateway.api.operation import operation
from gateway.errors import InvalidRequestError
from gateway.model.base import Payload
from gateway.model.mailbox import (
    MailboxChange,
    MailboxChanged,
    MailboxCreate,
    MailboxCreated,
    MailboxDeleted,
    MailboxPath,
)
from gateway.model.message import MailboxList
from gateway.queue import operations

_COLLECTION = "/v1/account/{account}/mailboxes"
_PATH = "/v1/account/{account}/mailbox"


class MailboxListQuery(Payload, frozen=True, kw_only=True):
    """What to tell of each mailbox."""

    counters: Annotated[bool, Meta(description="Also count messages and unseen messages")] = False


class MailboxDeleteQuery(Payload, frozen=True, kw_only=True):
    """Which mailbox to delete."""

    path: MailboxPath


@operation(
    "GET",
    _COLLECTION,
    operation_id="getV1AccountAccountMailboxes",
    summary="List mailboxes",
    tag="Mailbox",
    action="read",
    group="mailbox",
    returns=MailboxList,
)
async def list_mailboxes(call: Call, query: MailboxListQuery) -> bytes:
    """List every mailbox of the account."""
    return await ask(call, operations.MAILBOXES_LIST, operations.ListMailboxes(counters=query.counters))


@operation(
    "POST",
    _PATH,
    operation_id="postV1AccountAccountMailbox",
    summary="Create a mailbox",
    tag="Mailbox",
    action="write",
    group="mailbox",
    returns=MailboxCreated,
    errors=(409,),
)
async def create_mailbox(call: Call, body: MailboxCreate) -> bytes:
    """Create a mailbox. One that exists already is not an error: `created` is false then."""
    path = await _joined(call, "path", body.path)
    return await ask(call, operations.MAILBOXES_CREATE, operations.CreateMailbox(path=path))


@operation(
    "PUT",
    _PATH,
    operation_id="putV1AccountAccountMailbox",
    summary="Rename or subscribe a mailbox",
    tag="Mailbox",
    action="write",
    group="mailbox",
    returns=MailboxChanged,
    errors=(409,),
)
async def change_mailbox(call: Call, body: MailboxChange) -> bytes:
    """Give a mailbox, with everything below it, another name; subscribe it or end that, where there is IMAP."""
    new_path = None
    if body.new_path or body.subscribed is None:
        new_path = await _joined(call, "newPath", body.new_path)
    change = operations.ChangeMailbox(path=body.path, new_path=new_path, subscribed=body.subscribed)
    return await ask(call, operations.MAILBOXES_CHANGE, change)


@operation(
    "DELETE",
    _PATH,
    operation_id="deleteV1AccountAccountMailbox",
    summary="Delete a mailbox",
    tag="Mailbox",
    action="destructive",
    group="mailbox",
    returns=MailboxDeleted,
)
async def delete_mailbox(call: Call, query: MailboxDeleteQuery) -> bytes:
    """Delete a mailbox and the messages in it."""
    return await ask(call, operations.MAILBOXES_DELETE, operations.DeleteMailbox(path=query.path))


async def _joined(call: Call, key: str, path: str | tuple[str, ...] | None) -> str:
    """Return a path as one string; segments are joined by the delimiter that the server uses."""
    if not path:
        problem = {"message": f'"{key}" is required', "key": key}
        raise InvalidRequestError("Input validation failed", fields=[problem])
    if isinstance(path, str):
        return path
    if len(path) == 1:
        return path[0]
    listed = await ask(call, operations.MAILBOXES_LIST, operations.ListMailboxes())
    delimiters = [mailbox.delimiter for mailbox in msgspec.json.decode(listed, type=MailboxList).mailboxes]
    return next((found for found in delimiters if found), "/").join(path)


OPERATIONS = (list_mailboxes, create_mailbox, change_mailbox, delete_mailbox)
