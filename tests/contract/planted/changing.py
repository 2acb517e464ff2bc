"""Bugs in changes to messages."""

from __future__ import annotations

from typing import Any

from gateway.errors import NotFoundError
from gateway.model.message import AppendResult, FlagUpdate, MessageDetail
from gateway.provider import MessageSource
from gateway_maildir import MaildirSession, files
from tests.contract.memory_provider import MemorySession
from tests.contract.planting import breaks


@breaks("test_flags_are_added_and_deleted_independently")
class AddingOverwrites(MaildirSession):
    async def update_flags(self, id: str, update: FlagUpdate) -> tuple[str, ...]:
        return await super().update_flags(id, FlagUpdate(set=update.add or ()))


@breaks("test_flags_are_added_and_deleted_independently")
class AnswersWhatWasAsked(MaildirSession):
    async def update_flags(self, id: str, update: FlagUpdate) -> tuple[str, ...]:
        await super().update_flags(id, update)
        return tuple(files.low(update.add))


@breaks("test_setting_flags_replaces_them")
class SetAdds(MaildirSession):
    async def update_flags(self, id: str, update: FlagUpdate) -> tuple[str, ...]:
        return await super().update_flags(id, FlagUpdate(add=update.set or update.add, delete=update.delete))


@breaks("test_id_survives_a_change_of_flags")
class IdHoldsTheFlags(MemorySession):
    def described(self, mailbox: str, stored: Any) -> dict[str, Any]:
        return {**super().described(mailbox, stored), "id": f"{stored.id}-{len(stored.flags)}"}

    def find(self, id: str) -> tuple[str, Any]:
        mailbox, stored = super().find(id.partition("-")[0])
        if self.described(mailbox, stored)["id"] != id:
            raise NotFoundError("no such message")
        return mailbox, stored


@breaks("test_reading_marks_as_seen_when_asked")
class MarkIsIgnored(MaildirSession):
    async def message(self, id: str, **kwargs: Any) -> MessageDetail:
        return await super().message(id, **{**kwargs, "mark_as_seen": False})


@breaks("test_labels_are_added_and_deleted")
class LabelsAreFlags(MemorySession):
    async def update_labels(self, id: str, update: FlagUpdate) -> tuple[str, ...]:
        return await self.update_flags(id, update)


@breaks("test_moved_message_leaves_and_arrives")
class MoveIsACopy(MaildirSession):
    async def move(self, id: str, mailbox: str) -> str:
        return await self.copy(id, mailbox)


@breaks("test_moved_message_leaves_and_arrives")
class MoveTellsTheOldId(MaildirSession):
    async def move(self, id: str, mailbox: str) -> str:
        await super().move(id, mailbox)
        return id


@breaks("test_moved_message_leaves_and_arrives")
class MoveLosesTheMessage(MaildirSession):
    async def move(self, id: str, mailbox: str) -> str:
        await self.delete(id)
        return files.encode(mailbox, "lost")


@breaks("test_moving_to_an_unknown_mailbox_keeps_the_message")
class DeletesBeforeItCopies(MemorySession):
    async def move(self, id: str, mailbox: str) -> str:
        octets = self.find(id)[1].octets
        await self.delete(id)
        self.box(mailbox)
        return self.service.store(mailbox, octets).id


@breaks("test_moving_to_an_unknown_mailbox_keeps_the_message")
class MoveCreatesMailboxes(MaildirSession):
    async def move(self, id: str, mailbox: str) -> str:
        await self.create_mailbox(mailbox)
        return await super().move(id, mailbox)


@breaks("test_copied_message_stays_and_arrives")
class CopyIsAMove(MaildirSession):
    async def copy(self, id: str, mailbox: str) -> str:
        return await self.move(id, mailbox)


@breaks("test_copied_message_stays_and_arrives")
class CopySharesTheId(MemorySession):
    async def copy(self, id: str, mailbox: str) -> str:
        self.box(mailbox).append(self.find(id)[1])
        return id


@breaks("test_deleted_message_is_gone")
class DeleteOnlyMarks(MaildirSession):
    async def delete(self, id: str) -> None:
        await self.update_flags(id, FlagUpdate(add="\\Deleted"))


@breaks("test_deleted_message_is_gone")
class DeleteEmptiesTheMailbox(MaildirSession):
    async def delete(self, id: str) -> None:
        for file in self._files(self._find(id)[0]):
            file.unlink()


@breaks("test_deleted_message_is_gone")
class DeletingTwiceSucceeds(MaildirSession):
    async def delete(self, id: str) -> None:
        try:
            await super().delete(id)
        except NotFoundError:
            return


@breaks("test_stored_message_is_unchanged")
class StoresAReserializedMessage(MaildirSession):
    async def append(self, mailbox: str, message: bytes | MessageSource, **kwargs: Any) -> AppendResult:
        octets = await MessageSource.of(message).octets()
        return await super().append(mailbox, octets.replace(b"\t second", b" second"), **kwargs)


@breaks("test_stored_message_is_unchanged")
class StoredAsUnseen(MaildirSession):
    async def append(self, mailbox: str, message: bytes | MessageSource, **kwargs: Any) -> AppendResult:
        return await super().append(mailbox, message, **{**kwargs, "flags": ()})


@breaks("test_stored_message_keeps_its_date")
class DateIgnored(MaildirSession):
    async def append(self, mailbox: str, message: bytes | MessageSource, **kwargs: Any) -> AppendResult:
        return await super().append(mailbox, message, **{**kwargs, "date": None})


@breaks("test_message_that_comes_in_pieces_is_stored_whole")
class StoresTheFirstPiece(MaildirSession):
    async def append(self, mailbox: str, message: bytes | MessageSource, **kwargs: Any) -> AppendResult:
        return await super().append(mailbox, await anext(MessageSource.of(message).chunks()), **kwargs)


@breaks("test_storing_in_an_unknown_mailbox_is_not_found")
class AppendCreatesMailboxes(MaildirSession):
    async def append(self, mailbox: str, message: bytes | MessageSource, **kwargs: Any) -> AppendResult:
        await self.create_mailbox(mailbox)
        return await super().append(mailbox, message, **kwargs)
