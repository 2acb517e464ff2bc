"""Submissions: mail handed over for sending, and the outbox."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field

from gateway.model.account import Email, IpAddress, ProxyUrl
from gateway.model.account_errors import NetworkRouting, RemedyInfo
from gateway.model.base import Payload, Resource
from gateway.model.blocklist import ListId
from gateway.model.mailbox import MailboxPath
from gateway.model.message import Address, ReferenceResult
from gateway.model.template import PreviewText, TemplateFormat

#: Octets of one text, html, attachment or raw message, before decoding.
MAX_PART = 5 * 1024 * 1024

#: Recipients of one mail merge.
MOST_MERGED = 1000

Body = Annotated[str, Meta(max_length=MAX_PART)]


class Recipient(Payload, frozen=True, kw_only=True):
    """An address that mail can be sent to."""

    address: Email
    name: Annotated[str, Meta(max_length=256)] = ""


class EnvelopePayload(Payload, frozen=True, kw_only=True):
    """Sender and recipients that override those of the headers (RFC 5321 section 2.3.1)."""

    from_: Email | Literal[""] | None = field(name="from", default=None)
    to: tuple[Email, ...] | Email = ()


class DeliveryNotificationPayload(Payload, frozen=True, kw_only=True):
    """What to be told of the delivery (RFC 3461), where the server can be asked for it; Microsoft Graph cannot."""

    return_: Annotated[Literal["headers", "full"], Meta(description="What of the message a report has with it")] = (
        field(name="return")
    )
    id: Annotated[str, Meta(max_length=100, description="Names the submission in reports (ENVID); ASCII")] | None = None
    notify: (
        Annotated[
            tuple[Literal["never", "success", "failure", "delay"], ...]
            | Literal["never", "success", "failure", "delay"],
            Meta(description="When to report; `never` stands alone"),
        ]
        | None
    ) = None
    recipient: Annotated[Email, Meta(description="Whom reports name as the one that was written to")] | None = None


class UploadAttachment(Payload, frozen=True, kw_only=True):
    """A file to attach: its content, or an attachment in the account's own mail."""

    content: Annotated[str, Meta(max_length=MAX_PART, description="Base64")] | None = None
    reference: Annotated[str, Meta(min_length=1, max_length=4096, description="Id of an attachment")] | None = None
    filename: Annotated[str, Meta(max_length=256)] | None = None
    content_type: Annotated[str, Meta(max_length=256)] | None = None
    content_disposition: Literal["inline", "attachment"] | None = None
    cid: Annotated[str, Meta(max_length=256)] | None = None
    encoding: Literal["base64"] = "base64"


class MessageReference(Payload, frozen=True, kw_only=True):
    """The message that is answered or forwarded; what the request leaves open is taken from it.

    Recipients (of replies), subject, In-Reply-To and References. Its Bcc is never taken.
    """

    message: (
        Annotated[str, Meta(max_length=256, description="Id of the message; required without `threadId`")] | None
    ) = None
    thread_id: (
        Annotated[
            str,
            Meta(
                max_length=256,
                description="In place of `message`: the newest of the thread that is no draft, nor in trash or junk; "
                "for `reply` the newest that is not the account's own, if there is one",
            ),
        ]
        | None
    ) = None
    action: Literal["reply", "reply-all", "forward"] = "reply"
    inline: Annotated[bool, Meta(description="Quote its text, with the images in it")] = False
    forward_attachments: Annotated[bool, Meta(description="Attach its attachments; for `forward`")] = False
    ignore_missing: Annotated[bool, Meta(description="Go on without it when it is not there")] = False
    message_id: Annotated[str, Meta(max_length=996, description="The Message-ID that it must have")] | None = None


class ComposeFields(Payload, frozen=True, kw_only=True):
    """The members a message is composed from."""

    reference: MessageReference | None = None
    from_: Recipient | None = field(name="from", default=None)
    to: tuple[Recipient, ...] | Recipient | None = None
    cc: tuple[Recipient, ...] | Recipient | None = None
    bcc: tuple[Recipient, ...] | Recipient | None = None
    subject: Annotated[str, Meta(max_length=10240)] | None = None
    text: Body | None = None
    html: Body | None = None
    attachments: tuple[UploadAttachment, ...] = ()
    message_id: Annotated[str, Meta(max_length=996)] | None = None
    headers: dict[str, str] | None = None
    raw: Annotated[str, Meta(max_length=MAX_PART, description="A whole message, base64")] | None = None
    locale: Annotated[str, Meta(max_length=100)] | None = None
    tz: Annotated[str, Meta(max_length=100)] | None = None


class RenderOptions(Payload, frozen=True, kw_only=True):
    """How texts that are Handlebars are rendered; a template's own format goes before `format`."""

    format: TemplateFormat = "html"
    params: dict[str, Any] = field(default_factory=dict)


class MailMergeEntry(Payload, frozen=True, kw_only=True):
    """One recipient of a mail merge; `params` are what the texts can name."""

    to: Recipient
    message_id: Annotated[str, Meta(max_length=996)] | None = None
    params: dict[str, Any] = field(default_factory=dict)
    send_at: datetime | None = None


class SubmitRequest(ComposeFields, frozen=True, kw_only=True):
    """A message to send."""

    reply_to: tuple[Recipient, ...] | Recipient | None = None
    envelope: EnvelopePayload | None = None
    copy: bool | None = None
    sent_mail_path: Annotated[str, Meta(max_length=1024)] | None = None
    send_at: datetime | None = None
    delivery_attempts: Annotated[int, Meta(ge=1, le=100)] | None = None
    dry_run: bool = False
    preview_text: PreviewText | None = None
    template: Annotated[str, Meta(max_length=256, description="Id of a template")] | None = None
    render: RenderOptions | bool | None = None
    gateway: Annotated[str, Meta(max_length=256, description="Id of a relay to send through")] | None = None
    proxy: Annotated[ProxyUrl, Meta(description="Proxy to the submission server, for this message")] | None = None
    local_address: Annotated[IpAddress, Meta(description="Address of the gateway's machine to send from")] | None = None
    mail_merge: Annotated[tuple[MailMergeEntry, ...], Meta(max_length=MOST_MERGED)] | None = None
    list_id: ListId | None = None
    dsn: DeliveryNotificationPayload | None = None
    track_opens: bool | None = None
    track_clicks: bool | None = None
    base_url: Annotated[str, Meta(max_length=1024, description="Where links lead, in place of serviceUrl")] | None = (
        None
    )


class DraftSubmit(Payload, frozen=True, kw_only=True):
    """How a draft is to be sent; what is left out is as the draft says, or as of any submission."""

    envelope: EnvelopePayload | None = None
    copy: bool | None = None
    sent_mail_path: Annotated[str, Meta(max_length=1024)] | None = None
    send_at: datetime | None = None
    delivery_attempts: Annotated[int, Meta(ge=1, le=100)] | None = None
    gateway: Annotated[str, Meta(max_length=256, description="Id of a relay to send through")] | None = None
    proxy: Annotated[ProxyUrl, Meta(description="Proxy to the submission server, for this message")] | None = None
    local_address: Annotated[IpAddress, Meta(description="Address of the gateway's machine to send from")] | None = None
    dsn: DeliveryNotificationPayload | None = None


class AppendRequest(ComposeFields, frozen=True, kw_only=True):
    """A message to store in a mailbox."""

    path: MailboxPath
    flags: tuple[Annotated[str, Meta(max_length=128)], ...] = ()
    internal_date: datetime | None = None


class SkippedRecipient(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """Why a recipient of a list is sent nothing."""

    reason: str
    list_id: str


class MailMergeResult(Resource, frozen=True, kw_only=True):
    """What became of one recipient of a mail merge."""

    success: bool | UnsetType = UNSET
    to: Address
    message_id: str | None = None
    queue_id: str | None = None
    send_at: datetime | None = None
    error: str | None = None
    code: str | None = None
    status_code: int | None = None
    skipped: SkippedRecipient | None = None


class IdempotencyResult(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """The request's Idempotency-Key, and whether this is the answer of an earlier request."""

    key: str
    status: Annotated[Literal["MISS", "HIT"], Meta(description="`HIT` when nothing was done this time")]


class SubmitResult(Resource, frozen=True, kw_only=True):
    """The message was queued; nothing has been sent yet. Of a mail merge, `mailMerge` tells of each recipient."""

    response: str
    message_id: str | None = None
    queue_id: str | None = None
    send_at: datetime | None = None
    reference: ReferenceResult | None = None
    preview: str | None = None
    mail_merge: tuple[MailMergeResult, ...] | None = None
    idempotency: IdempotencyResult | None = None


Source = Literal["smtp", "api", "test", "ui"]
OutboxState = Literal["queued", "sending", "sent", "retrying", "unknown", "failed", "cancelled"]


class OutboxProgressError(Resource, frozen=True, kw_only=True):
    """Why the last attempt failed."""

    message: str
    code: str | None = None
    status_code: int | None = None
    remedy: RemedyInfo | None = None
    network_routing: NetworkRouting | None = None


class OutboxProgress(Resource, frozen=True, kw_only=True):
    """How far the sending has come."""

    status: Literal["queued", "processing", "smtp-starting", "smtp-completed", "submitted", "error"]
    response: str | None = None
    message_id: str | None = None
    original_message_id: str | None = None
    error: OutboxProgressError | None = None


class OutboxEnvelope(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """Sender and recipients."""

    from_: str = field(name="from")
    to: tuple[str, ...]


class OutboxEntry(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """One submission: the truth about a send."""

    queue_id: str
    account: str
    source: Source = "api"
    message_id: str
    envelope: OutboxEnvelope
    subject: str | None = None
    gateway: str | None = None
    idempotency_key: str | None = None
    proxy: Annotated[str, Meta(description="Without user and password")] | None = None
    local_address: str | None = None
    state: OutboxState
    created: datetime
    scheduled: datetime
    next_attempt: datetime | bool = False
    attempts_made: int = 0
    attempts: int = 10
    progress: OutboxProgress
    copy: bool | None | UnsetType = UNSET
    sent_mail_path: str | UnsetType = UNSET
    ended: Annotated[datetime, Meta(description="Since when it is sent, failed, cancelled or unknown")] | UnsetType = (
        UNSET
    )


class OutboxList(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """One page of the outbox."""

    total: int
    page: int
    pages: int
    messages: tuple[OutboxEntry, ...]


class OutboxRetry(Payload, frozen=True, kw_only=True):
    """How an entry is to be sent again."""

    may_repeat: Annotated[
        bool, Meta(description="Send it although it may be out already; required in the state `unknown`")
    ] = False


class OutboxDeleted(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """Whether there was such an entry that could still be cancelled."""

    deleted: bool
