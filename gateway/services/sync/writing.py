"""Collects what one pass over a mailbox found, and writes it in batches of index and events together."""

from __future__ import annotations

from gateway.model.event import Event
from gateway.provider import MessageState
from gateway.services.events import EventService
from gateway.services.sync.batches import Batch
from gateway.services.sync.owned import Owned
from gateway.store.events import EventFields, event_fields
from gateway.store.index import BoxRecord, IndexedMessage, IndexStore, KnownState

#: Messages written at once.
SIZE = 400


class Writer:
    """Writes for one mailbox; nothing is lost or told twice when it ends in the middle."""

    def __init__(self, index: IndexStore, events: EventService, owned: Owned, path: str) -> None:
        self._index = index
        self._events = events
        self._owned = owned
        self._path = path
        self._messages: list[IndexedMessage] = []
        self._removed: list[str] = []
        self._fields: list[EventFields] = []
        self._finished: list[str] = []

    async def put(self, now: MessageState, entry: bytes, *events: Event, email_id: str | None = None) -> None:
        """Take in a message that is new or changed; an empty entry leaves the one that is held."""
        state = KnownState(now.flags, now.labels, now.position, email_id)
        self._messages.append(IndexedMessage(now.id, state, entry))
        await self._note(*events)

    async def remove(self, id: str, event: Event) -> None:
        """Take out a message that is gone."""
        self._removed.append(id)
        await self._note(event)

    async def tell(self, *events: Event) -> None:
        """Log events that leave the index as it is."""
        await self._note(*events)

    async def done(self, batch: Batch) -> None:
        """Note that a batch of messages is through once everything so far is written."""
        self._finished.append(batch.mark)
        if batch.suspect:
            await self.flush()

    async def flush(self, *, box: BoxRecord | None = None) -> None:
        """Write what was collected, with the mailbox's new record, and announce it.

        Raises:
            FencedError: another worker owns the account.
        """
        if not (self._messages or self._removed or self._fields or self._finished or box):
            return
        messages, removed, fields, finished = self._messages, self._removed, self._fields, self._finished
        self._messages, self._removed, self._fields, self._finished = [], [], [], []
        await self._index.apply(
            self._owned.account,
            self._owned.epoch,
            self._path,
            messages=messages,
            removed=removed,
            events=fields,
            box=box,
            finished=finished,
        )
        if fields:
            await self._events.announce(self._owned.account)

    async def _note(self, *events: Event) -> None:
        self._fields += [event_fields(event) for event in events]
        if len(self._messages) + len(self._removed) + len(self._fields) > SIZE:
            await self.flush()
