"""Graph's JSON resources as structs: what is read of them, and tolerant of what may be missing.

https://learn.microsoft.com/graph/api/resources/message,
https://learn.microsoft.com/graph/api/resources/mailfolder,
https://learn.microsoft.com/graph/api/resources/attachment
"""

from __future__ import annotations

from datetime import datetime

import msgspec

#: PidTagLastVerbExecuted ([MS-OXPROPS] 2.758), where Exchange keeps what IMAP calls ``\\Answered``.
LAST_VERB = "Integer 0x1081"
REPLIED, REPLIED_TO_ALL = "102", "103"
#: Expands the verb.
EXPAND_VERB = f"singleValueExtendedProperties($filter=id eq '{LAST_VERB}')"
#: What can change of a message.
STATE = ("id", "receivedDateTime", "isRead", "isDraft", "flag", "categories", "parentFolderId")
#: What a listing shows.
SHOWN = (
    *STATE,
    *("conversationId", "subject", "from", "sender", "replyTo", "toRecipients", "ccRecipients", "bccRecipients"),
    *("internetMessageId", "internetMessageHeaders", "bodyPreview", "hasAttachments", "sentDateTime"),
)
#: What is read of attachments; `contentId` is of one kind only, so it has to be named by it.
EXPAND_ATTACHMENTS = "attachments($select=id,name,contentType,size,isInline,microsoft.graph.fileAttachment/contentId)"


class _Struct(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of the resources."""


class EmailAddress(_Struct, frozen=True, kw_only=True):
    """A name and an address, either may be missing."""

    name: str | None = None
    address: str | None = None


class Recipient(_Struct, frozen=True, kw_only=True):
    """An address in a message."""

    email_address: EmailAddress | None = None


class Flag(_Struct, frozen=True, kw_only=True):
    """The mark for follow-up."""

    flag_status: str | None = None


class Body(_Struct, frozen=True, kw_only=True):
    """The one body that Exchange keeps."""

    content_type: str = "text"
    content: str = ""


class Header(_Struct, frozen=True, kw_only=True):
    """A header field."""

    name: str
    value: str | None = None


class ExtendedProperty(_Struct, frozen=True, kw_only=True):
    """A MAPI property."""

    id: str
    value: str | None = None


class Attachment(_Struct, frozen=True, kw_only=True):
    """An attachment of any kind, without its content."""

    type: str = msgspec.field(name="@odata.type", default="")
    id: str = ""
    name: str | None = None
    content_type: str | None = None
    size: int = 0
    is_inline: bool | None = None
    content_id: str | None = None


class Attachments(_Struct, frozen=True, kw_only=True):
    """The attachments of a message."""

    value: tuple[Attachment, ...]


class Removed(_Struct, frozen=True, kw_only=True):
    """Why a message is no longer in a folder."""

    reason: str = ""


class Message(_Struct, frozen=True, kw_only=True):
    """A message, as much of it as was asked for."""

    id: str
    removed: Removed | None = msgspec.field(name="@removed", default=None)
    etag: str | None = msgspec.field(name="@odata.etag", default=None)
    received_date_time: datetime | None = None
    sent_date_time: datetime | None = None
    is_read: bool | None = None
    is_draft: bool | None = None
    flag: Flag | None = None
    categories: tuple[str, ...] | None = None
    parent_folder_id: str | None = None
    conversation_id: str | None = None
    subject: str | None = None
    from_: Recipient | None = msgspec.field(name="from", default=None)
    sender: Recipient | None = None
    reply_to: tuple[Recipient, ...] | None = None
    to_recipients: tuple[Recipient, ...] | None = None
    cc_recipients: tuple[Recipient, ...] | None = None
    bcc_recipients: tuple[Recipient, ...] | None = None
    internet_message_id: str | None = None
    internet_message_headers: tuple[Header, ...] | None = None
    body_preview: str | None = None
    has_attachments: bool | None = None
    body: Body | None = None
    attachments: tuple[Attachment, ...] | None = None
    single_value_extended_properties: tuple[ExtendedProperty, ...] | None = None


class Messages(_Struct, frozen=True, kw_only=True):
    """A page of messages."""

    value: tuple[Message, ...]
    count: int | None = msgspec.field(name="@odata.count", default=None)
    next_link: str | None = msgspec.field(name="@odata.nextLink", default=None)
    delta_link: str | None = msgspec.field(name="@odata.deltaLink", default=None)


class Folder(_Struct, frozen=True, kw_only=True):
    """A folder."""

    id: str
    removed: Removed | None = msgspec.field(name="@removed", default=None)
    display_name: str | None = None
    parent_folder_id: str | None = None
    child_folder_count: int = 0
    total_item_count: int = 0
    unread_item_count: int = 0


class Folders(_Struct, frozen=True, kw_only=True):
    """A page of folders."""

    value: tuple[Folder, ...]
    next_link: str | None = msgspec.field(name="@odata.nextLink", default=None)
    delta_link: str | None = msgspec.field(name="@odata.deltaLink", default=None)
