"""Sending: submit a message, look at the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.api.call import Call
from gateway.api.errors import ForbiddenError, status_of
from gateway.api.operation import operation
from gateway.api.paging import Paging
from gateway.api.requests import read_idempotency_key
from gateway.errors import GatewayError
from gateway.model.base import Payload
from gateway.model.blocklist import Blocked
from gateway.model.message import Address
from gateway.model.submission import (
    DraftSubmit,
    MailMergeResult,
    OutboxDeleted,
    OutboxEntry,
    OutboxList,
    OutboxRetry,
    SkippedRecipient,
    SubmitRequest,
    SubmitResult,
)
from gateway.services.idempotency import idempotency_key
from gateway.services.merging import Merged

_ENTRY = "/v1/outbox/{queueId}"


class OutboxQuery(Paging, frozen=True, kw_only=True):
    """Which part of the outbox."""

    account: Annotated[str, Meta(max_length=256, description="Only messages of this account")] | None = None


class SubmitQuery(Payload, frozen=True, kw_only=True):
    """Parameters that clients send."""

    document_store: Annotated[bool, Meta(description="Accepted, and without effect")] = False
    use_structured_format: Annotated[bool, Meta(description="Accepted, and without effect: mail is sent as MIME")] = (
        False
    )


@operation(
    "POST",
    "/v1/account/{account}/submit",
    operation_id="postV1AccountAccountSubmit",
    summary="Send a message",
    tag="Submit",
    action="send",
    group="submit",
    returns=SubmitResult,
    errors=(404, 409, 422),
    takes_mail=True,
    idempotent=True,
)
async def submit(call: Call, query: SubmitQuery, body: SubmitRequest) -> SubmitResult:
    """Queue a message for sending. When this answers, it is in the outbox, and nothing has been sent yet.

    The texts of `template` go before those of the request. With `template` or `render` they are Handlebars, which can
    name `params`, `account.name`, `account.email` and `service.url`; `"render": false` leaves a template as it is.

    With `mailMerge` each of its recipients gets a message of its own, rendered with its `params`, and the answer tells
    what became of each. With `listId` as well, messages carry List-ID, List-Unsubscribe and, where links are https,
    List-Unsubscribe-Post; who has left the list is skipped.

    With `trackOpens` or `trackClicks`, or the settings of these names, HTML that is not `raw` gets a picture or links
    of this gateway, which tell by the events `trackOpen` and `trackClick` when a recipient loads or follows them.

    The header fields `X-EE-Send-At`, `X-EE-Delivery-Attempts` and `X-EE-Gateway` of `raw` stand for `sendAt`,
    `deliveryAttempts` and `gateway` where these are missing; they are not sent.

    With an `Idempotency-Key`, whose keys are the account's own, the same request is answered for 24 hours as it was the
    first time, with `idempotency.status` HIT; another request with the key is refused with 422 (IdempotencyKeyReused).
    A request that was refused leaves its key free, and a dry run leaves keys alone. The key of a mail merge is in use
    (409, IdempotencyKeyInUse) until all of its messages are queued; should the gateway die in between, it stays so for
    the 24 hours, and `/v1/outbox` shows by `idempotencyKey` what was queued.
    """
    _check_way(call, body)
    value = read_idempotency_key(call.headers)
    key = idempotency_key(value, "submit", body) if value is not None else None
    if body.mail_merge is None:
        return await call.services.submissions.submit(call.account, body, key=key)

    def answer(merged: Sequence[Merged]) -> SubmitResult:
        response = "Dry run" if body.dry_run else "Queued for delivery"
        return SubmitResult(response=response, mail_merge=tuple(_told(one, body.list_id) for one in merged))

    return await call.services.submissions.submit_merge(call.account, body, answer, key=key)


@operation(
    "POST",
    "/v1/account/{account}/message/{message}/submit",
    operation_id="postV1AccountAccountMessageMessageSubmit",
    summary="Send a draft",
    tag="Submit",
    action="send",
    group="submit",
    returns=SubmitResult,
    errors=(404, 409, 422),
    idempotent=True,
)
async def submit_draft(call: Call, body: DraftSubmit) -> SubmitResult:
    """Queue a draft for sending: a message with the flag `\\Draft`, or in the mailbox of drafts (else NotADraft).

    Its recipients are those of To, Cc and Bcc unless `envelope` names others (else DraftHasNoRecipients); Bcc is taken
    off, and Date is when it is sent. Once it is sent the draft is removed: for good where there is a copy under Sent,
    into the trash where there is none. Until then it stays and could be sent again; an `Idempotency-Key` prevents that,
    see `POST /v1/account/{account}/submit`.
    """
    _check_way(call, body)
    message, value = call.path["message"], read_idempotency_key(call.headers)
    key = idempotency_key(value, "draft", message, body) if value is not None else None
    return await call.services.drafts.submit(call.account, message, body, timeout=call.timeout, key=key)


def _check_way(call: Call, body: SubmitRequest | DraftSubmit) -> None:
    if body.proxy and call.token.permissions is not None:
        raise ForbiddenError("A narrowed token may not choose a proxy")


def _told(merged: Merged, list_id: str | None) -> MailMergeResult:
    entry, found = merged
    told = MailMergeResult(to=Address(name=entry.to.name, address=entry.to.address), success=False)
    if isinstance(found, SubmitResult):
        sent = {"message_id": found.message_id, "queue_id": found.queue_id, "send_at": found.send_at}
        return msgspec.structs.replace(told, success=True, **sent)
    if isinstance(found, Blocked):
        skipped = SkippedRecipient(reason=found.reason, list_id=(list_id or "").lower())
        return msgspec.structs.replace(told, skipped=skipped)
    if isinstance(found, GatewayError):
        return msgspec.structs.replace(told, error=found.message, code=found.error_code, status_code=status_of(found))
    return told


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
    """List what waits to be sent or is being sent, and for 7 days what failed or was cancelled."""
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
    """Read one entry. A message that was sent has left the outbox.

    `unknown` means that the connection broke between the message and the service's answer. It is looked for under Sent
    for a day, and tried again by itself only when it is proven not to be sent.
    """
    return await call.services.submissions.get(call.path["queueId"])


@operation(
    "DELETE",
    _ENTRY,
    operation_id="deleteV1OutboxQueueid",
    summary="Delete an outbox entry",
    tag="Outbox",
    action="destructive",
    group="outbox",
    returns=OutboxDeleted,
)
async def delete_outbox_entry(call: Call) -> OutboxDeleted:
    """Forget an entry, which cancels it, unless it is being sent this moment."""
    return await call.services.submissions.delete(call.path["queueId"])


@operation(
    "POST",
    f"{_ENTRY}/cancel",
    operation_id="postV1OutboxQueueidCancel",
    summary="Cancel an outbox entry",
    tag="Outbox",
    action="destructive",
    group="outbox",
    returns=OutboxEntry,
    errors=(404, 409),
)
async def cancel_outbox_entry(call: Call) -> OutboxEntry:
    """Cancel an entry that waits; it stays in the list for 7 days as `cancelled`.

    What is being sent, or may have been sent, cannot be cancelled: the error's code says which (OutboxEntrySending,
    OutboxEntrySent, OutboxEntryUnknown, OutboxEntryEnded).
    """
    return await call.services.submissions.cancel(call.path["queueId"])


@operation(
    "POST",
    f"{_ENTRY}/retry",
    operation_id="postV1OutboxQueueidRetry",
    summary="Send an outbox entry again",
    tag="Outbox",
    action="send",
    group="outbox",
    returns=OutboxEntry,
    errors=(404, 409),
)
async def retry_outbox_entry(call: Call, body: OutboxRetry) -> OutboxEntry:
    """Send an entry now that failed or waits to be tried again; its attempts are counted anew.

    An entry that is `unknown` may be out already, and is sent with `mayRepeat` only (else OutboxEntryUnknown). Other
    codes: OutboxEntrySending, OutboxEntrySent, OutboxEntryQueued, OutboxEntryEnded, OutboxMessageGone.
    """
    return await call.services.submissions.retry(call.path["queueId"], may_repeat=body.may_repeat)


OPERATIONS = (
    submit,
    submit_draft,
    list_outbox,
    get_outbox_entry,
    delete_outbox_entry,
    cancel_outbox_entry,
    retry_outbox_entry,
)
