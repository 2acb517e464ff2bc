"""Bugs in changes to many messages at once."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.model.bulk import Sorted
from gateway.model.message import MessageUpdate, SearchQuery
from tests.contract.memory_provider import MemorySession
from tests.contract.planting import breaks


@breaks("test_search_for_ids_finds_what_a_search_finds")
class SearchForIdsIgnoresTheQuery(MemorySession):
    async def search_ids(self, mailbox: str, query: SearchQuery) -> Sequence[str]:
        return await super().search_ids(mailbox, SearchQuery())


@breaks("test_flags_of_many_are_changed")
class OnlyTheFirstIsChanged(MemorySession):
    async def update_many(self, ids: Sequence[str], update: MessageUpdate) -> Sorted:
        return await super().update_many(ids[:1], update)


@breaks("test_many_are_moved")
class MovesOfManyAreCopies(MemorySession):
    async def move_many(self, ids: Sequence[str], mailbox: str) -> Sorted:
        return Sorted(done={id: await self.copy(id, mailbox) for id in ids}, failed={})


@breaks("test_many_stay_when_there_is_no_such_mailbox")
class MoveOfManyDeletesFirst(MemorySession):
    async def move_many(self, ids: Sequence[str], mailbox: str) -> Sorted:
        return await self.delete_many(ids)


@breaks("test_many_are_deleted")
class DeletionOfManyIsOnlyTold(MemorySession):
    async def delete_many(self, ids: Sequence[str]) -> Sorted:
        return Sorted(done=dict.fromkeys(ids), failed={})


@breaks("test_message_that_is_gone_is_told_and_the_others_are_moved")
class MissingMessagesAreDropped(MemorySession):
    async def move_many(self, ids: Sequence[str], mailbox: str) -> Sorted:
        result = await super().move_many(ids, mailbox)
        return Sorted(done=result.done, failed={})
