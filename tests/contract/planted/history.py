"""Bugs in what changed since a state."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.errors import NotFoundError, PermanentError
from gateway.provider import Changes, PollWatch, Watch
from gateway_maildir import MaildirSession
from tests.contract.memory_provider import MemorySession
from tests.contract.planting import breaks


class ChangedChanges(MaildirSession):
    """A base for bugs in changes."""

    def change(self, changes: Changes) -> Changes:
        raise NotImplementedError

    async def changes(self, mailbox: str, since: str | None) -> Changes:
        found = await super().changes(mailbox, since)
        return found if since is None else self.change(found)


@breaks("test_first_state_reports_nothing")
class EverythingIsNewAtFirst(MaildirSession):
    async def changes(self, mailbox: str, since: str | None) -> Changes:
        found = await super().changes(mailbox, since)
        return found if since is not None else replace(found, created=tuple(str(file) for file in self._files(mailbox)))


@breaks("test_new_messages_are_created_exactly_once")
class OnlyTheNewestIsNew(ChangedChanges):
    def change(self, changes: Changes) -> Changes:
        return replace(changes, created=changes.created[-1:])


@breaks("test_new_messages_are_created_exactly_once")
class CreatedAndUpdated(ChangedChanges):
    def change(self, changes: Changes) -> Changes:
        return replace(changes, updated=changes.created)


@breaks("test_new_messages_are_created_exactly_once")
class StateStandsStill(MaildirSession):
    async def changes(self, mailbox: str, since: str | None) -> Changes:
        found = await super().changes(mailbox, since)
        return replace(found, state=since or found.state)


@breaks("test_asking_again_from_an_old_state_gives_the_same")
class ForgetsWhatItTold(MaildirSession):
    told: tuple[str, ...] = ()

    async def changes(self, mailbox: str, since: str | None) -> Changes:
        found = await super().changes(mailbox, since)
        new = tuple(id for id in found.created if id not in self.told)
        self.told += new
        return replace(found, created=new)


@breaks("test_changed_flags_are_an_update_exactly_once")
class FlagsGoUnnoticed(ChangedChanges):
    def change(self, changes: Changes) -> Changes:
        return replace(changes, updated=())


@breaks("test_changed_flags_are_an_update_exactly_once")
class UpdateIsANewMessage(ChangedChanges):
    def change(self, changes: Changes) -> Changes:
        return replace(changes, created=(*changes.created, *changes.updated), updated=())


@breaks("test_deleted_message_is_removed_exactly_once")
class RemovalGoesUnnoticed(ChangedChanges):
    def change(self, changes: Changes) -> Changes:
        return replace(changes, removed=())


@breaks("test_deleted_message_is_removed_exactly_once")
class RemovedUnderAnotherId(ChangedChanges):
    def change(self, changes: Changes) -> Changes:
        return replace(changes, removed=tuple(f"{id}0" for id in changes.removed))


@breaks("test_state_outlives_the_session")
class StateIsInTheSession(MaildirSession):
    states: dict[str, str] | None = None

    async def changes(self, mailbox: str, since: str | None) -> Changes:
        self.states = self.states or {}
        found = await super().changes(mailbox, self.states.get(since or ""))
        self.states[f"s{len(self.states)}"] = found.state
        return replace(found, state=f"s{len(self.states) - 1}")


@breaks("test_unusable_state_expires")
class BadStateIsTheFirst(MaildirSession):
    async def changes(self, mailbox: str, since: str | None) -> Changes:
        try:
            return await super().changes(mailbox, since)
        except PermanentError:
            return await super().changes(mailbox, None)


@breaks("test_changes_of_an_unknown_mailbox_are_not_found")
class UnknownMailboxNeverChanges(MaildirSession):
    async def changes(self, mailbox: str, since: str | None) -> Changes:
        try:
            return await super().changes(mailbox, since)
        except NotFoundError:
            return Changes(state=since or "0")


@breaks("test_watch_tells_when_to_ask")
class PollsAllTheTime(MaildirSession):
    async def watch(self, mailbox: str) -> Watch:
        return PollWatch(period=0)


@breaks("test_watch_tells_when_to_ask")
class WatchBreaksTheSession(MemorySession):
    async def watch(self, mailbox: str) -> Watch:
        watch = await super().watch(mailbox)
        self.service.network = "hang-up"
        return watch
