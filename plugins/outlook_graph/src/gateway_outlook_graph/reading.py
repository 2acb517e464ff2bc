"""Reading messages: details, texts, source, attachments."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack

from gateway.errors import GatewayError, InvalidIdentifierError, NotFoundError, UnsupportedOperationError
from gateway.model.message import EncodedSize, MessageDetail, MessageText, TextType
from gateway.provider import AttachmentStream
from gateway_outlook_graph import mapping
from gateway_outlook_graph.batch import batched
from gateway_outlook_graph.client import GraphClient, Request, decoded, path
from gateway_outlook_graph.folders import Mailboxes
from gateway_outlook_graph.ids import checked_id, decode_attachment_id
from gateway_outlook_graph.priority import Priority
from gateway_outlook_graph.resources import (
    EXPAND_ATTACHMENTS,
    EXPAND_VERB,
    SHOWN,
    STATE,
    Attachment,
    Body,
    Message,
)

_AS_TEXT = 'outlook.body-content-type="text"'
_FULL = {"$select": ",".join(SHOWN), "$expand": f"{EXPAND_VERB},{EXPAND_ATTACHMENTS}"}
_STATE = {"$select": ",".join(STATE), "$expand": EXPAND_VERB}
_ATTACHMENT = {"$select": "id,name,contentType,size,isInline"}
_LINE_END = re.compile(r"\r\n?")


class Reading:
    """Reads single messages."""

    def __init__(self, client: GraphClient, mailboxes: Mailboxes) -> None:
        self._client = client
        self._mailboxes = mailboxes
        self._download = AsyncExitStack()

    async def close(self) -> None:
        """End a download that nobody read to its end."""
        await self._download.aclose()

    async def detail(self, id: str, *, text_type: TextType | None, max_bytes: int | None) -> MessageDetail:
        """Return one message; see `gateway.provider.Session.message`."""
        message = await self.resource(id)
        text = MessageText(id=id)
        if text_type is not None:
            text = await self.text(id, text_type=text_type, max_bytes=max_bytes)
        return mapping.detail(message, *await self._mailboxes.place(message.parent_folder_id), text)

    async def resource(self, id: str) -> Message:
        """Return one message as a listing shows it."""
        return await self._client.get(Message, path("messages", checked_id(id)), _FULL)

    async def state(self, id: str) -> Message:
        """Return what can change of a message."""
        return await self._client.get(Message, path("messages", checked_id(id)), _STATE)

    async def several(self, ids: Sequence[str], priority: Priority) -> list[Message]:
        """Return messages by their ids, without those that are gone, and ids that are none of this mailbox."""
        return _there(await self._each(ids, _FULL, priority))

    async def states(self, ids: Sequence[str], priority: Priority) -> list[Message | GatewayError]:
        """Return what can change of messages, or why it is not known, in the order of the ids."""
        return await self._each(ids, _STATE, priority)

    async def states_there(self, ids: Sequence[str], priority: Priority) -> list[Message]:
        """Return what can change of messages, without those that are gone."""
        return _there(await self.states(ids, priority))

    async def _each(
        self, ids: Sequence[str], query: Mapping[str, str], priority: Priority
    ) -> list[Message | GatewayError]:
        requests = [Request(path=path("messages", checked_id(id)), query=query) for id in ids]
        answers = await batched(self._client, requests, priority)
        return [answer if isinstance(answer, GatewayError) else decoded(answer, Message) for answer in answers]

    async def text(self, id: str, *, text_type: TextType, max_bytes: int | None) -> MessageText:
        """Return the body. Exchange keeps one form of it and makes plain text of HTML when it is asked to."""
        native = None if text_type == "plain" else await self._body(id)
        html = native.content if native is not None and native.content_type == "html" else None
        plain = None
        if text_type != "html":
            is_plain = native is not None and html is None
            plain = (native if is_plain and native is not None else await self._body(id, _AS_TEXT)).content
        cut_plain, more_plain = _cut(plain, max_bytes)
        cut_html, more_html = _cut(html, max_bytes)
        sizes = EncodedSize(plain=_octets(plain), html=_octets(html))
        return MessageText(id=id, plain=cut_plain, html=cut_html, has_more=more_plain or more_html, encoded_size=sizes)

    async def source(self, id: str) -> AsyncIterator[bytes]:
        """Stream the message as MIME."""
        async with self._client.stream(Request(path=path("messages", checked_id(id), "$value"))) as stream:
            async for chunk in stream.chunks():
                yield chunk

    async def attachment(self, id: str) -> AttachmentStream:
        """Open an attachment: a file, or a message as MIME.

        Raises:
            NotFoundError: there is no such attachment.
            UnsupportedOperationError: it is a link to a file elsewhere.
        """
        found = decode_attachment_id(id)
        place = path("messages", found.message, "attachments", found.attachment)
        try:
            described = await self._client.get(Attachment, place, _ATTACHMENT)
        except NotFoundError as error:
            raise NotFoundError(
                "there is no such attachment", code="AttachmentNotFound", native_code=error.native_code
            ) from error
        if described.type.endswith("referenceAttachment"):
            raise UnsupportedOperationError("the attachment is a link to a file that is kept elsewhere")
        shown = mapping.attachment(found.message, described)
        return AttachmentStream(
            content_type=shown.content_type,
            filename=shown.filename,
            disposition="inline" if shown.inline else "attachment",
            chunks=await self._opened(Request(path=f"{place}/$value")),
        )

    async def _opened(self, request: Request) -> AsyncIterator[bytes]:
        """Begin a download, so that a refusal is known before the first octet is asked for."""
        await self._download.aclose()
        stream = await self._download.enter_async_context(self._client.stream(request))

        async def chunks() -> AsyncIterator[bytes]:
            async with self._download:
                async for chunk in stream.chunks():
                    yield chunk

        return chunks()

    async def _body(self, id: str, *prefer: str) -> Body:
        query = {"$select": "body"}
        message = await self._client.get(Message, path("messages", checked_id(id)), query, prefer=prefer)
        return message.body or Body()


def _there(answers: Sequence[Message | GatewayError]) -> list[Message]:
    found = []
    for answer in answers:
        if isinstance(answer, Message):
            found.append(answer)
        elif not isinstance(answer, NotFoundError | InvalidIdentifierError):
            raise answer
    return found


def _octets(text: str | None) -> int | None:
    return len(text.encode()) if text else None


def _cut(text: str | None, max_bytes: int | None) -> tuple[str | None, bool]:
    """Return at most so many octets of a text, and whether that is less than all of it."""
    if text is None:
        return None, False
    text = _LINE_END.sub("\n", text)
    octets = text.encode()
    if max_bytes is None or len(octets) <= max_bytes:
        return text, False
    return octets[:max_bytes].decode(errors="ignore"), True
