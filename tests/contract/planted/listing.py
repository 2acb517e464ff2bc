"""Bugs in listings and identifiers."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from gateway.errors import GatewayError, NotFoundError, ServiceUnavailableError
from gateway.mime.parse import parse_message
from gateway.model.message import FlagUpdate, MessageDetail, MessageEntry
from gateway.provider import AttachmentStream, MessagePage, PageRequest
from gateway_maildir import MaildirSession
from tests.contract.memory_provider import MemorySession
from tests.contract.planting import breaks
from tests.contract.suites import SECRET


class ChangedPages(MaildirSession):
    """A base for bugs in listings."""

    def change(self, page: MessagePage, request: PageRequest) -> MessagePage:
        raise NotImplementedError

    async def messages(self, mailbox: str, page: PageRequest) -> MessagePage:
        return self.change(await super().messages(mailbox, page), page)


class ChangedEntries(ChangedPages):
    """A base for bugs in the entries of listings."""

    def entry(self, entry: MessageEntry) -> MessageEntry:
        raise NotImplementedError

    def change(self, page: MessagePage, request: PageRequest) -> MessagePage:
        return replace(page, messages=tuple(map(self.entry, page.messages)))


@breaks("test_empty_mailbox_has_an_empty_page")
class EmptyIsNotFound(ChangedPages):
    def change(self, page: MessagePage, request: PageRequest) -> MessagePage:
        if not page.total:
            raise NotFoundError("nothing there")
        return page


@breaks("test_page_numbers_hold_every_message_once_newest_first")
class OldestFirst(MaildirSession):
    def _files(self, mailbox: str) -> list[Path]:
        return super()._files(mailbox)[::-1]


@breaks("test_page_numbers_hold_every_message_once_newest_first")
class TotalIsThePage(ChangedPages):
    def change(self, page: MessagePage, request: PageRequest) -> MessagePage:
        return replace(page, total=len(page.messages))


@breaks("test_page_numbers_hold_every_message_once_newest_first")
class EdgeIsShownTwice(MaildirSession):
    async def messages(self, mailbox: str, page: PageRequest) -> MessagePage:
        found = await super().messages(mailbox, replace(page, page=0, size=1000))
        start = max(0, page.page * page.size - 1)
        return replace(found, page=page.page, messages=found.messages[start : start + page.size])


@breaks("test_page_numbers_hold_every_message_once_newest_first")
class SizeIsIgnored(MaildirSession):
    async def messages(self, mailbox: str, page: PageRequest) -> MessagePage:
        return await super().messages(mailbox, replace(page, size=20))


@breaks("test_cursors_lead_through_every_message_and_back")
class CursorEndsEarly(ChangedPages):
    def change(self, page: MessagePage, request: PageRequest) -> MessagePage:
        return replace(page, next_cursor=None if page.page == 1 else page.next_cursor)


@breaks("test_cursors_lead_through_every_message_and_back")
class CursorAfterTheEnd(ChangedPages):
    def change(self, page: MessagePage, request: PageRequest) -> MessagePage:
        return replace(page, next_cursor=page.next_cursor or request.cursor)


@breaks("test_cursors_lead_through_every_message_and_back")
class NoWayBack(ChangedPages):
    def change(self, page: MessagePage, request: PageRequest) -> MessagePage:
        return replace(page, previous_cursor=request.cursor)


@breaks("test_cursors_lead_through_every_message_and_back")
class CursorTooLongForAnAddress(MaildirSession):
    async def messages(self, mailbox: str, page: PageRequest) -> MessagePage:
        known = page if page.cursor is None else replace(page, cursor=page.cursor.rstrip("~"))
        found = await super().messages(mailbox, known)
        return replace(found, next_cursor=found.next_cursor and found.next_cursor.ljust(5000, "~"))


class NumberedCursors(MaildirSession):
    """Cursors that are page numbers and nothing else."""

    async def messages(self, mailbox: str, page: PageRequest) -> MessagePage:
        number = int(page.cursor) if (page.cursor or "").isdecimal() else page.page
        known = page if page.cursor is None or not page.cursor.isdecimal() else PageRequest(page=number, size=page.size)
        found = await super().messages(mailbox, known)
        more = (number + 1) * page.size < found.total
        return replace(
            found,
            next_cursor=str(number + 1) if more else None,
            previous_cursor=str(number - 1) if number else None,
        )


@breaks("test_cursors_hold_what_was_there_at_first_while_messages_come")
class CursorCountsFromTheTop(NumberedCursors):
    pass


@breaks("test_cursors_lose_nothing_while_messages_go")
class CursorCountsWhatIsLeft(NumberedCursors):
    pass


@breaks("test_page_after_the_last_is_empty")
class LastPageRepeats(MaildirSession):
    async def messages(self, mailbox: str, page: PageRequest) -> MessagePage:
        found = await super().messages(mailbox, page)
        return found if found.messages else await super().messages(mailbox, replace(page, page=0))


@breaks("test_invented_cursor_is_refused")
class BadCursorIsTheFirstPage(MaildirSession):
    async def messages(self, mailbox: str, page: PageRequest) -> MessagePage:
        known = page.cursor is None or page.cursor.startswith("maildir_")
        return await super().messages(mailbox, page if known else replace(page, cursor=None))


@breaks("test_entry_tells_who_wrote_what")
class NamesAreNotDecoded(ChangedEntries):
    def entry(self, entry: MessageEntry) -> MessageEntry:
        assert entry.from_ is not None
        return replace(entry, from_=replace(entry.from_, name="=?utf-8?q?Zo=C3=AB?= Example"))


@breaks("test_entry_tells_who_wrote_what")
class CommaSplitsNames(ChangedEntries):
    def entry(self, entry: MessageEntry) -> MessageEntry:
        return replace(entry, to=tuple(replace(one, name=one.name.partition(",")[0]) for one in entry.to))


@breaks("test_detail_agrees_with_the_listing")
class DetailHasAnotherDate(MaildirSession):
    async def message(self, id: str, **kwargs: Any) -> MessageDetail:
        return replace(await super().message(id, **kwargs), date=datetime(1970, 1, 1, tzinfo=UTC))


@breaks("test_new_message_is_unseen_and_the_flags_say_so")
class UnseenIsForgotten(ChangedEntries):
    def entry(self, entry: MessageEntry) -> MessageEntry:
        return replace(entry, unseen=False)


@breaks("test_reading_leaves_a_message_unseen")
class ReadingMarks(MaildirSession):
    async def source(self, id: str) -> AsyncIterator[bytes]:
        await self.update_flags(id, FlagUpdate(add="\\Seen"))
        async for chunk in super().source(id):
            yield chunk


@breaks("test_dates_are_aware_and_of_the_delivery_or_the_header")
class NaiveDates(ChangedEntries):
    def entry(self, entry: MessageEntry) -> MessageEntry:
        assert entry.date is not None
        return replace(entry, date=entry.date.replace(tzinfo=None))


@breaks("test_dates_are_aware_and_of_the_delivery_or_the_header")
class LocalTimeTakenForUtc(ChangedEntries):
    def entry(self, entry: MessageEntry) -> MessageEntry:
        assert entry.date is not None
        return replace(entry, date=entry.date + timedelta(hours=2))


@breaks("test_size_is_the_number_of_octets")
class SizeCountsCharacters(ChangedEntries):
    def entry(self, entry: MessageEntry) -> MessageEntry:
        assert entry.size is not None
        return replace(entry, size=entry.size - 2)


@breaks("test_ids_are_stable")
class IdIsThePosition(MemorySession):
    def described(self, mailbox: str, stored: Any) -> dict[str, Any]:
        newest_first = self.box(mailbox)[::-1]
        return {**super().described(mailbox, stored), "id": f"p{newest_first.index(stored)}"}

    def find(self, id: str) -> tuple[str, Any]:
        return "INBOX", self.box("INBOX")[::-1][int(id.removeprefix("p"))]


@breaks("test_ids_are_stable")
class IdsEndWithTheSession(MemorySession):
    def described(self, mailbox: str, stored: Any) -> dict[str, Any]:
        return {**super().described(mailbox, stored), "id": f"{id(self)}-{stored.id}"}


@breaks("test_ids_fit_into_a_url")
class IdsHoldSlashes(ChangedEntries):
    def entry(self, entry: MessageEntry) -> MessageEntry:
        return replace(entry, id=f"INBOX/{entry.id}")


@breaks("test_malformed_id_is_refused", "message", "text", "source", "attachment")
class NativeErrorLeaks(MaildirSession):
    def _find(self, id: str) -> tuple[str, Path]:
        return super()._find(base64.urlsafe_b64encode(base64.b64decode(id + "==", b"-_", validate=True)).decode())

    async def attachment(self, id: str) -> AttachmentStream:
        message, part = id.split("~")
        return parse_message(self._find(message)[1].read_bytes()).open(part)


@breaks("test_malformed_id_is_refused", "message")
class UnknownIsEmpty(MaildirSession):
    async def message(self, id: str, **kwargs: Any) -> MessageDetail:
        try:
            return await super().message(id, **kwargs)
        except GatewayError:
            return MessageDetail(id=id)


@breaks("test_session_survives_a_permanent_error")
class BrokenByNotFound(MaildirSession):
    broken = False

    def _directory(self, mailbox: str, *, new: bool = False) -> Path:
        if self.broken:
            raise ServiceUnavailableError("the session is closed")
        try:
            return super()._directory(mailbox, new=new)
        except NotFoundError:
            self.broken = True
            raise


@breaks("test_secrets_are_never_shown")
class SecretInTheError(MaildirSession):
    async def message(self, id: str, **kwargs: Any) -> MessageDetail:
        try:
            return await super().message(id, **kwargs)
        except GatewayError:
            raise NotFoundError(f"LOGIN zoe {SECRET}: no such message") from None


@breaks("test_secrets_are_never_shown")
class SecretInTheCause(MaildirSession):
    async def messages(self, mailbox: str, page: PageRequest) -> MessagePage:
        try:
            raise OSError(f"LOGIN zoe {SECRET}")
        except OSError as error:
            raise NotFoundError("no such mailbox") from error


@breaks("test_secrets_are_never_shown")
class SecretInTheRepr(MaildirSession):
    def __repr__(self) -> str:
        return f"MaildirSession(password={SECRET!r})"
