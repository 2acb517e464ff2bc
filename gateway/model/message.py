"""Messages, attachments, addresses and mailboxes as the API shows them (RFC 5322, RFC 9051)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from gateway.model.base import Payload, Resource

SpecialUse = Literal["\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash", "\\Inbox"]
TextType = Literal["html", "plain", "*"]

#: The tabs of an inbox that sorts mail by itself (Gmail).
Category = Literal["primary", "social", "promotions", "updates", "forums"]

Flag = Annotated[str, Meta(max_length=128)]

EmailId = Annotated[str, Meta(description="Stays when the message is moved; without Message-ID there may be none")]
ThreadId = Annotated[str, Meta(description="The same for all messages of a conversation, in every mailbox")]


class Address(Resource, frozen=True, kw_only=True):
    """A mailbox address with its display name (RFC 5322 section 3.4); `address` may be empty for groups."""

    name: str = ""
    address: str = ""


class MailboxStatus(Resource, frozen=True, kw_only=True):
    """Live counters of one mailbox (RFC 9051 section 6.3.11)."""

    messages: int | None = None
    unseen: int | None = None
    error: str | None = None


class Mailbox(Resource, frozen=True, kw_only=True):
    """One mailbox (folder) of an account; `path` is its identifier everywhere in the API.

    `id` stays when it is renamed; absent where the service has no such id (IMAP without RFC 8474).
    """

    path: str
    id: str | None = None
    delimiter: str | None = None
    parent_path: str = ""
    name: str = ""
    listed: bool = False
    subscribed: bool = False
    no_select: bool = False
    no_inferiors: bool = False
    special_use: SpecialUse | None = None
    special_use_source: Literal["user", "extension", "name"] | None = None
    messages: int | None = None
    uid_next: int | None = None
    status: MailboxStatus | None = None


class MailboxList(Resource, frozen=True, kw_only=True):
    """Every mailbox of an account."""

    mailboxes: tuple[Mailbox, ...]


class Attachment(Resource, frozen=True, kw_only=True):
    """One attachment; `encoded_size` counts the octets as transferred, not as decoded.

    `encoded_in_message` tells that these differ: the message carries it as base64 or quoted-printable (RFC 2045).
    """

    id: str
    content_type: str
    encoded_size: int
    embedded: bool = False
    inline: bool = False
    content_id: str | None = None
    filename: str | None = None
    method: str | None = None
    encoded_in_message: bool = False


class EncodedSize(Resource, frozen=True, kw_only=True):
    """Octets of the text parts before decoding."""

    plain: int | None = None
    html: int | None = None


class TextInfo(Resource, frozen=True, kw_only=True):
    """Where the body text is; `id` is what the text operation takes."""

    id: str
    encoded_size: EncodedSize | None = None


class MessageText(Resource, frozen=True, kw_only=True):
    """Body text; `has_more` tells that a limit cut it."""

    id: str | None = None
    plain: str | None = None
    html: str | None = None
    has_more: bool = False
    web_safe: bool = False
    encoded_size: EncodedSize | None = None


class BounceReply(Resource, frozen=True, kw_only=True):
    """What the refusing server said; `status` is an enhanced status code (RFC 3463)."""

    message: str | None = None
    status: str | None = None


class BounceEntry(Resource, frozen=True, kw_only=True):
    """A recipient that a sent message did not reach; `message` is the id of the report that says so.

    `action` is "failed", or "delayed" while the server still tries.
    """

    message: str
    recipient: str
    action: str
    response: BounceReply | None = None
    date: datetime | None = None


class MessageSummary(Resource, frozen=True, kw_only=True):
    """What every description of a message has: where it is, its envelope (RFC 9051 section 2.3.5), flags and labels."""

    id: str
    uid: int | None = None
    email_id: EmailId | None = None
    thread_id: ThreadId | None = None
    path: str | None = None
    date: datetime | None = None
    draft: bool = False
    unseen: bool = False
    flagged: bool = False
    answered: bool = False
    size: int | None = None
    subject: str | None = None
    from_: Address | None = field(name="from", default=None)
    reply_to: tuple[Address, ...] = ()
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    message_id: str | None = None
    in_reply_to: str | None = None
    flags: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


class MessageEntry(MessageSummary, frozen=True, kw_only=True):
    """A message as it stands in a listing: no body."""

    attachments: tuple[Attachment, ...] = ()
    text: TextInfo | None = None
    preview: str | None = None
    category: Category | None = None
    message_special_use: SpecialUse | None = None
    is_auto_reply: bool = False
    bounces: tuple[BounceEntry, ...] = ()


class CalendarEventInfo(Resource, frozen=True, kw_only=True):
    """A calendar event that a message tells of (RFC 5545); `attachment` is the calendar that it was found in.

    Without a time of its own it is midnight UTC, and the zone is left out. A recurring event is told of once, with its
    first date. The whole calendar is the `content` of the first event in it.
    """

    event_id: Annotated[str, Meta(description="Its UID, the same in every message about the event")] | None = None
    attachment: str | None = None
    method: Annotated[str, Meta(description="What is asked for, as REQUEST, REPLY or CANCEL (RFC 5546)")] | None = None
    summary: str | None = None
    description: str | None = None
    timezone: Annotated[str, Meta(description="IANA name; of an unknown zone what the calendar calls it")] | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    organizer: Annotated[str, Meta(description="URI, commonly mailto:")] | None = None
    filename: str | None = None
    content_type: str | None = None
    encoding: Annotated[str, Meta(description="Of `content`: base64")] | None = None
    content: str | None = None


class MessageDetail(MessageSummary, frozen=True, kw_only=True):
    """One message in full; body text only when asked for."""

    sender: Address | None = None
    bcc: tuple[Address, ...] = ()
    headers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()
    text: MessageText | None = None
    preview: str | None = None
    calendar_events: tuple[CalendarEventInfo, ...] = ()
    category: Category | None = None
    special_use: SpecialUse | None = None
    message_special_use: SpecialUse | None = None
    is_auto_reply: bool = False
    bounces: tuple[BounceEntry, ...] = ()


class MessageList(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """One page of a mailbox, newest first; cursors are null at the ends."""

    total: int
    page: int
    pages: int
    next_page_cursor: str | None
    prev_page_cursor: str | None
    messages: tuple[MessageEntry, ...]


class FlagUpdate(Payload, frozen=True, kw_only=True):
    """`set` overrides `add` and `delete`; a single string stands for a list of one."""

    add: tuple[Flag, ...] | Flag | None = None
    delete: tuple[Flag, ...] | Flag | None = None
    set: tuple[Flag, ...] | Flag | None = None


class MessageUpdate(Payload, frozen=True, kw_only=True):
    """A change of flags or labels."""

    flags: FlagUpdate | None = None
    labels: FlagUpdate | None = None


class FlagResult(Resource, frozen=True, kw_only=True):
    """The request echoed, and what the message carries afterwards."""

    add: tuple[str, ...] | None = None
    delete: tuple[str, ...] | None = None
    set: tuple[str, ...] | None = None
    result: tuple[str, ...] | None = None


class MessageUpdateResult(Resource, frozen=True, kw_only=True):
    """What a change of flags or labels did."""

    flags: FlagResult | None = None
    labels: FlagResult | None = None


class MoveResult(Resource, frozen=True, kw_only=True):
    """Where a message is now; `id` and `uid` may be new."""

    path: str
    id: str | None = None
    uid: int | None = None


class MovedTo(Resource, frozen=True, kw_only=True):
    """Where a deleted message was put."""

    destination: str
    message: str | None = None


class DeleteResult(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """`moved` tells where a message is that was not deleted for good; `deleted` is false then, but true on Graph."""

    deleted: bool
    moved: MovedTo | msgspec.UnsetType = msgspec.UNSET


class MessageFound(Resource, frozen=True, kw_only=True):
    """The message that is meant."""

    id: str


class ReferenceResult(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """What became of a reference; without `message` when it named a thread in which there is none."""

    message: str | msgspec.UnsetType = msgspec.UNSET
    thread_id: str | msgspec.UnsetType = msgspec.UNSET
    success: bool
    error: str | msgspec.UnsetType = msgspec.UNSET


class AppendResult(Resource, frozen=True, kw_only=True):
    """A stored message (RFC 4315 APPENDUID where the server tells)."""

    id: str | None = None
    path: str
    uid: int | None = None
    uid_validity: str | None = None
    seq: int | None = None
    message_id: str | None = None
    reference: ReferenceResult | None = None


class LabelQuery(Payload, frozen=True, kw_only=True):
    """Messages that carry all of `has` and none of `not`."""

    has: tuple[str, ...] = ()
    not_: tuple[str, ...] = field(name="not", default=())


class SearchQuery(Payload, frozen=True, kw_only=True):
    """What to look for; fields are joined by AND (RFC 9051 section 6.4.4), but `emailIds` stand for all others."""

    seq: Annotated[str, Meta(max_length=8192)] | None = None
    uid: Annotated[str, Meta(max_length=8192)] | None = None
    answered: bool | None = None
    deleted: bool | None = None
    draft: bool | None = None
    unseen: bool | None = None
    flagged: bool | None = None
    seen: bool | None = None
    from_: Annotated[str, Meta(max_length=256)] | None = field(name="from", default=None)
    to: Annotated[str, Meta(max_length=256)] | None = None
    cc: Annotated[str, Meta(max_length=256)] | None = None
    bcc: Annotated[str, Meta(max_length=256)] | None = None
    body: Annotated[str, Meta(max_length=256)] | None = None
    subject: Annotated[str, Meta(max_length=2560)] | None = None
    larger: Annotated[int, Meta(ge=0, le=1073741824)] | None = None
    smaller: Annotated[int, Meta(ge=0, le=1073741824)] | None = None
    modseq: Annotated[int, Meta(ge=0)] | None = None
    before: datetime | None = None
    since: datetime | None = None
    sent_before: datetime | None = None
    sent_since: datetime | None = None
    email_id: Annotated[str, Meta(max_length=256)] | None = None
    thread_id: Annotated[str, Meta(max_length=1024)] | None = None
    header: (
        Annotated[
            dict[Annotated[str, Meta(min_length=1, max_length=256)], Annotated[str, Meta(max_length=2560)]],
            Meta(max_length=100, description="Fields of the header, and what they contain"),
        ]
        | None
    ) = None
    gmail_raw: Annotated[str, Meta(max_length=1024)] | None = None
    labels: LabelQuery | None = None
    email_ids: (
        Annotated[
            tuple[Annotated[str, Meta(max_length=256)], ...],
            Meta(max_length=1000, description="`emailId` or `id` of messages; every other field is ignored"),
        ]
        | None
    ) = None
    paths: Annotated[tuple[str, ...], Meta(description="Accepted, and without effect")] | None = None
    document_store: Annotated[bool, Meta(description="Accepted, and without effect")] | None = None

    @property
    def effective(self) -> SearchQuery:
        """What is looked for in the end, which is what providers are asked for."""
        if self.email_ids is not None:
            return SearchQuery(email_ids=self.email_ids)
        return msgspec.structs.replace(self, paths=None, document_store=None)
