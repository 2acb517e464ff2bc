"""Graph's resources as the gateway's structs."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Iterable
from typing import Any

from gateway.mime.auto_reply import is_auto_reply
from gateway.mime.decode import decode_header, single_line
from gateway.mime.parse import flag_fields
from gateway.model.message import Address, Attachment, MessageDetail, MessageEntry, MessageText, SpecialUse, TextInfo
from gateway.provider import MessageState
from gateway_outlook_graph import resources
from gateway_outlook_graph.ids import AttachmentId
from gateway_outlook_graph.resources import LAST_VERB, REPLIED, REPLIED_TO_ALL, Message, Recipient

#: Of a position, how many bits tell messages of one second apart: Graph's times have no fractions.
_TIE_BITS = 20
_TIE_MASK = (1 << _TIE_BITS) - 1
#: The digits of base64url (RFC 4648 section 5), and digits of which the higher one has the higher code.
_ORDERED = str.maketrans(
    string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_=",
    "".join(sorted(string.ascii_letters + string.digits + "-_")) + "~",
)
#: Characters of an id that a cursor has room for.
_ID_LENGTH = 1000


def flags(message: Message) -> tuple[str, ...]:
    """Return the system flags of a message."""
    verbs = {each.value for each in message.single_value_extended_properties or () if _same_id(each.id, LAST_VERB)}
    has = {
        "\\Seen": message.is_read,
        "\\Answered": verbs & {REPLIED, REPLIED_TO_ALL},
        "\\Flagged": message.flag is not None and message.flag.flag_status == "flagged",
        "\\Draft": message.is_draft,
    }
    return tuple(flag for flag, there in has.items() if there)


def position(message: Message) -> int:
    """Return a number that rises with the time of messages; within a second it is a hash that never changes."""
    tie = int.from_bytes(hashlib.blake2b(message.id.encode(), digest_size=4).digest()) & _TIE_MASK
    return second(message) << _TIE_BITS | tie


def second(message: Message) -> int:
    """Return when a message was received, in seconds."""
    return 0 if message.received_date_time is None else max(0, int(message.received_date_time.timestamp()))


def place(message: Message) -> str:
    """Return the place of a message in a listing: by time, within a second by its id.

    Ids of Exchange hold a counter with the highest octet first: mostly the later message is above the earlier one.
    """
    return first_place(second(message)) + message.id.translate(_ORDERED)[:_ID_LENGTH]


def first_place(second: int) -> str:
    """Return what all places of a second begin with."""
    return f"{second:010}"


def place_second(place: str) -> int:
    """Return the second of a place; that of the lowest place of all, which is empty, is 0."""
    return int(place[:10]) if place[:10].isdecimal() else 0


def state(message: Message) -> MessageState:
    """Return what can change of a message."""
    return MessageState(
        id=message.id, position=position(message), flags=flags(message), labels=tuple(message.categories or ())
    )


def newest_first(messages: Iterable[Message]) -> list[Message]:
    """Return messages in the order of a listing."""
    return sorted(messages, key=place, reverse=True)


def address(recipient: Recipient | None) -> Address | None:
    """Return an address; Exchange repeats it where there is no name."""
    found = recipient.email_address if recipient is not None else None
    if found is None or not (found.address or found.name):
        return None
    name = "" if found.name == found.address else found.name or ""
    return Address(name=single_line(name), address=single_line(found.address or ""))


def addresses(recipients: Iterable[Recipient] | None) -> tuple[Address, ...]:
    """Return addresses."""
    return tuple(found for each in recipients or () if (found := address(each)) is not None)


def headers(message: Message) -> dict[str, tuple[str, ...]]:
    """Return the header fields: lower-case name -> decoded values, in order. Drafts have none."""
    found: dict[str, list[str]] = {}
    for field in message.internet_message_headers or ():
        found.setdefault(field.name.lower(), []).append(decode_header(field.value or ""))
    return {name: tuple(values) for name, values in found.items()}


def attachment(message_id: str, found: resources.Attachment) -> Attachment:
    """Return an attachment. The size is an estimate: Graph tells the one that it takes in the store."""
    kind = found.type.rpartition(".")[2]
    content_type = found.content_type or ("message/rfc822" if kind == "itemAttachment" else "application/octet-stream")
    content_id = single_line(found.content_id or "").strip("<>")
    return Attachment(
        id=AttachmentId(message_id, found.id).encode(),
        content_type=content_type.lower(),
        encoded_size=-(-found.size // 3) * 4,
        embedded=bool(found.is_inline and content_id),
        inline=bool(found.is_inline),
        content_id=f"<{content_id}>" if content_id else None,
        filename=single_line(found.name or "") or None,
        encoded_in_message=kind == "fileAttachment",
    )


def entry(message: Message, path: str | None, use: SpecialUse | None) -> MessageEntry:
    """Return a message as it stands in a listing of a mailbox."""
    return MessageEntry(
        text=TextInfo(id=message.id),
        preview=message.body_preview or None,
        path=path,
        message_special_use=use,
        **_shown(message),
    )


def detail(message: Message, path: str | None, use: SpecialUse | None, text: MessageText) -> MessageDetail:
    """Return a message in full."""
    return MessageDetail(
        preview=message.body_preview or None,
        sender=address(message.sender),
        bcc=addresses(message.bcc_recipients),
        headers=headers(message),
        text=text,
        path=path,
        special_use=use,
        message_special_use=use,
        **_shown(message),
    )


def _shown(message: Message) -> dict[str, Any]:
    known = headers(message)
    return {
        "id": message.id,
        "email_id": message.id,
        "thread_id": message.conversation_id,
        "date": message.received_date_time,
        "subject": single_line(message.subject or "") or None,
        "from_": address(message.from_),
        "reply_to": addresses(message.reply_to),
        "to": addresses(message.to_recipients),
        "cc": addresses(message.cc_recipients),
        "message_id": None if message.internet_message_id is None else single_line(message.internet_message_id),
        "in_reply_to": next(iter(known.get("in-reply-to", ())), None),
        "labels": tuple(message.categories or ()),
        "attachments": tuple(attachment(message.id, each) for each in message.attachments or ()),
        "is_auto_reply": is_auto_reply({"subject": (message.subject or "",), **known}),
        **flag_fields(flags(message)),
    }


def _same_id(one: str, other: str) -> bool:
    """Compare ids of extended properties: Graph writes their numbers as it likes."""
    return one.lower() == other.lower()
