"""Sending: submit a message, look at the outbox."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gateway.api.call import Call
from gateway.api.operation import operation
from gateway.api.paging import Paging
from gateway.model.submission import OutboxDeleted, OutboxEntry, OutboxList, SubmitRequest, SubmitResult

_ENTRY = "/v1/outbox/{queueId}"


class OutboxQuery(Paging, frozen=True, kw_only=True):
    """Which part of the outbox."""

    account: Annotated[str, Meta(max_length=256, description="Only messages of this account")] | None = None


@operation(
    "POST",
    "/v1/account/{account}/submit",
    operation_id="postV1AccountAccountSubmit",
    summary="Send a message",
    tag="Submit",
    action="send",
    group="submit",
    returns=SubmitResult,
    errors=(404, 422),
    takes_mail=True,
)
async def submit(call: Call, body: SubmitRequest) -> SubmitResult:
    """Queue a message for sending. When this answers, it is in the outbox, and nothing has been sent yet.

    The texts of `template` go before those of the request. With `template` or `render` they are Handlebars, which can
    name `params`, `account.name`, `account.email` and `service.url`; `"render": false` leaves a template as it is.
    """
    return await call.services.submissions.submit(call.account, body)


@operation(
    "GET",
    "/v1/outbox",
    operation_id="getV1Outbox",
    summary="List the outbox",
    tag="Outbox",
    action="read",
    group="outbox",
    returns=OutboxList,
)
async def list_outbox(call: Call, query: OutboxQuery) -> OutboxList:
    """List what waits to be sent, is being sent, or could not be sent."""
    return await call.services.submissions.list(page=query.page, page_size=query.page_size, account=query.account)


@operation(
    "GET",
    _ENTRY,
    operation_id="getV1OutboxQueueid",
    summary="Read an outbox entry",
    tag="Outbox",
    action="read",
    group="outbox",
    returns=OutboxEntry,
    errors=(404,),
)
async def get_outbox_entry(call: Call) -> OutboxEntry:
    """Read one entry. A message that was sent has left the outbox."""
    return await call.services.submissions.get(call.path["queueId"])


@operation(
    "DELETE",
    _ENTRY,
    operation_id="deleteV1OutboxQueueid",
    summary="Cancel an outbox entry",
    tag="Outbox",
    action="destructive",
    group="outbox",
    returns=OutboxDeleted,
)
async def delete_outbox_entry(call: Call) -> OutboxDeleted:
    """Cancel an entry unless it is being sent this moment."""
    return await call.services.submissions.cancel(call.path["queueId"])


OPERATIONS = (submit, list_outbox, get_outbox_entry, delete_outbox_entry)
