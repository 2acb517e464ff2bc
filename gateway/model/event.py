"""Events: what happened to accounts, mailboxes and messages, and what each kind tells.

The names and members are those of EmailEngine, so that receivers written for it work unchanged.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from gateway.model.account_errors import NetworkRouting, RemedyInfo, TokenRequestInfo
from gateway.model.base import Resource
from gateway.model.message import (
    Attachment,
    CalendarEventInfo,
    Category,
    EmailId,
    MessageSummary,
    MessageText,
    SpecialUse,
    ThreadId,
)
from gateway.model.submission import OutboxEnvelope

EventName = Literal[
    "accountAdded",
    "accountDeleted",
    "accountInitialized",
    "authenticationError",
    "authenticationSuccess",
    "connectError",
    "exportCompleted",
    "exportFailed",
    "listSubscribe",
    "listUnsubscribe",
    "mailboxDeleted",
    "mailboxNew",
    "mailboxReset",
    "messageBounce",
    "messageComplaint",
    "messageDeleted",
    "messageDeliveryError",
    "messageFailed",
    "messageMissing",
    "messageNew",
    "messageQuarantined",
    "messageSent",
    "messageUpdated",
    "trackClick",
    "trackOpen",
]

EVENT_TYPES: tuple[EventName, ...] = get_args(EventName)

#: Of a mailbox without one it is false, not absent.
MailboxUse: TypeAlias = SpecialUse | bool


class Event(Resource, frozen=True, kw_only=True):
    """One thing that happened; `eventId` is the same wherever and however often the event is delivered."""

    service_url: str | None | UnsetType = UNSET
    account: str | None
    date: Annotated[datetime, Meta(description="When the gateway noticed it")]
    path: str | None = None
    special_use: SpecialUse | None = None
    event: EventName
    event_id: str
    data: Annotated[msgspec.Raw, Meta(description="What there is to tell; depends on the event")]


class EventList(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """A part of the log, oldest first. `nextCursor` goes on behind it; the end is reached when `events` is empty."""

    events: tuple[Event, ...]
    next_cursor: str | None


class AccountEventData(Resource, frozen=True, kw_only=True):
    """`accountAdded`, `accountDeleted`: the account is here, or gone with everything that belonged to it."""

    account: str


class AccountInitializedData(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """`accountInitialized`: the account was connected for the first time, or for the first time after a flush."""

    initialized: bool = True


class AuthenticationErrorData(Resource, frozen=True, kw_only=True):
    """`authenticationError`: the account's login or grant is refused."""

    response: str
    server_response_code: str | None = None
    token_request: TokenRequestInfo | None = None
    remedy: RemedyInfo | None = None


class AuthenticationSuccessData(Resource, frozen=True, kw_only=True):
    """`authenticationSuccess`: the first login ever, or the first one after an error."""

    user: str | None = None


class ConnectErrorData(Resource, frozen=True, kw_only=True):
    """`connectError`: the server of the account cannot be reached."""

    response: str
    server_response_code: str | None = None
    remedy: RemedyInfo | None = None


class MessageSentData(Resource, frozen=True, kw_only=True):
    """`messageSent`: the mail service took the message; `originalMessageId` is there when it gave it another one."""

    message_id: str
    original_message_id: str | None = None
    response: str
    queue_id: str
    envelope: OutboxEnvelope
    network_routing: NetworkRouting | None = None


class DeliveryJob(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """How far a submission has come; `nextAttempt` is false when there will be none."""

    id: str
    attempts_made: int
    attempts: int
    next_attempt: datetime | bool


class MessageDeliveryErrorData(Resource, frozen=True, kw_only=True):
    """`messageDeliveryError`: one attempt to send failed. With `errorCode` OutcomeUnknown it may be out."""

    queue_id: str
    envelope: OutboxEnvelope
    message_id: str
    error: str
    error_code: str | None = None
    smtp_response: str | None = None
    smtp_response_code: int | None = None
    smtp_command: str | None = None
    network_routing: NetworkRouting | None = None
    job: DeliveryJob


class MessageFailedData(Resource, frozen=True, kw_only=True):
    """`messageFailed`: the message was not sent and will not be."""

    message_id: str
    queue_id: str
    error: str
    network_routing: NetworkRouting | None = None


class MailboxNewData(Resource, frozen=True, kw_only=True):
    """`mailboxNew`: a mailbox was found after the account had been connected; `renamedFrom` is its former path."""

    path: str
    name: str
    special_use: MailboxUse
    uid_validity: str | None = None
    renamed_from: str | None = None


class MailboxDeletedData(Resource, frozen=True, kw_only=True):
    """`mailboxDeleted`: a mailbox is gone from here; `renamedTo` is where it went."""

    path: str
    name: str
    special_use: MailboxUse
    renamed_to: str | None = None


class MailboxResetData(Resource, frozen=True, kw_only=True):
    """`mailboxReset`: what was known of a mailbox is void; its messages are read anew without being announced."""

    path: str
    name: str
    special_use: MailboxUse
    uid_validity: str | None = None
    prev_uid_validity: str | None = None
    reason: Literal["uidValidityChange", "syncStateLost"]


class FlagChange(Resource, frozen=True, kw_only=True):
    """What was added and deleted, and what the message carries now."""

    added: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    value: tuple[str, ...]


class MessageChanges(Resource, frozen=True, kw_only=True):
    """What is different about a message."""

    flags: FlagChange | None = None
    labels: FlagChange | None = None


class MessageUpdatedData(Resource, frozen=True, kw_only=True):
    """`messageUpdated`: flags or labels of a message changed."""

    id: str
    uid: int | None = None
    email_id: EmailId | None = None
    thread_id: ThreadId | None = None
    changes: MessageChanges


class MessageDeletedData(Resource, frozen=True, kw_only=True):
    """`messageDeleted`: a message is no longer in the mailbox; after a move, `messageNew` has the same `emailId`."""

    id: str
    uid: int | None = None
    email_id: EmailId | None = None
    thread_id: ThreadId | None = None


class MessageMissingData(Resource, frozen=True, kw_only=True):
    """`messageMissing`: the server lists a message and does not give it out; delay in milliseconds."""

    id: str
    uid: int | None = None
    missing_retries: int
    missing_delay: int


class MessageQuarantinedData(Resource, frozen=True, kw_only=True):
    """`messageQuarantined`: reading this message killed or stalled `attempts` workers; it is left alone from now on."""

    id: str
    uid: int | None = None
    attempts: int
    reason: str | None = None


class NotifiedAttachment(Attachment, frozen=True, kw_only=True):
    """An attachment with its content, where the settings ask for it."""

    content: Annotated[str, Meta(description="Base64")] | None = None


class MessageNewData(MessageSummary, frozen=True, kw_only=True):
    """`messageNew`: a message came into a mailbox, by delivery, move or upload; `seemsLikeNew` on its first sight."""

    headers: dict[str, tuple[str, ...]] | None = None
    attachments: tuple[NotifiedAttachment, ...] = ()
    text: MessageText | None = None
    preview: str | None = None
    calendar_events: tuple[CalendarEventInfo, ...] = ()
    message_special_use: SpecialUse | None = None
    seems_like_new: bool = False
    category: Category | None = None
    is_auto_reply: bool = False
    is_bounce: bool = False
    is_complaint: bool = False
    related_message_id: str | None = None
    delivery_report: dict[str, Any] | None = None
    missing_retries: int | None = None
    missing_delay: int | None = None


#: What a refusal is about, and what whoever sends had better do about it.
BounceCategory = Literal[
    "user_unknown",
    "invalid_address",
    "mailbox_disabled",
    "mailbox_full",
    "greylisting",
    "rate_limited",
    "server_error",
    "ip_blacklisted",
    "domain_blacklisted",
    "auth_failure",
    "relay_denied",
    "spam_blocked",
    "policy_blocked",
    "virus_detected",
    "geo_blocked",
    "unknown",
]
BounceAction = Literal["remove", "retry", "review", "fix_configuration", "retry_different_ip", "remove_content"]


class Blocklist(Resource, frozen=True, kw_only=True):
    """The list that a refusing server named, of hosts or of domains; `name` is its host where it is not a known one."""

    name: str
    type: Literal["ip", "domain"] | None = None


class BounceResponse(Resource, frozen=True, kw_only=True):
    """What the refusing server said, and what it means; `retryAfter` in seconds."""

    source: str | None = None
    message: str | None = None
    status: str | None = None
    category: BounceCategory | None = None
    recommended_action: BounceAction | None = None
    blocklist: Blocklist | None = None
    retry_after: int | None = None


class MessageBounceData(Resource, frozen=True, kw_only=True):
    """`messageBounce`: a delivery report about a message that was sent, once for each recipient (RFC 3464).

    `action` is "failed", or "delayed" while the server still tries.
    """

    bounce_message: str
    recipient: str
    action: str
    response: BounceResponse | None = None
    mta: str | None = None
    queue_id: str | None = None
    message_id: str | None = None
    message_headers: dict[str, tuple[str, ...]] | None = None


class FeedbackReport(Resource, frozen=True, kw_only=True):
    """The report of a feedback loop (RFC 5965)."""

    source: str | None = None
    feedback_type: str | None = None
    abuse_type: str | None = None
    original_mail_from: str | None = None
    original_rcpt_to: tuple[str, ...] = ()
    arrival_date: datetime | None = None
    source_ip: str | None = None
    user_agent: str | None = None


class ReportedHeaders(Resource, frozen=True, kw_only=True):
    """Headers of the message that a recipient complained about."""

    message_id: str | None = None
    from_: str | None = field(name="from", default=None)
    to: tuple[str, ...] = ()
    subject: str | None = None
    date: datetime | None = None


class MessageComplaintData(Resource, frozen=True, kw_only=True):
    """`messageComplaint`: a recipient called a sent message abuse."""

    complaint_message: str
    arf: FeedbackReport
    headers: ReportedHeaders


class TrackData(Resource, frozen=True, kw_only=True):
    """`trackOpen`, `trackClick`: a recipient opened a sent message, or followed the link `url` in it."""

    message_id: str
    url: str | None = None
    remote_address: str | None = None
    user_agent: str | None = None


class ListData(Resource, frozen=True, kw_only=True):
    """`listUnsubscribe`, `listSubscribe`: a recipient left a list, or came back."""

    recipient: str
    message_id: str | None = None
    list_id: str
    remote_address: str | None = None
    user_agent: str | None = None


class ExportCompletedData(Resource, frozen=True, kw_only=True):
    """`exportCompleted`: an export can be downloaded until `expiresAt`; duration in milliseconds."""

    export_id: str
    folders: tuple[str, ...]
    start_date: datetime | None = None
    end_date: datetime | None = None
    messages_exported: int
    messages_skipped: int
    bytes_written: int
    duration: int
    expires_at: datetime


class ExportFailedData(Resource, frozen=True, kw_only=True):
    """`exportFailed`: an export ended in an error."""

    export_id: str
    error: str
    error_code: str | None = None
    phase: str | None = None
    messages_exported: int
    messages_queued: int
