"""What `messageNew` tells of a message: always its entry, and as much of its content as the settings ask for."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence

import msgspec
import structlog

from gateway.errors import PermanentError
from gateway.model.event import MessageNewData, NotifiedAttachment
from gateway.model.message import Attachment, MessageDetail, MessageEntry, MessageText, SpecialUse
from gateway.provider import Session
from gateway.services.calendars import calendar_events
from gateway.services.runtime_settings import RuntimeSettingsService
from gateway.services.showing import shown_message
from gateway.services.sync.batches import TIME_LIMIT

log = structlog.get_logger(__name__)

#: Octets of one attachment, unless the setting says otherwise.
ATTACHMENT_LIMIT = 5 * 1024 * 1024

_SETTINGS = (
    *("notifyText", "notifyTextSize", "notifyWebSafeHtml", "notifyHeaders"),
    *("notifyAttachments", "notifyAttachmentSize", "notifyCalendarEvents"),
)


class ContentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which content the operator wants in `messageNew`; sizes in octets, None is no limit."""

    text: bool = False
    text_size: int | None = None
    web_safe: bool = False
    headers: tuple[str, ...] = ()
    attachments: bool = False
    attachment_size: int = ATTACHMENT_LIMIT
    calendar_events: bool = False

    @property
    def detail(self) -> bool:
        """Whether the message itself has to be read."""
        return bool(self.text or self.headers or self.attachments)


class Content:
    """Makes the data of `messageNew`."""

    def __init__(self, settings: RuntimeSettingsService) -> None:
        self._settings = settings

    async def settings(self) -> ContentSettings:
        """Return what is wanted now."""
        made = await self._settings.many(_SETTINGS)
        return ContentSettings(
            text=bool(made["notifyText"]),
            text_size=made["notifyTextSize"] or None,
            web_safe=bool(made["notifyWebSafeHtml"]),
            headers=tuple(name.lower() for name in made["notifyHeaders"] or ()),
            attachments=bool(made["notifyAttachments"]),
            attachment_size=made["notifyAttachmentSize"] or ATTACHMENT_LIMIT,
            calendar_events=bool(made["notifyCalendarEvents"]),
        )

    async def message_new(
        self, session: Session, entry: MessageEntry, wanted: ContentSettings, *, use: SpecialUse | None, first: bool
    ) -> MessageNewData:
        """Return the data of `messageNew`.

        Args:
            session: to read content with.
            entry: of the message.
            wanted: content to read.
            use: what the mailbox is for.
            first: nobody has seen this Message-ID in the account before.
        """
        fields = {
            name: value
            for name in MessageNewData.__struct_fields__
            if name != "text" and (value := getattr(entry, name, None)) is not None
        }
        fields |= {"attachments": _notified(entry.attachments), "seems_like_new": first and use != "\\Sent"}
        if entry.text is not None:
            fields["text"] = MessageText(id=entry.text.id, encoded_size=entry.text.encoded_size)
        if wanted.detail or wanted.calendar_events:
            try:
                async with asyncio.timeout(TIME_LIMIT):
                    if wanted.detail:
                        fields |= await self._content(session, entry, wanted)
                    if wanted.calendar_events:
                        fields["calendar_events"] = await calendar_events(session, entry.attachments)
            except (PermanentError, TimeoutError) as error:
                # It is gone by now, or cannot be read: what the listing tells is true all the same.
                log.info("content_not_read", error=type(error).__name__)
        return MessageNewData(**fields)

    async def _content(self, session: Session, entry: MessageEntry, wanted: ContentSettings) -> dict[str, object]:
        detail = await session.message(
            entry.id, text_type="*" if wanted.text else None, max_bytes=wanted.text_size if wanted.text else None
        )
        fields: dict[str, object] = {}
        if wanted.text and detail.text is not None:
            shown = await shown_message(session, detail, safe=True, embed=True) if wanted.web_safe else detail
            fields["text"] = shown.text
        if wanted.headers:
            every = "*" in wanted.headers
            fields["headers"] = {
                name: value for name, value in detail.headers.items() if every or name in wanted.headers
            }
        if wanted.attachments:
            fields["attachments"] = await self._attachments(session, detail, wanted.attachment_size)
        return fields

    async def _attachments(self, session: Session, detail: MessageDetail, limit: int) -> tuple[NotifiedAttachment, ...]:
        found = []
        for attachment in detail.attachments:
            content = None
            # Base64 takes four octets for three.
            if attachment.encoded_size <= limit * 4 // 3 + 4096:
                content = await _octets(session, attachment.id, limit)
            found.append(_with_content(attachment, content))
        return tuple(found)


async def _octets(session: Session, id: str, limit: int) -> str | None:
    """Return an attachment in base64, None when it is over the limit."""
    opened = await session.attachment(id)
    octets = bytearray()
    async for chunk in opened.chunks:
        octets += chunk
    return base64.b64encode(octets).decode() if len(octets) <= limit else None


def _notified(attachments: Sequence[Attachment]) -> tuple[NotifiedAttachment, ...]:
    return tuple(_with_content(attachment, None) for attachment in attachments)


def _with_content(attachment: Attachment, content: str | None) -> NotifiedAttachment:
    members = {name: getattr(attachment, name) for name in Attachment.__struct_fields__}
    return NotifiedAttachment(**members, content=content)
