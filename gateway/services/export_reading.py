"""What an export reads in a session: which mailboxes, which messages, and each of them as a line of JSON."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from gateway.errors import MailboxNotFoundError, MessageTooLargeError, PermanentError, UnsupportedOperationError
from gateway.model.event import NotifiedAttachment
from gateway.model.message import Attachment, Mailbox, SearchQuery
from gateway.provider import MessagePage, PageRequest, Session
from gateway.store.exports import Export

#: Messages on a page of a search.
PAGE = 250

#: Octets of lines after which a batch ends.
_BATCH_OCTETS = 1024 * 1024

#: Octets of the attachments of one message at most; a message with more is skipped.
MOST_OF_MESSAGE = 50 * 1024 * 1024

#: Mailboxes that are left out unless they are asked for.
_LEFT_OUT = ("\\Junk", "\\Trash")

_encode = msgspec.json.Encoder().encode


def folders(mailboxes: Sequence[Mailbox], asked: Sequence[str]) -> Iterator[str]:
    """Yield the paths of the mailboxes to export.

    Raises:
        MailboxNotFoundError: one that was asked for is not there.
    """
    usable = [mailbox for mailbox in mailboxes if not mailbox.no_select]
    if not asked:
        everything = [mailbox.path for mailbox in usable if mailbox.special_use == "\\All"]
        yield from everything or [mailbox.path for mailbox in usable if mailbox.special_use not in _LEFT_OUT]
    for name in asked:
        use = name.lower() if name.startswith("\\") else None
        path = next((one.path for one in usable if use and (one.special_use or "").lower() == use), None)
        if use and path is None and all(one.path != name for one in usable):
            raise MailboxNotFoundError("no mailbox has this special use")
        yield path or name


async def page(session: Session, path: str, export: Export) -> MessagePage:
    """Return the page of a mailbox that comes next; it may hold messages outside of the period."""
    request = PageRequest(page=export.page, size=PAGE)
    # IMAP compares days in the time zone of the server (RFC 9051 section 6.4.4): what is too much is sorted out here.
    query = SearchQuery(
        since=_shifted(export.start_date, timedelta(days=-1)), before=_shifted(export.end_date, timedelta(days=2))
    )
    try:
        return await session.search(path, query, request)
    except UnsupportedOperationError:
        return await session.messages(path, request)


def _shifted(moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:
        return moment.astimezone(UTC)


def in_period(date: datetime | None, export: Export) -> bool:
    """Tell whether a message belongs into an export; one without a date does."""
    return date is None or export.start_date <= date < export.end_date


async def lines(session: Session, export: Export, ids: Sequence[str]) -> tuple[list[bytes], int]:
    """Return the lines of the first of these messages, and how many had to be skipped."""
    lines: list[bytes] = []
    octets = skipped = 0
    for id in ids:
        try:
            line = await _line(session, export, id)
        except PermanentError:
            # Deleted since it was found, or too large: the others do not suffer.
            skipped += 1
            continue
        lines.append(line)
        octets += len(line)
        if octets >= _BATCH_OCTETS:
            break
    return lines, skipped


async def _line(session: Session, export: Export, id: str) -> bytes:
    found = await session.message(id, text_type=export.text_type, max_bytes=export.max_bytes)
    if export.include_attachments:
        attachments: list[Attachment] = []
        room = MOST_OF_MESSAGE
        for attachment in found.attachments:
            content = await _content(session, attachment.id, room)
            room -= len(content)
            text = base64.b64encode(content).decode()
            attachments.append(NotifiedAttachment(**msgspec.structs.asdict(attachment), content=text))
        found = msgspec.structs.replace(found, attachments=tuple(attachments))
    line = _encode(found)
    if len(line) > 2 * MOST_OF_MESSAGE:
        raise MessageTooLargeError("the message is too large to be exported")
    return line + b"\n"


async def _content(session: Session, id: str, room: int) -> bytes:
    stream = await session.attachment(id)
    content = bytearray()
    async for chunk in stream.chunks:
        # What is left of a stream must be read before the session is used again.
        if len(content) <= room:
            content += chunk
    if len(content) > room:
        raise MessageTooLargeError("the message is too large to be exported")
    return bytes(content)
