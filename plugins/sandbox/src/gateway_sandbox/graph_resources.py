"""Messages and attachments as Graph's JSON resources.

https://learn.microsoft.com/graph/api/resources/message
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import msgspec

from gateway.model.message import Address
from gateway_sandbox import graph_ids, graph_mime
from gateway_sandbox.graph_mime import Attached, Parsed
from gateway_sandbox.items import Item

#: MAPI's PR_LAST_VERB_EXECUTED, the place where Exchange keeps what IMAP calls ``\Answered``.
LAST_VERB = "Integer 0x1081"
REPLIED, REPLIED_ALL, FORWARDED = "102", "103", "104"
_IMPORTANCE = MappingProxyType({"1": "high", "2": "high", "high": "high", "4": "low", "5": "low", "low": "low"})


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A message and how it is to be shown.

    Attributes:
        load: reads and parses it, when something is asked for that is in it.
        body_type: ``text`` or ``html``, or None for what the message has.
    """

    owner: str
    item: Item
    load: Callable[[], Parsed]
    immutable: bool = False
    body_type: str | None = None

    @property
    def parsed(self) -> Parsed:
        """The message taken apart."""
        return self.load()

    @property
    def id(self) -> str:
        """The id of the message."""
        return graph_ids.message(self.owner, self.item.id, self.item.mailbox_id, immutable=self.immutable)

    @property
    def change_key(self) -> str:
        """What differs after each change."""
        version = f"{self.item.id} {self.item.uid} {self.item.modseq}"
        return base64.b64encode(hashlib.sha256(version.encode()).digest()[:20]).decode()


def moment(value: datetime) -> str:
    """Return a time as Graph writes it."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def message(shown: Shown, select: Collection[str] | None = None) -> dict[str, Any]:
    """Return a message resource with the properties that were asked for, or with the usual ones."""
    names = PROPERTIES.keys() - _ON_DEMAND if select is None else {"id", *select}
    resource: dict[str, Any] = {"@odata.etag": f'W/"{shown.change_key}"'}
    resource.update({name: get(shown) for name, get in PROPERTIES.items() if name in names})
    return resource


def attachment(shown: Shown, attached: Attached, *, with_content: bool) -> dict[str, Any]:
    """Return an attachment resource."""
    kind = "itemAttachment" if attached.item else "fileAttachment"
    resource: dict[str, Any] = {
        "@odata.type": f"#microsoft.graph.{kind}",
        "@odata.mediaContentType": attached.media_type,
        "id": graph_mime.id_of(shown.owner, shown.item.id, attached),
        "lastModifiedDateTime": moment(shown.item.modified),
        "name": attached.name,
        # Exchange names no type for attached items, though they are messages.
        "contentType": None if attached.item else attached.media_type,
        "size": len(attached.content) + 200,
        "isInline": attached.inline,
    }
    if not attached.item:
        resource |= {"contentId": attached.content_id, "contentLocation": None}
        if with_content:
            resource["contentBytes"] = base64.b64encode(attached.content).decode()
    return resource


def attached_message(shown: Shown, attached: Attached) -> dict[str, Any]:
    """Return the message inside an item attachment, for ``$expand=microsoft.graph.itemAttachment/item``."""
    parsed = graph_mime.parse(attached.content)
    inner = msgspec.structs.replace(shown, load=lambda: parsed)
    hidden = {"id", "parentFolderId", "changeKey", "categories", "flag", "inferenceClassification"}
    names = PROPERTIES.keys() - _ON_DEMAND - hidden
    resource = {name: get(inner) for name, get in PROPERTIES.items() if name in names}
    return {"@odata.type": "#microsoft.graph.message", "id": "", **resource}


def last_verb(item: Item) -> str | None:
    """Return what was last done in answer to a message."""
    verb = item.properties.extended.get(LAST_VERB)
    return verb or (REPLIED if r"\Answered" in item.flags else None)


def extended_properties(item: Item) -> dict[str, str]:
    """Return the extended properties of a message by id."""
    verb = last_verb(item)
    return {**item.properties.extended, **({} if verb is None else {LAST_VERB: verb})}


def importance(shown: Shown) -> str:
    """Return how important a message is."""
    if shown.item.properties.importance is not None:
        return shown.item.properties.importance
    fields = (shown.parsed.field("importance"), shown.parsed.field("x-priority"))
    words = [value.split()[0].lower() for value in fields if value]
    return next((_IMPORTANCE[word] for word in words if word in _IMPORTANCE), "normal")


def flag(shown: Shown) -> dict[str, Any]:
    """Return the followupFlag."""
    if r"\Flagged" in shown.item.flags:
        return {**shown.item.properties.flag, "flagStatus": "flagged"}
    if shown.item.properties.flag.get("flagStatus") == "complete":
        return shown.item.properties.flag
    return {"flagStatus": "notFlagged"}


def recipient(address: Address) -> dict[str, Any]:
    """Return a recipient resource; Exchange puts the address where there is no name."""
    return {"emailAddress": {"name": address.name or address.address, "address": address.address}}


def conversation(parsed: Parsed) -> str:
    """Return the id of the conversation: that of the first message referred to."""
    references = (parsed.field("references") or parsed.field("in-reply-to") or "").split()
    root = references[0] if references else parsed.field("message-id") or ""
    return "AAQkAGI2TAAQA" + base64.urlsafe_b64encode(hashlib.sha256(root.encode()).digest()).decode()


def _recipients(name: str) -> Callable[[Shown], list[dict[str, Any]]]:
    return lambda shown: [recipient(address) for address in shown.parsed.addresses(name)]


def _originator(*names: str) -> Callable[[Shown], dict[str, Any] | None]:
    def get(shown: Shown) -> dict[str, Any] | None:
        for name in names:
            if addresses := shown.parsed.addresses(name):
                return recipient(addresses[0])
        return None

    return get


def _body(shown: Shown) -> dict[str, Any]:
    native = "html" if shown.parsed.html is not None else "text"
    if (shown.body_type or native) == "html":
        return {"contentType": "html", "content": shown.parsed.page()}
    return {"contentType": "text", "content": shown.parsed.plain}


def _headers(shown: Shown) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in shown.parsed.headers()]


def _index(shown: Shown) -> str:
    return base64.b64encode(b"\1" + hashlib.sha256(conversation(shown.parsed).encode()).digest()[:21]).decode()


PROPERTIES: Mapping[str, Callable[[Shown], Any]] = MappingProxyType(
    {
        "id": lambda shown: shown.id,
        "createdDateTime": lambda shown: moment(shown.item.received),
        "lastModifiedDateTime": lambda shown: moment(shown.item.modified),
        "changeKey": lambda shown: shown.change_key,
        "categories": lambda shown: list(shown.item.properties.categories),
        "receivedDateTime": lambda shown: moment(shown.item.received),
        "sentDateTime": lambda shown: moment(shown.parsed.sent() or shown.item.received),
        "hasAttachments": lambda shown: shown.parsed.has_attachments,
        "internetMessageId": lambda shown: shown.parsed.field("message-id"),
        "subject": lambda shown: shown.parsed.field("subject") or "",
        "bodyPreview": lambda shown: shown.parsed.preview,
        "importance": importance,
        "parentFolderId": lambda shown: graph_ids.folder(shown.owner, shown.item.mailbox_id),
        "conversationId": lambda shown: conversation(shown.parsed),
        "conversationIndex": _index,
        "isDeliveryReceiptRequested": lambda shown: shown.parsed.field("return-receipt-to") is not None,
        "isReadReceiptRequested": lambda shown: shown.parsed.field("disposition-notification-to") is not None,
        "isRead": lambda shown: r"\Seen" in shown.item.flags,
        "isDraft": lambda shown: r"\Draft" in shown.item.flags,
        "webLink": lambda shown: (
            f"https://outlook.office365.com/owa/?ItemID={shown.id}&exvsurl=1&viewmodel=ReadMessage"
        ),
        "inferenceClassification": lambda shown: shown.item.properties.inference_classification or "focused",
        "body": _body,
        "sender": _originator("sender", "from"),
        "from": _originator("from", "sender"),
        "toRecipients": _recipients("to"),
        "ccRecipients": _recipients("cc"),
        "bccRecipients": _recipients("bcc"),
        "replyTo": _recipients("reply-to"),
        "flag": flag,
        "uniqueBody": _body,
        "internetMessageHeaders": _headers,
    }
)
_ON_DEMAND = frozenset({"uniqueBody", "internetMessageHeaders"})
