"""Bugs in mailboxes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from gateway.errors import NotFoundError, PermanentError, ServiceUnavailableError
from gateway.model.message import Mailbox, MailboxStatus
from gateway.provider import MessagePage, PageRequest
from gateway_maildir import MaildirSession
from tests.contract.memory_provider import MemorySession
from tests.contract.planting import breaks


class ChangedMailboxes(MaildirSession):
    """A base for bugs in the list of mailboxes."""

    def change(self, found: list[Mailbox]) -> list[Mailbox]:
        raise NotImplementedError

    async def mailboxes(self, *, counters: bool = False) -> Sequence[Mailbox]:
        return self.change(list(await super().mailboxes(counters=counters)))


@breaks("test_check_succeeds")
class CheckOnlyOnce(MaildirSession):
    checked = False

    async def check(self) -> None:
        if self.checked:
            raise ServiceUnavailableError("logged in already")
        self.checked = True


@breaks("test_exactly_one_inbox_and_it_comes_first")
class InboxComesLast(ChangedMailboxes):
    def change(self, found: list[Mailbox]) -> list[Mailbox]:
        return found[::-1]


@breaks("test_exactly_one_inbox_and_it_comes_first")
class TwoInboxes(ChangedMailboxes):
    def change(self, found: list[Mailbox]) -> list[Mailbox]:
        return [replace(mailbox, special_use="\\Inbox") for mailbox in found]


@breaks("test_mailbox_paths_are_unique_and_their_parents_listed")
class MailboxListedTwice(ChangedMailboxes):
    def change(self, found: list[Mailbox]) -> list[Mailbox]:
        return [*found, found[-1]]


@breaks("test_mailbox_paths_are_unique_and_their_parents_listed")
class ParentIsNotListed(ChangedMailboxes):
    def change(self, found: list[Mailbox]) -> list[Mailbox]:
        return [*found[:-1], replace(found[-1], parent_path="Somewhere")]


@breaks("test_every_listed_mailbox_can_be_opened")
class ListsNameInsteadOfPath(ChangedMailboxes):
    def change(self, found: list[Mailbox]) -> list[Mailbox]:
        return [*found, Mailbox(path="Shared/Team", name="Team")]


@breaks("test_counters_are_counted_when_asked_for")
class CountsOnlyTheSeen(ChangedMailboxes):
    def change(self, found: list[Mailbox]) -> list[Mailbox]:
        return [m if m.status is None else replace(m, status=replace(m.status, unseen=0)) for m in found]


@breaks("test_counters_are_counted_when_asked_for")
class CountsUnasked(ChangedMailboxes):
    def change(self, found: list[Mailbox]) -> list[Mailbox]:
        return [replace(mailbox, status=MailboxStatus(messages=2, unseen=2)) for mailbox in found]


@breaks("test_unknown_mailbox_is_not_found")
class UnknownMailboxIsEmpty(MaildirSession):
    async def messages(self, mailbox: str, page: PageRequest) -> MessagePage:
        try:
            return await super().messages(mailbox, page)
        except NotFoundError:
            return MessagePage(total=0, page=0, messages=())


@breaks("test_unknown_mailbox_is_not_found")
class PathLeadsOut(MaildirSession):
    def _directory(self, mailbox: str, *, new: bool = False) -> Path:
        return self._root if mailbox == "../INBOX" else super()._directory(mailbox, new=new)


@breaks("test_mailbox_is_created_once")
class CreatingAgainFails(MaildirSession):
    async def create_mailbox(self, path: str) -> bool:
        if not await super().create_mailbox(path):
            raise PermanentError("it exists")
        return True


@breaks("test_mailbox_is_created_once")
class AlwaysSaysCreated(MaildirSession):
    async def create_mailbox(self, path: str) -> bool:
        await super().create_mailbox(path)
        return True


@breaks("test_renamed_mailbox_keeps_its_messages")
class RenameCreatesAnEmptyOne(MaildirSession):
    async def rename_mailbox(self, path: str, new_path: str) -> None:
        await self.delete_mailbox(path)
        await self.create_mailbox(new_path)


@breaks("test_renamed_mailbox_keeps_its_messages")
class RenameKeepsTheOldOne(MaildirSession):
    async def rename_mailbox(self, path: str, new_path: str) -> None:
        shutil.copytree(self._directory(path), self._directory(new_path, new=True))


@breaks("test_mailbox_path_is_the_listed_one")
class AnswersAnotherPath(MaildirSession):
    async def mailbox_path(self, path: str) -> str:
        return path.lower()


@breaks("test_deleted_mailbox_is_gone")
class DeleteEmptiesOnly(MaildirSession):
    async def delete_mailbox(self, path: str) -> None:
        for file in self._files(path):
            file.unlink()


@breaks("test_deleted_mailbox_is_gone")
class DeleteHidesOnly(MemorySession):
    async def delete_mailbox(self, path: str) -> None:
        self.service.mailboxes[f"hidden {path}"] = self.box(path)
        del self.service.mailboxes[path]

    async def create_mailbox(self, path: str) -> bool:
        self.service.mailboxes[path] = self.service.mailboxes.pop(f"hidden {path}", [])
        return True


@breaks("test_changing_an_unknown_mailbox_is_not_found")
class DeletingNothingSucceeds(MaildirSession):
    async def delete_mailbox(self, path: str) -> None:
        if any(mailbox.path == path for mailbox in await self.mailboxes()):
            await super().delete_mailbox(path)


@breaks("test_subscriptions_are_kept_and_told")
class SubscriptionsAreNotKept(MemorySession):
    async def subscribe_mailbox(self, path: str, subscribed: bool) -> None:
        self.box(path)


@breaks("test_subscriptions_are_kept_and_told")
class RenamedIsSubscribed(MemorySession):
    async def rename_mailbox(self, path: str, new_path: str) -> None:
        await super().rename_mailbox(path, new_path)
        self.service.unsubscribed.discard(new_path)


@breaks("test_subscribing_an_unknown_mailbox_is_not_found")
class AnythingIsSubscribed(MemorySession):
    async def subscribe_mailbox(self, path: str, subscribed: bool) -> None:
        return
