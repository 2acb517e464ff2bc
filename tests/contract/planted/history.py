"""Bugs in what changed since a state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from gateway.errors import NotFoundError, PermanentError
from gateway.model.message import MessageEntry
from gateway.provider import Changes, MailboxChanges, PollWatch, Watch
from gateway_maildir import MaildirSession
from tests.contract.memory_provider import MemorySession
from tests.contract.memory_watch import MemoryWatch
from tests.contract.planting import breaks


class ChangedChanges(MemorySession):
    """A base for bugs in changes after the first."""

    def change(self, changes: Changes) -> Changes:
        raise NotImplementedError

    async def changes(self, mailbox: str, since: str | None) -> Changes:
        found = await super().changes(mailbox, since)
        return found if since is None else self.change(found)


@breaks("test_first_answer_is_complete")
class SaysNothingAtFirst(MaildirSession):
    async def changes(self, mailbox: str, since: str | None) -> Changes:
        found = await super().changes(mailbox, since)
        return found if since is not None else replace(found, changed=(), complete=False)


@breaks("test_first_answer_is_complete")
class FirstAnswerOfManyIsTheLast(MemorySession):
    async def changes(self, mailbox: str, since: str | None) -> Changes:
        return replace(await super().changes(mailbox, since), more=False)


@breaks("test_first_answer_is_complete")
class OldestHasTheHighestPosition(MaildirSession):
    async def changes(self, mailbox: str, since: str | None) -> Changes:
        found = await super().changes(mailbox, since)
        return replace(found, changed=tuple(replace(one, position=2**53 - one.position) for one in found.changed))


@breaks("test_new_messages_are_new_exactly_once")
class OnlyTheNewestIsNew(MaildirSession):
    async def changes(self, mailbox: str, since: str | None) -> Changes:
        found = await super().changes(mailbox, since)
        return found if since is None else replace(found, changed=found.changed[-1:], complete=False)


@breaks("test_new_messages_are_new_exactly_once")
class CompleteWithoutTheRest(ChangedChanges):
    def change(self, changes: Changes) -> Changes:
        return replace(changes, complete=True)


@breaks("test_new_messages_are_new_exactly_once")
class NewOnesBlink(ChangedChanges):
    def change(self, changes: Changes) -> Changes:
        return changes if changes.changed else replace(changes, removed=(f"m{changes.state}",))


@breaks("test_asking_again_from_an_old_state_gives_the_same")
class ForgetsWhatItTold(ChangedChanges):
    told: tuple[str, ...] = ()

    def change(self, changes: Changes) -> Changes:
        new = tuple(one for one in changes.changed if one.id not in self.told)
        self.told += tuple(one.id for one in new)
        return replace(changes, changed=new)


@breaks("test_changed_flags_are_an_update_exactly_once")
class FlagsGoUnnoticed(MaildirSession):
    async def changes(self, mailbox: str, since: str | None) -> Changes:
        found = await super().changes(mailbox, since)
        return replace(found, changed=tuple(replace(one, flags=()) for one in found.changed))


@breaks("test_changed_flags_are_an_update_exactly_once")
class UpdateIsANewMessage(ChangedChanges):
    def change(self, changes: Changes) -> Changes:
        return replace(changes, changed=tuple(replace(one, id=f"{one.id}0") for one in changes.changed))


@breaks("test_changed_labels_are_an_update_exactly_once")
class LabelsGoUnnoticed(MemorySession):
    async def changes(self, mailbox: str, since: str | None) -> Changes:
        found = await super().changes(mailbox, since)
        return replace(found, changed=tuple(replace(one, labels=()) for one in found.changed))


@breaks("test_deleted_message_is_gone_exactly_once")
class RemovalGoesUnnoticed(ChangedChanges):
    def change(self, changes: Changes) -> Changes:
        return replace(changes, removed=())


@breaks("test_deleted_message_is_gone_exactly_once")
class RemovedUnderAnotherId(ChangedChanges):
    def change(self, changes: Changes) -> Changes:
        return replace(changes, removed=tuple(f"{id}0" for id in changes.removed))


@breaks("test_state_outlives_the_session")
class StateIsInTheSession(MemorySession):
    states: dict[str | None, str] | None = None

    async def changes(self, mailbox: str, since: str | None) -> Changes:
        self.states = self.states or {}
        known = self.states.get(since)
        found = await super().changes(mailbox, known)
        if since is not None and known is None:  # another session's
            found = Changes(state=found.state)
        state = f"s{len(self.states)}"
        self.states[state] = found.state
        return replace(found, state=state)


@breaks("test_unusable_state_expires")
class BadStateIsTheFirst(MaildirSession):
    async def changes(self, mailbox: str, since: str | None) -> Changes:
        try:
            return await super().changes(mailbox, since)
        except PermanentError:
            return await super().changes(mailbox, None)


@breaks("test_mailbox_made_anew_holds_nothing_of_the_old_one")
class OldMessagesHauntTheMailbox(MemorySession):
    async def delete_mailbox(self, path: str) -> None:
        history = list(self.service.history)
        await super().delete_mailbox(path)
        self.service.history[:] = history


@breaks("test_changes_of_an_unknown_mailbox_are_not_found")
class UnknownMailboxNeverChanges(MaildirSession):
    async def changes(self, mailbox: str, since: str | None) -> Changes:
        try:
            return await super().changes(mailbox, since)
        except NotFoundError:
            return Changes(state=since or "0")


@breaks("test_entries_of_changed_messages_are_those_of_the_listing")
class EntriesWithoutAttachments(MemorySession):
    async def entries(self, mailbox: str, ids: Sequence[str]) -> Sequence[MessageEntry]:
        return [replace(entry, attachments=()) for entry in await super().entries(mailbox, ids)]


@breaks("test_entries_of_changed_messages_are_those_of_the_listing")
class EveryEntryThereIs(MaildirSession):
    async def entries(self, mailbox: str, ids: Sequence[str]) -> Sequence[MessageEntry]:
        return await super().entries(mailbox, [one.id for one in (await self.changes(mailbox, None)).changed])


@breaks("test_entries_of_messages_that_are_gone_are_left_out")
class OneGoneSpoilsTheRest(MaildirSession):
    async def entries(self, mailbox: str, ids: Sequence[str]) -> Sequence[MessageEntry]:
        found = await super().entries(mailbox, ids)
        return found if len(found) == len(ids) else []


@breaks("test_revisions_differ_where_something_happened")
class RevisionStandsStill(MaildirSession):
    async def revisions(self) -> Mapping[str, str | None]:
        return dict.fromkeys(await super().revisions(), "1")


@breaks("test_revisions_differ_where_something_happened")
class OneRevisionForAll(MemorySession):
    async def revisions(self) -> Mapping[str, str | None]:
        return dict.fromkeys(await super().revisions(), str(len(self.service.history)))


@breaks("test_changes_of_mailboxes_are_told_exactly_once")
class RenamesGoUnnoticed(MemorySession):
    async def mailbox_changes(self, since: str | None) -> MailboxChanges:
        now = str(len(self.service.mailboxes))
        return MailboxChanges(state=now, changed=since not in (None, now))


@breaks("test_changes_of_mailboxes_are_told_exactly_once")
class TellsTheSameForEver(MemorySession):
    async def mailbox_changes(self, since: str | None) -> MailboxChanges:
        found = await super().mailbox_changes(since)
        return found if since is None else replace(found, state=since)


@breaks("test_messages_do_not_change_mailboxes")
class CountersAreChanges(MemorySession):
    async def mailbox_changes(self, since: str | None) -> MailboxChanges:
        now = str({path: len(box) for path, box in self.service.mailboxes.items()})
        return MailboxChanges(state=now, changed=since not in (None, now))


@breaks("test_unusable_state_of_mailboxes_is_no_error")
class InsistsOnItsState(MemorySession):
    async def mailbox_changes(self, since: str | None) -> MailboxChanges:
        if since is not None and "INBOX" not in since:
            raise PermanentError("not a state")
        return await super().mailbox_changes(since)


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


class AlwaysAnsweredWatch(MemoryWatch):
    @property
    def answered(self) -> bool:
        return True


@breaks("test_watch_answers_a_probe")
class ProbesNothing(MemorySession):
    async def watch(self, mailbox: str) -> Watch:
        return AlwaysAnsweredWatch(self.service.hang_bell())
