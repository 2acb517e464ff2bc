"""Graph's JSON messages as RFC 5322 messages, the way Exchange stores and sends them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from email import message_from_bytes, policy
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import make_msgid
from typing import Any

from gateway_sandbox.graph_errors import GraphError, bad_request
from gateway_sandbox.graph_mime import Attached, parse_header

_HOST = "sandbox.contoso.test"
_RECIPIENTS = {"toRecipients": "To", "ccRecipients": "Cc", "bccRecipients": "Bcc", "replyTo": "Reply-To"}
#: Kept when a draft is changed: what JSON does not say.
_KEPT = frozenset({"message-id", "in-reply-to", "references", "date", "importance"})
#: The properties that make up the octets; everything else is kept beside the message.
CONTENT = frozenset({*_RECIPIENTS, "subject", "body", "from", "sender", "internetMessageHeaders", "importance"})
MAX_ATTACHMENT = 3 * 1024 * 1024


def compose(fields: Mapping[str, Any], attachments: Sequence[Attached], kept: Sequence[tuple[str, str]] = ()) -> bytes:
    """Return a message.

    Args:
        fields: properties of a message resource.
        attachments: what is attached beside.
        kept: header fields that are taken over.

    Raises:
        GraphError: a property has the wrong shape.
    """
    message = EmailMessage(policy=policy.SMTP)
    message["Subject"] = _text(fields.get("subject"), "subject").replace("\r", "").replace("\n", " ")
    for name, header in (("from", "From"), ("sender", "Sender")):
        if fields.get(name) and (name == "from" or fields.get(name) != fields.get("from")):
            message[header] = (_address(fields[name]),)
    for name, header in _RECIPIENTS.items():
        if addresses := [_address(entry) for entry in fields.get(name) or ()]:
            message[header] = addresses
    for name, value in kept:
        if name.lower() not in {field.lower() for field in message}:
            message[name] = value
    if "message-id" not in message:
        message["Message-ID"] = str(fields.get("internetMessageId") or make_msgid(domain=_HOST))
    _add_headers(message, fields)
    _add_body(message, fields.get("body") or {})
    _attach(message, attachments)
    return message.as_bytes()


def kept_fields(header: EmailMessage) -> list[tuple[str, str]]:
    """Return the header fields of a draft that a change of its properties leaves as they are."""
    return [(name, str(value)) for name, value in header.items() if name.lower() in _KEPT or name[:2].lower() == "x-"]


def attachments_of(fields: Mapping[str, Any]) -> list[Attached]:
    """Return the attachments in a message resource.

    Raises:
        GraphError: one is not well formed.
    """
    return [attachment(entry) for entry in fields.get("attachments") or ()]


def attachment(entry: Any) -> Attached:
    """Return an attachment from its resource.

    Raises:
        GraphError: no name, no type, or octets that are not base64.
    """
    kind = str(entry.get("@odata.type", "")).lstrip("#").lower() if isinstance(entry, dict) else ""
    if kind not in {"microsoft.graph.fileattachment", "microsoft.graph.itemattachment"}:
        raise bad_request("The attachment must have a known '@odata.type'.", "ErrorInvalidRequest")
    item = kind.endswith("itemattachment")
    name = _text(entry.get("name"), "name")
    if not name:
        raise bad_request("Required property 'name' is missing.", "ErrorPropertyValidationFailure")
    if item:
        content = compose(entry.get("item") or {}, attachments_of(entry.get("item") or {}))
    else:
        content = decoded(entry.get("contentBytes"), "ErrorInvalidAttachment")
    return Attached(
        name=name,
        media_type="message/rfc822" if item else str(entry.get("contentType") or "application/octet-stream"),
        content=content,
        inline=bool(entry.get("isInline")),
        content_id=entry.get("contentId"),
        item=item,
    )


def decoded(text: Any, code: str = "ErrorMimeContentInvalidBase64String") -> bytes:
    """Return octets from base64.

    Raises:
        GraphError: it is not base64.
    """
    try:
        return base64.b64decode("".join(text.split()) if isinstance(text, str) else b"!", validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad_request("Invalid base64 string for MIME content.", code) from error


def mime(body: bytes) -> bytes:
    """Return the message in the body of a MIME request, with the line ends of the wire.

    Raises:
        GraphError: not base64, or not a message.
    """
    octets = decoded(body.decode("ascii", "replace"))
    octets = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    if not parse_header(octets).header.keys():
        raise bad_request("The MIME content is not valid.", "ErrorMimeContentInvalid")
    return octets


def with_from(octets: bytes, name: str, address: str) -> bytes:
    """Return a message with another From field; its other fields stay as they are."""
    header, blank, body = octets.partition(b"\r\n\r\n")
    kept: list[bytes] = []
    dropping = False
    for line in header.split(b"\r\n"):
        if line[:1] not in (b" ", b"\t"):
            dropping = line[:5].lower() == b"from:"
        if not dropping:
            kept.append(line)
    field = EmailMessage(policy=policy.SMTP)
    field["From"] = (_checked_address(name, address),)
    return field.as_bytes().partition(b"\r\n\r\n")[0] + b"\r\n" + b"\r\n".join(kept) + blank + body


def _add_headers(message: EmailMessage, fields: Mapping[str, Any]) -> None:
    for header in fields.get("internetMessageHeaders") or ():
        name, value = _text(header.get("name"), "name"), _text(header.get("value"), "value")
        if not name.lower().startswith("x-"):
            text = f"The internet message header name '{name}' should start with 'x-' or 'X-'."
            raise bad_request(text, "InvalidInternetMessageHeader")
        del message[name]
        message[name] = value.replace("\r", "").replace("\n", " ")
    if (wanted := fields.get("importance")) in {"high", "low"}:
        del message["Importance"]
        message["Importance"] = wanted


def _add_body(message: EmailMessage, body: Mapping[str, Any]) -> None:
    kind = str(body.get("contentType") or "text").lower()
    if kind not in {"text", "html"}:
        raise bad_request(f"Requested value '{kind}' was not found.", "RequestBodyRead")
    content = _text(body.get("content"), "content").replace("\r\n", "\n")
    message.set_content(content, subtype="plain" if kind == "text" else "html", charset="utf-8")


def _attach(message: EmailMessage, attachments: Sequence[Attached]) -> None:
    for attached in sorted(attachments, key=lambda one: not one.inline):
        main, _, sub = attached.media_type.partition("/")
        if attached.item:
            inner = message_from_bytes(attached.content, policy=policy.SMTP)
            message.add_attachment(inner, filename=attached.name)
            continue
        disposition = "inline" if attached.inline else "attachment"
        cid = f"<{attached.content_id}>" if attached.content_id else None
        add = (
            message.add_related
            if attached.inline and message.get_content_type() in _RELATED
            else message.add_attachment
        )
        try:
            add(
                attached.content,
                maintype=main or "application",
                subtype=sub or "octet-stream",
                filename=attached.name,
                disposition=disposition,
                cid=cid,
            )
        except (ValueError, MessageError) as error:
            raise bad_request("The attachment is not valid.", "ErrorInvalidAttachment") from error


_RELATED = frozenset({"text/html", "multipart/related"})


def _address(entry: Any) -> Address:
    email = entry.get("emailAddress") if isinstance(entry, dict) else None
    if not isinstance(email, dict) or not isinstance(email.get("address"), str):
        raise GraphError(400, "ErrorInvalidRecipients", "At least one recipient is not valid.")
    name = email.get("name")
    return _checked_address(name if isinstance(name, str) and name != email["address"] else "", email["address"])


def _checked_address(name: str, address: str) -> Address:
    try:
        return Address(display_name=name.replace("\r", "").replace("\n", " "), addr_spec=address.strip())
    except (MessageError, ValueError, IndexError) as error:
        message = f"At least one recipient is not valid., Recipient '{address}' is not resolved."
        raise GraphError(400, "ErrorInvalidRecipients", message) from error


def _text(value: Any, name: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise bad_request(f"Cannot convert the value of property '{name}' to type 'Edm.String'.", "RequestBodyRead")
    return value
