"""Replies and forwards, and attachments that lie in the account's own mail: what a new message takes from others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from datetime import UTC, tzinfo
from typing import Protocol

import msgspec
from msgspec import UNSET

from gateway.errors import (
    GatewayError,
    InvalidIdentifierError,
    InvalidRequestError,
    NotFoundError,
    ResourceNotFoundError,
)
from gateway.mime.compose import OutgoingAttachment
from gateway.mime.referring import (
    Action,
    answered_to,
    quoting_html,
    quoting_text,
    referring_subject,
    thread_headers,
)
from gateway.mime.safe_html import safe_html, text_as_html
from gateway.model.message import Address, Attachment, MessageDetail, ReferenceResult
from gateway.model.submission import ComposeFields, MessageReference, Recipient
from gateway.services.account_payload import checked_zone, invalid
from gateway.services.runtime_settings import RuntimeSettingsService
from gateway.store.accounts import AccountConfig
from gateway.store.outbox import Answered

#: Octets that may be taken from other messages; what the largest providers accept at all is not much more.
MOST_OCTETS = 50 * 1024 * 1024
#: Octets of the text that is quoted.
MOST_QUOTED = 1024 * 1024

#: What becomes of a message that was answered (RFC 9051 section 2.3.2; "$Forwarded" is in IANA's list of keywords).
_MARKS: dict[Action, tuple[str, ...]] = {
    "reply": ("\\Answered",),
    "reply-all": ("\\Answered",),
    "forward": ("\\Answered", "$Forwarded"),
}


#: Why there is no original; an id that nobody issued names none.
_MISSING = (NotFoundError, ResourceNotFoundError, InvalidIdentifierError)


class OriginalReader(Protocol):
    """Reads an account's mail."""

    async def newest(self, account: str, thread: str, own: tuple[str, ...]) -> str:
        """Return the id of the newest message of a thread; see `gateway.services.threads.newest_of_thread`."""
        ...

    async def original(self, account: str, message: str, *, max_bytes: int) -> MessageDetail:
        """Return a message with its texts; see `Session.message` for errors."""
        ...

    async def attachment(self, account: str, attachment: str, *, most: int) -> OutgoingAttachment:
        """Return an attachment.

        Raises:
            NotFoundError: there is none.
            InvalidRequestError: it has more than `most` octets.
        """
        ...


class Referred(msgspec.Struct, frozen=True, kw_only=True):
    """What a request has become.

    Attributes:
        fields: the request, completed, without what is not in itself.
        attachments: of other messages.
        result: what the caller is told of the reference; None when there was none.
        answered: the message to mark once this one is sent.
    """

    fields: ComposeFields
    attachments: tuple[OutgoingAttachment, ...] = ()
    result: ReferenceResult | None = None
    answered: Answered | None = None


class ReferenceService:
    """Completes requests that refer to other messages."""

    def __init__(self, reader: OriginalReader, settings: RuntimeSettingsService) -> None:
        self._reader = reader
        self._settings = settings

    def remembering(self) -> ReferenceService:
        """Return a service for one call that reads each message and attachment once."""
        return ReferenceService(_Remembering(self._reader), self._settings)

    async def resolve(self, config: AccountConfig, fields: ComposeFields) -> Referred:
        """Return a request with everything that it takes from others.

        Raises:
            ResourceNotFoundError: there is no such message (code ReferenceNotFound, or MessageNotFound if it is
                another than the caller thinks), or no such attachment (AttachmentNotFound).
            InvalidRequestError: what is referred to is too large, or both referred to and given.
            GatewayError: the account's mail cannot be read now.
        """
        taken = _Taken(self._reader, config.account)
        own = tuple(item for item in fields.attachments if item.reference is None)
        for index, item in enumerate(fields.attachments):
            if (item.content is None) == (item.reference is None):
                raise invalid(f"attachments[{index}].content", "is required, or else a reference")
            if item.reference is not None:
                await taken.add(item.reference, filename=item.filename, cid=item.cid)
        fields = msgspec.structs.replace(fields, attachments=own)
        reference = fields.reference
        if reference is None:
            return Referred(fields=fields, attachments=taken.attachments)
        if reference.message is None and not reference.thread_id:
            raise invalid("reference.message", "is required, or else threadId")
        if fields.raw is not None:
            raise invalid("reference", "cannot be combined with raw")
        try:
            message, original = await self._original(config, fields, reference)
        except GatewayError as error:
            if not reference.ignore_missing or not isinstance(error, _MISSING):
                raise
            failed = ReferenceResult(
                message=UNSET if reference.message is None else reference.message,
                thread_id=(reference.thread_id if reference.message is None else None) or UNSET,
                success=False,
                error=error.record().message,
            )
            return Referred(fields=fields, attachments=taken.attachments, result=failed)
        for part in _carried(original, reference):
            await taken.add(part.id, cid=part.content_id if part.inline or part.embedded else None)
        return Referred(
            fields=_completed(await self._quoting(fields, original, reference, config), original, reference, config),
            attachments=taken.attachments,
            result=ReferenceResult(message=message, thread_id=original.thread_id or UNSET, success=True),
            answered=Answered(message=message, flags=_MARKS[reference.action]),
        )

    async def _quoting(
        self, fields: ComposeFields, original: MessageDetail, reference: MessageReference, config: AccountConfig
    ) -> ComposeFields:
        """Return a request with the text of the original, if that is asked for."""
        if not reference.inline:
            return fields
        known = await self._settings.many(("timezone", "locale"))
        zone = _zone(fields.tz, config.tz, known["timezone"])
        locale = fields.locale or config.locale or known["locale"] or "en"
        text, html = fields.text, fields.html
        if html is not None:
            html = quoting_html(original, reference.action, html, _html(original), zone, locale)
        if text is not None or html is None:
            text = quoting_text(original, reference.action, text or "", zone, locale)
        return msgspec.structs.replace(fields, text=text, html=html)

    async def _original(
        self, config: AccountConfig, fields: ComposeFields, reference: MessageReference
    ) -> tuple[str, MessageDetail]:
        """Return the id of what is referred to, and what it is."""
        account, message = config.account, reference.message
        try:
            if message is None:
                # An answer to a thread goes to whom one talks with, also after one's own last word.
                own = tuple(_own(config, fields)) if reference.action == "reply" else ()
                message = await self._reader.newest(account, reference.thread_id or "", own)
            original = await self._reader.original(account, message, max_bytes=MOST_QUOTED)
        except NotFoundError:
            raise ResourceNotFoundError("the message referred to is not there", code="ReferenceNotFound") from None
        if reference.message_id is not None and original.message_id != reference.message_id:
            raise ResourceNotFoundError("the message referred to is another one", code="MessageNotFound")
        return message, original


class _Remembering:
    """A reader that asks for nothing twice."""

    def __init__(self, reader: OriginalReader) -> None:
        self._reader = reader
        self._newest: dict[tuple[str, tuple[str, ...]], str | None] = {}
        self._originals: dict[str, MessageDetail] = {}
        self._attachments: dict[str, OutgoingAttachment] = {}

    async def newest(self, account: str, thread: str, own: tuple[str, ...]) -> str:
        if (thread, own) not in self._newest:
            try:
                self._newest[thread, own] = await self._reader.newest(account, thread, own)
            except NotFoundError:
                # Every mailbox was searched for it.
                self._newest[thread, own] = None
        found = self._newest[thread, own]
        if found is None:
            raise NotFoundError("there is no message of this thread")
        return found

    async def original(self, account: str, message: str, *, max_bytes: int) -> MessageDetail:
        if message not in self._originals:
            self._originals[message] = await self._reader.original(account, message, max_bytes=max_bytes)
        return self._originals[message]

    async def attachment(self, account: str, attachment: str, *, most: int) -> OutgoingAttachment:
        if attachment not in self._attachments:
            self._attachments[attachment] = await self._reader.attachment(account, attachment, most=most)
        return self._attachments[attachment]


class _Taken:
    """Attachments that are taken from other messages, as many as fit."""

    def __init__(self, reader: OriginalReader, account: str) -> None:
        self._reader = reader
        self._account = account
        self._left = MOST_OCTETS
        self._found: list[OutgoingAttachment] = []

    @property
    def attachments(self) -> tuple[OutgoingAttachment, ...]:
        return tuple(self._found)

    async def add(self, id: str, *, filename: str | None = None, cid: str | None = None) -> None:
        try:
            found = await self._reader.attachment(self._account, id, most=self._left)
        except NotFoundError:
            raise ResourceNotFoundError("there is no such attachment", code="AttachmentNotFound") from None
        self._left -= len(found.content)
        disposition = "inline" if cid else found.disposition
        self._found.append(
            msgspec.structs.replace(found, filename=filename or found.filename, cid=cid, disposition=disposition)
        )


def _carried(original: MessageDetail, reference: MessageReference) -> Iterable[Attachment]:
    """Return the original's attachments that go along: all, or the images of the text that is quoted."""
    if reference.action == "forward" and reference.forward_attachments:
        return original.attachments
    if not reference.inline:
        return ()
    html = (original.text.html if original.text is not None else None) or ""
    return (part for part in original.attachments if part.content_id and f"cid:{part.content_id.strip('<>')}" in html)


def _completed(
    fields: ComposeFields, original: MessageDetail, reference: MessageReference, config: AccountConfig
) -> ComposeFields:
    """Fill in what the request leaves open."""
    action = reference.action
    to, cc = answered_to(original, action, _own(config, fields))
    given = {name.lower() for name in fields.headers or {}}
    headers = {name: value for name, value in thread_headers(original, action).items() if name.lower() not in given}
    return msgspec.structs.replace(
        fields,
        to=_recipients(to) if fields.to is None else fields.to,
        cc=_recipients(cc) or None if fields.cc is None else fields.cc,
        subject=referring_subject(original, action) if fields.subject is None else fields.subject,
        headers={**headers, **(fields.headers or {})},
    )


def _own(config: AccountConfig, fields: ComposeFields) -> list[str]:
    """Return the addresses that the account writes from."""
    return [address for address in (config.email, fields.from_.address if fields.from_ else None) if address]


def _html(original: MessageDetail) -> str:
    text = original.text
    if text is None:
        return ""
    return safe_html(text.html) if text.html else text_as_html(text.plain or "")


def _recipients(addresses: tuple[Address, ...]) -> tuple[Recipient, ...]:
    return tuple(Recipient(address=address.address, name=address.name[:256]) for address in addresses)


def _zone(asked: str | None, *known: str | None) -> tzinfo:
    """Return the zone that is asked for, which there must be, else the first one of those that are known."""
    if asked:
        return checked_zone("tz", asked)
    for name in filter(None, known):
        # Accounts may have any; a letter is not refused for it.
        with suppress(InvalidRequestError):
            return checked_zone("tz", name)
    return UTC


async def collected(chunks: AsyncIterator[bytes], most: int) -> bytes:
    """Return octets as they arrive, `most` of them.

    Raises:
        InvalidRequestError: there are more.
    """
    octets = bytearray()
    async for chunk in chunks:
        octets += chunk
        if len(octets) > most:
            raise InvalidRequestError("what the message refers to is too large", code="ReferenceTooLarge")
    return bytes(octets)
