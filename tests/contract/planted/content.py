"""Bugs in the content of messages, and in searches."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

from msgspec.structs import replace

from gateway.errors import GatewayError, ServiceUnavailableError
from gateway.model.message import Attachment, MessageDetail, MessageEntry, MessageText, SearchQuery
from gateway.provider import AttachmentStream, MessagePage, PageRequest
from gateway_maildir import MaildirSession
from tests.contract.memory_provider import MemorySession
from tests.contract.planted.listing import ChangedEntries
from tests.contract.planting import breaks


class ChangedSource(MaildirSession):
    """A base for bugs in the source."""

    def change(self, octets: bytes) -> bytes:
        raise NotImplementedError

    async def source(self, id: str) -> AsyncIterator[bytes]:
        yield self.change(b"".join([chunk async for chunk in super().source(id)]))


@breaks("test_source_is_unchanged")
class LineEndsNormalised(ChangedSource):
    def change(self, octets: bytes) -> bytes:
        return octets.replace(b"\r\n", b"\n")


@breaks("test_source_is_unchanged")
class DecodedAndEncoded(ChangedSource):
    def change(self, octets: bytes) -> bytes:
        return octets.decode("ascii", "replace").encode()


@breaks("test_source_is_unchanged")
class DotsLeftStuffed(ChangedSource):
    def change(self, octets: bytes) -> bytes:
        return octets.replace(b"\r\n.", b"\r\n..")


@breaks("test_size_of_a_source_is_the_true_one")
class SizeEstimated(MaildirSession):
    async def source_size(self, id: str) -> int | None:
        return (await super().source_size(id) or 0) * 99 // 100


@breaks("test_headers_are_lower_case_with_every_value_in_order")
class LastHeaderWins(MaildirSession):
    async def message(self, id: str, **kwargs: Any) -> MessageDetail:
        found = await super().message(id, **kwargs)
        return replace(found, headers={name: values[-1:] for name, values in found.headers.items()})


@breaks("test_headers_are_lower_case_with_every_value_in_order")
class HostileHeadersDropped(MaildirSession):
    async def message(self, id: str, **kwargs: Any) -> MessageDetail:
        found = await super().message(id, **kwargs)
        return replace(found, headers={name: v for name, v in found.headers.items() if not name.startswith("__")})


@breaks("test_message_has_no_text_unless_asked")
class TextUnasked(MaildirSession):
    async def message(self, id: str, **kwargs: Any) -> MessageDetail:
        return await super().message(id, **{**kwargs, "text_type": "*"})


class ChangedText(MaildirSession):
    """A base for bugs in texts."""

    def change(self, text: MessageText) -> MessageText:
        raise NotImplementedError

    async def message(self, id: str, **kwargs: Any) -> MessageDetail:
        found = await super().message(id, **kwargs)
        return found if found.text is None else replace(found, text=self.change(found.text))

    async def text(self, id: str, **kwargs: Any) -> MessageText:
        return self.change(await super().text(id, **kwargs))


@breaks("test_text_of_each_type_is_decoded")
class CharsetIgnored(ChangedText):
    def change(self, text: MessageText) -> MessageText:
        return replace(text, plain=text.plain and text.plain.replace("€", "¤"))


@breaks("test_text_of_each_type_is_decoded")
class TypeIgnored(MaildirSession):
    async def message(self, id: str, **kwargs: Any) -> MessageDetail:
        return await super().message(id, **{**kwargs, "text_type": "*"})


@breaks("test_text_is_found_by_the_id_in_the_listing")
class TextIdLeadsNowhere(ChangedEntries):
    def entry(self, entry: MessageEntry) -> MessageEntry:
        assert entry.text is not None
        return replace(entry, text=replace(entry.text, id="dGV4dA"))


@breaks("test_long_text_is_cut_and_says_so")
class CutInSilence(ChangedText):
    def change(self, text: MessageText) -> MessageText:
        return replace(text, has_more=False)


@breaks("test_long_text_is_cut_and_says_so")
class LimitIgnored(MaildirSession):
    async def message(self, id: str, **kwargs: Any) -> MessageDetail:
        return await super().message(id, **{**kwargs, "max_bytes": None})


@breaks("test_long_text_is_cut_and_says_so")
class AlwaysHasMore(ChangedText):
    def change(self, text: MessageText) -> MessageText:
        return replace(text, has_more=True)


@breaks("test_cut_does_not_split_a_character")
class CutSplitsACharacter(MaildirSession):
    async def text(self, id: str, *, max_bytes: int | None = None, **kwargs: Any) -> MessageText:
        text = await super().text(id, **kwargs)
        return replace(text, plain=(text.plain or "").encode()[:max_bytes].decode("utf-8", "replace"))


@breaks("test_cut_text_has_all_characters_that_are_whole")
class CutLeavesHalfAnEscape(MaildirSession):
    async def text(self, id: str, *, max_bytes: int | None = None, **kwargs: Any) -> MessageText:
        text = await super().text(id, max_bytes=max_bytes, **kwargs)
        return replace(text, plain=f"{text.plain}=9") if text.has_more else text


class ChangedAttachments(MaildirSession):
    """A base for bugs in the list of attachments."""

    def attachment_entry(self, attachment: Attachment) -> Attachment:
        raise NotImplementedError

    async def message(self, id: str, **kwargs: Any) -> MessageDetail:
        found = await super().message(id, **kwargs)
        return replace(found, attachments=tuple(map(self.attachment_entry, found.attachments)))


@breaks("test_attachments_are_described")
class FilenameNotDecoded(ChangedAttachments):
    def attachment_entry(self, attachment: Attachment) -> Attachment:
        return replace(attachment, filename=(attachment.filename or "").replace("Ü", "%C3%9C"))


@breaks("test_attachments_are_described")
class InlineForgotten(ChangedAttachments):
    def attachment_entry(self, attachment: Attachment) -> Attachment:
        return replace(attachment, inline=False)


@breaks("test_attachments_are_described")
class ContentIdWithoutBrackets(ChangedAttachments):
    def attachment_entry(self, attachment: Attachment) -> Attachment:
        return replace(attachment, content_id=attachment.content_id and attachment.content_id.strip("<>"))


class ChangedStream(MaildirSession):
    """A base for bugs in attachments."""

    def change(self, octets: bytes) -> bytes:
        return octets

    def describe(self, stream: AttachmentStream) -> AttachmentStream:
        return stream

    async def attachment(self, id: str) -> AttachmentStream:
        stream = await super().attachment(id)
        return replace(self.describe(stream), chunks=self.changed(stream))

    async def changed(self, stream: AttachmentStream) -> AsyncIterator[bytes]:
        yield self.change(b"".join([chunk async for chunk in stream.chunks]))


@breaks("test_attachment_arrives_octet_by_octet")
class AttachmentAsText(ChangedStream):
    def change(self, octets: bytes) -> bytes:
        return octets.decode("utf-8", "replace").encode()


@breaks("test_attachment_arrives_octet_by_octet")
class AttachmentStillEncoded(ChangedStream):
    def change(self, octets: bytes) -> bytes:
        return base64.b64encode(octets)


@breaks("test_attachment_arrives_octet_by_octet")
class AttachmentWithoutName(ChangedStream):
    def describe(self, stream: AttachmentStream) -> AttachmentStream:
        return replace(stream, filename=None)


@breaks("test_session_works_after_an_attachment_was_read")
class RestOfTheAttachment(ChangedStream):
    rest = b""

    def change(self, octets: bytes) -> bytes:
        self.rest = octets
        return octets

    async def message(self, id: str, **kwargs: Any) -> MessageDetail:
        if self.rest:
            raise ServiceUnavailableError("the answer makes no sense")
        return await super().message(id, **kwargs)


@breaks("test_attachment_of_another_number_is_refused")
class MessageIdOpensTheMessage(MaildirSession):
    async def attachment(self, id: str) -> AttachmentStream:
        try:
            return await super().attachment(id)
        except GatewayError:
            return AttachmentStream(content_type="message/rfc822", chunks=self.source(id))


@breaks("test_search_finds_what_matches_every_criterion")
class CriteriaJoinedByOr(MemorySession):
    def matches(self, stored: Any, query: SearchQuery) -> bool:
        return any(
            super(CriteriaJoinedByOr, self).matches(stored, SearchQuery(**{name: getattr(query, name)}))
            for name in ("subject", "from_", "to", "header", "unseen", "seen")
            if getattr(query, name) is not None
        )


@breaks("test_search_finds_what_matches_every_criterion")
class UnknownCriteriaIgnored(MemorySession):
    def matches(self, stored: Any, query: SearchQuery) -> bool:
        return super().matches(stored, replace(query, header=None))


@breaks("test_search_pages_hold_every_match_once")
class SearchForgetsTheQuery(MemorySession):
    async def search(self, mailbox: str, query: SearchQuery, page: PageRequest) -> MessagePage:
        if page.cursor is not None:
            return await self.messages(mailbox, page)
        return await super().search(mailbox, query, page)


@breaks("test_search_in_an_unknown_mailbox_is_not_found")
class SearchFindsNothing(MemorySession):
    async def search(self, mailbox: str, query: SearchQuery, page: PageRequest) -> MessagePage:
        if mailbox not in self.service.mailboxes:
            return MessagePage(total=0, page=0, messages=())
        return await super().search(mailbox, query, page)
