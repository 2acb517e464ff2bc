"""Messages and attachments that a new message takes something from, read by the workers."""

from __future__ import annotations

import contextlib

import msgspec

from gateway.mime.compose import OutgoingAttachment
from gateway.model.message import MessageDetail, MessageFound
from gateway.model.stream import StreamHead
from gateway.queue.client import JobClient
from gateway.queue.operations import (
    MESSAGES_ATTACHMENT,
    MESSAGES_GET,
    MESSAGES_NEWEST,
    FindNewest,
    GetAttachment,
    GetMessage,
)
from gateway.services.references import collected

#: Seconds for each message or attachment, and for looking for a thread.
TIMEOUT = 30.0


class Originals:
    """Reads the mail of accounts; see `gateway.services.references.OriginalReader`."""

    def __init__(self, jobs: JobClient) -> None:
        self._jobs = jobs

    async def newest(self, account: str, thread: str, own: tuple[str, ...]) -> str:
        """Return the id of the newest message of a thread."""
        answer = await self._jobs.call(MESSAGES_NEWEST, account, FindNewest(thread=thread, own=own), timeout=TIMEOUT)
        return msgspec.json.decode(answer, type=MessageFound).id

    async def original(self, account: str, message: str, *, max_bytes: int) -> MessageDetail:
        """Return a message with its texts."""
        asked = GetMessage(message=message, text_type="*", max_bytes=max_bytes)
        answer = await self._jobs.call(MESSAGES_GET, account, asked, timeout=TIMEOUT)
        return msgspec.json.decode(answer, type=MessageDetail)

    async def attachment(self, account: str, attachment: str, *, most: int) -> OutgoingAttachment:
        """Return an attachment of at most `most` octets."""
        asked = GetAttachment(attachment=attachment)
        async with contextlib.aclosing(
            await self._jobs.stream(MESSAGES_ATTACHMENT, account, asked, timeout=TIMEOUT)
        ) as stream:
            head = msgspec.json.decode(stream.head, type=StreamHead)
            content = await collected(stream.chunks, most)
        return OutgoingAttachment(
            content=content, filename=head.filename, content_type=head.content_type, disposition=head.disposition
        )
