"""Mailboxes that got another name.

Nobody tells renames: one mailbox is gone, another is there. Where both have the same id, or (IMAP) the same UIDVALIDITY
and messages in common, it is the same one (RFC 9051 section 6.3.6: a renamed mailbox may keep its UIDVALIDITY). Its
messages may have new ids then, but are no news; where there are no UIDs, their ids stay as well.
"""

from __future__ import annotations

from functools import partial

import msgspec

from gateway.errors import PermanentError
from gateway.model.event import EventName
from gateway.provider import MessageState, Session
from gateway.services.sync import payloads
from gateway.services.sync.collected import Collected, collect
from gateway.services.sync.owned import Owned
from gateway.services.sync.taking_in import Tools
from gateway.services.sync.writing import Writer
from gateway.store.events import EventFields, event_fields
from gateway.store.index import BoxRecord, KnownState


class Renaming:
    """Finds out where a mailbox that is new came from."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def follow(
        self, session: Session, owned: Owned, box: BoxRecord, vanished: dict[str, BoxRecord]
    ) -> BoxRecord | None:
        """Return the record of a mailbox that was renamed, None when it is a new one.

        What happened to its messages before it was renamed is told under the old name, where their ids change.

        Args:
            session: open.
            owned: the account.
            box: the mailbox that appeared.
            vanished: mailboxes that are gone, by path; the one that it was is taken out.

        Raises:
            FencedError: another worker owns the account.
            TransientError: the service could not be asked.
        """
        if all(old.uid_validity is None and old.mailbox_id is None for old in vanished.values()):
            return None
        try:
            found = await collect(session, box.path, None)
        except PermanentError:
            return None
        carried = box.mailbox_id is not None and found.uid_validity is None
        for old in [one for one in vanished.values() if _may_be(one, box, found)]:
            known = await self._tools.index.all_states(owned.account, old.path)
            common = {state.position for state in known.values()} & {one.position for one in found.changed.values()}
            if carried or common or not (known or found.changed):
                del vanished[old.path]
                return await self._renamed(owned, old, msgspec.structs.replace(box, top=old.top), found, known)
        return None

    async def _renamed(
        self, owned: Owned, old: BoxRecord, box: BoxRecord, found: Collected, known: dict[str, KnownState]
    ) -> BoxRecord:
        box = msgspec.structs.replace(box, uid_validity=found.uid_validity)
        carried = found.uid_validity is None
        if not carried:
            await self._settle(owned, old, found, known)
        if carried:
            await self._carry(owned, box.path, known)
            box = msgspec.structs.replace(box, state=old.state, count=len(known))
        box = msgspec.structs.replace(box, renamed_from=old.path)
        deleted = self._fields(owned, "mailboxDeleted", payloads.mailbox_deleted(old, renamed_to=box.path), old)
        appeared = self._fields(owned, "mailboxNew", payloads.mailbox_new(box, renamed_from=old.path), box)
        # At once: with one of them told, the next owner would take the mailbox for a new one.
        await self._tools.index.apply(owned.account, owned.epoch, box.path, box=box, events=[deleted, appeared])
        await self._tools.events.announce(owned.account)
        return await self.finish(owned, box)

    async def finish(self, owned: Owned, box: BoxRecord) -> BoxRecord:
        """Forget the old name of a mailbox whose renaming is told, and return its record from then on."""
        if box.renamed_from is not None:
            await self._tools.index.forget(owned.account, owned.epoch, box.renamed_from)
            box = msgspec.structs.replace(box, renamed_from=None)
            await self._tools.index.apply(owned.account, owned.epoch, box.path, box=box)
        return box

    async def _carry(self, owned: Owned, path: str, known: dict[str, KnownState]) -> None:
        """Know the messages under the new name as they were known: what happened since is found as always."""
        writer = Writer(self._tools.index, self._tools.events, owned, path)
        for id, state in known.items():
            message = MessageState(id=id, position=state.position, flags=state.flags, labels=state.labels)
            await writer.put(message, b"", email_id=state.email_id)
        await writer.flush()

    async def _settle(self, owned: Owned, old: BoxRecord, found: Collected, known: dict[str, KnownState]) -> None:
        """Tell what is gone or altered since the mailbox was last seen under its old name."""
        now = {message.position: message for message in found.changed.values()}
        writer = Writer(self._tools.index, self._tools.events, owned, old.path)
        make = partial(self._tools.events.make, account=owned.account, path=old.path, special_use=old.special_use)
        for id, state in known.items():
            message = now.get(state.position)
            if message is None:
                gone = payloads.message_deleted(id, state, None, uids=True)
                await writer.remove(id, make("messageDeleted", data=gone))
            elif not payloads.same(state, message):
                here = MessageState(id=id, position=state.position, flags=message.flags, labels=message.labels)
                updated = payloads.message_updated(state, here, None, uids=True)
                await writer.put(here, b"", make("messageUpdated", data=updated), email_id=state.email_id)
        await writer.flush()

    def _fields(self, owned: Owned, name: EventName, data: msgspec.Struct, box: BoxRecord) -> EventFields:
        event = self._tools.events.make(name, owned.account, data, path=box.path, special_use=box.special_use)
        return event_fields(event)


def _may_be(old: BoxRecord, box: BoxRecord, found: Collected) -> bool:
    if box.mailbox_id is not None and old.mailbox_id is not None:
        return old.mailbox_id == box.mailbox_id
    return old.uid_validity == found.uid_validity is not None
