"""Which calendar events a message tells of."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence

import msgspec

from gateway.errors import PermanentError
from gateway.mime.calendar import LARGEST, CalendarEvent, read_calendar
from gateway.model.message import Attachment, CalendarEventInfo, MessageDetail
from gateway.provider import Session

#: Calendars of one message that are read. An invitation has one, often twice: to be seen, and to be saved.
MOST_CALENDARS = 3

#: Octets of one as transferred: base64 takes four for three, and line ends.
_LARGEST_ENCODED = LARGEST * 4 // 3 + LARGEST // 57 * 2


async def with_calendar_events(session: Session, message: MessageDetail) -> MessageDetail:
    """Return a message with the events of its calendars, see `calendar_events`."""
    events = await calendar_events(session, message.attachments)
    return msgspec.structs.replace(message, calendar_events=events) if events else message


async def calendar_events(session: Session, attachments: Sequence[Attachment]) -> tuple[CalendarEventInfo, ...]:
    """Return the events of attached calendars; each once, however often the message has it.

    A calendar that cannot be read, or is larger than `gateway.mime.calendar.LARGEST`, has none.
    """
    found: dict[object, CalendarEventInfo] = {}
    calendars = [each for each in attachments if _is_calendar(each)]
    for attachment in calendars[:MOST_CALENDARS]:
        octets = await _octets(session, attachment.id)
        content: str | None = base64.b64encode(octets).decode()
        # Garbage of this size takes a quarter of a second.
        for event in await asyncio.to_thread(read_calendar, octets):
            # Dates of a series share its UID, but do not begin at one time.
            key = (event.uid, event.start) if event.uid else len(found)
            if key not in found:
                found[key] = _shown(attachment, event, content)
                content = None
    return tuple(found.values())


def _is_calendar(attachment: Attachment) -> bool:
    if not 0 < attachment.encoded_size <= _LARGEST_ENCODED:
        return False
    named = (attachment.filename or "").lower().endswith(".ics")
    return named or attachment.content_type in ("text/calendar", "application/ics")


async def _octets(session: Session, id: str) -> bytes:
    """Return an attachment; nothing when it cannot be read or is too large."""
    octets = bytearray()
    try:
        opened = await session.attachment(id)
        async for chunk in opened.chunks:
            octets += chunk
    except PermanentError:
        return b""
    return bytes(octets) if len(octets) <= LARGEST else b""


def _shown(attachment: Attachment, event: CalendarEvent, content: str | None) -> CalendarEventInfo:
    return CalendarEventInfo(
        event_id=event.uid,
        attachment=attachment.id,
        method=event.method or attachment.method,
        summary=event.summary,
        description=event.description,
        timezone=event.timezone,
        start_date=event.start,
        end_date=event.end,
        organizer=event.organizer,
        filename=attachment.filename,
        content_type=attachment.content_type,
        encoding=None if content is None else "base64",
        content=content,
    )
