"""What the composer needs of a request."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from uuid import uuid4

from gateway.mime.addresses import ascii_domain
from gateway.mime.compose import Outgoing, OutgoingAttachment
from gateway.mime.preview import with_preview
from gateway.model.message import Address
from gateway.model.submission import (
    ComposeFields,
    DeliveryNotificationPayload,
    Recipient,
    SubmitRequest,
    UploadAttachment,
)
from gateway.provider import DeliveryNotification, Envelope
from gateway.services.account_payload import invalid
from gateway.store.accounts import AccountConfig


def outgoing(request: ComposeFields, config: AccountConfig, now: datetime) -> Outgoing:
    """Return what the composer needs of a request."""
    reply_to = request.reply_to if isinstance(request, SubmitRequest) else None
    raw = finished(request.raw) if request.raw is not None else None
    author = _address(request.from_) if request.from_ is not None else None
    if author is None and raw is None and config.email:
        author = Address(name=config.name, address=config.email)
    date = now
    envelope = None
    html = request.html
    if isinstance(request, SubmitRequest):
        if html is not None and request.preview_text:
            html = with_preview(html, request.preview_text)
        if request.send_at is not None:
            date = max(now, request.send_at.astimezone(UTC))
        if request.envelope is not None:
            to = request.envelope.to
            sender = request.envelope.from_
            envelope = Envelope(
                mail_from=sender if sender is not None else (author.address if author else config.email or ""),
                rcpt_to=(to,) if isinstance(to, str) else to,
            )
    return Outgoing(
        from_=author,
        to=_addresses(request.to),
        cc=_addresses(request.cc),
        bcc=_addresses(request.bcc),
        reply_to=_addresses(reply_to),
        subject=request.subject,
        text=request.text,
        html=html,
        attachments=tuple(_attachment(item, index) for index, item in enumerate(request.attachments)),
        headers=request.headers or {},
        message_id=request.message_id,
        date=None if raw is not None else date,
        raw=raw,
        envelope=envelope,
    )


def new_message_id(config: AccountConfig, request: ComposeFields) -> str:
    """Return a Message-ID for a message that is still to be made (RFC 5322 section 3.6.4)."""
    author = request.from_.address if request.from_ is not None else config.email or ""
    return f"<{uuid4()}@{ascii_domain(author).rpartition('@')[2] or 'localhost'}>"


def notification(dsn: DeliveryNotificationPayload | None) -> DeliveryNotification | None:
    """Return what a sender wants to be told of the delivery.

    Raises:
        InvalidRequestError: it cannot be said (RFC 3461).
    """
    if dsn is None:
        return None
    notify = (dsn.notify,) if isinstance(dsn.notify, str) else dsn.notify or ()
    if "never" in notify and len(set(notify)) > 1:
        raise invalid("dsn.notify", "must be `never` alone, or when to report")
    for key, value in (("dsn.id", dsn.id), ("dsn.recipient", dsn.recipient)):
        if value is not None and not (value.isascii() and value.isprintable()):
            raise invalid(key, "must be ASCII")
    return DeliveryNotification(
        full=dsn.return_ == "full",
        envelope_id=dsn.id or None,
        notify=tuple(dict.fromkeys(notify)),
        original_recipient=dsn.recipient,
    )


def finished(raw: str) -> bytes:
    """Return the octets of a message that a request gives as `raw`.

    Raises:
        InvalidRequestError: it is no base64.
    """
    return _base64(raw, "raw")


def _address(recipient: Recipient) -> Address:
    return Address(name=recipient.name, address=recipient.address)


def _addresses(value: tuple[Recipient, ...] | Recipient | None) -> tuple[Address, ...] | None:
    if value is None:
        return None
    return (_address(value),) if isinstance(value, Recipient) else tuple(_address(item) for item in value)


def _attachment(item: UploadAttachment, index: int) -> OutgoingAttachment:
    return OutgoingAttachment(
        filename=item.filename,
        content=_base64(item.content or "", f"attachments[{index}].content"),
        content_type=item.content_type,
        disposition=item.content_disposition or ("inline" if item.cid else "attachment"),
        cid=item.cid,
    )


def _base64(text: str, key: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(key, "must be base64") from error
