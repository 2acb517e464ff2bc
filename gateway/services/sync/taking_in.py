"""What was found in a mailbox, and where it goes: into the index, and into the log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec
import structlog

from gateway.model.event import Event, EventName, MessageMissingData, MessageQuarantinedData
from gateway.model.message import MessageEntry
from gateway.provider import MessageState, Session
from gateway.services.bounced import BouncedService
from gateway.services.events import EventService
from gateway.services.sync import payloads
from gateway.services.sync.batches import DEATHS, Batch, Batches
from gateway.services.sync.collected import Collected, Difference, collect, difference
from gateway.services.sync.content import Content, ContentSettings
from gateway.services.sync.owned import Owned
from gateway.services.sync.reports import Reports
from gateway.services.sync.writing import SIZE, Writer
from gateway.store.index import DEPTH, BoxRecord, IndexStore

log = structlog.get_logger(__name__)

#: Seconds to wait before a message that is listed but not given out is asked for again.
MISSING_DELAYS = (1.0, 1.7, 2.89)

#: Messages read at a time while looking for recent ones.
_RECENT = 100

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a pass works with."""

    index: IndexStore
    events: EventService
    batches: Batches
    content: Content
    reports: Reports
    bounced: BouncedService
    sleep: Callable[[float], Awaitable[None]]


class TakingIn:
    """Takes in what one mailbox told.

    Attributes:
        writer: holds what is not written yet.
        count: messages that are known when everything is written.
    """

    def __init__(
        self, tools: Tools, session: Session, owned: Owned, box: BoxRecord, found: Collected, *, entries: bool
    ) -> None:
        """Prepare; see `MailboxSync.run`."""
        self._tools = tools
        self._session = session
        self._owned = owned
        self._box = box
        self._found = found
        self._entries = entries
        self._uids = found.uid_validity is not None
        self._wanted: ContentSettings | None = None
        self._late: dict[str, int] = {}
        self._first: dict[str, bool] = {}
        self._gone: set[str] = set()
        self.writer = Writer(tools.index, tools.events, owned, box.path)
        self.count = box.count

    async def everything(self) -> None:
        """Take in what is gone, what is changed and what is new."""
        account, path, index = self._owned.account, self._box.path, self._tools.index
        if self._found.complete:
            known = await index.all_states(account, path)
            self.count = len(known)
        else:
            known = await index.states(account, path, self._found.touched)
        what = difference(self._found, known)
        self.count += len(what.new) - len(what.gone)
        await self._take_out(what)
        await self._alter(what)
        await self._add(what.new)
        if self._entries and not self._box.entries:
            await self._fill()

    async def tell_new_only(self) -> None:
        """Tell of what lies above everything that was there before; nothing is kept of it."""
        new = [message for message in self._found.changed.values() if message.position > self._box.top]
        new.sort(key=lambda message: message.position)
        if self._box.announce == "nothing":
            return
        if self._box.announce == "recent":
            for entry in (await self._recent(new)).values():
                await self._tell(entry)
            return
        async for batch, _ in self._read(new):
            for entry in batch.entries.values():
                await self._tell(entry)
            await self.writer.done(batch)

    async def _take_out(self, what: Difference) -> None:
        for at in range(0, len(what.gone), SIZE):
            part = what.gone[at : at + SIZE]
            held = await self._held([id for id, _ in part])
            for id, state in part:
                data = payloads.message_deleted(id, state, payloads.read_entry(held.get(id)), uids=self._uids)
                await self.writer.remove(id, self._event("messageDeleted", data))

    async def _alter(self, what: Difference) -> None:
        for at in range(0, len(what.altered), SIZE):
            part = what.altered[at : at + SIZE]
            held = await self._held([message.id for _, message in part])
            for before, message in part:
                entry = payloads.read_entry(held.get(message.id))
                data = payloads.message_updated(before, message, entry, uids=self._uids)
                shown = b"" if entry is None else payloads.with_state(entry, message)
                event = self._event("messageUpdated", data)
                await self.writer.put(message, shown, event, email_id=before.email_id)

    async def _held(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Return the entries that the index holds, also of a mailbox that is not watched any more."""
        return await self._tools.index.entries(self._owned.account, self._box.path, ids)

    async def _add(self, new: Sequence[MessageState]) -> None:
        if self._box.announce in ("recent", "nothing"):
            # Of mail that is no news, only what is listed from the index has to be read.
            for message in new[:-DEPTH]:
                await self.writer.put(message, b"")
            new = new[-DEPTH:]
        if self._entries or self._box.announce in ("all", "above"):
            async for batch, states in self._read(new):
                for message in states:
                    await self._add_one(message, batch)
                await self.writer.done(batch)
            return
        recent = await self._recent(new) if self._box.announce == "recent" else {}
        for message in new:
            if message.id in self._gone:
                continue
            entry = recent.get(message.id)
            if entry is None:
                await self.writer.put(message, b"")
            else:
                news = await self._news(entry)
                await self.writer.put(_as_read(message, entry), b"", *news, email_id=entry.email_id)

    async def _add_one(self, message: MessageState, batch: Batch) -> None:
        entry = batch.entries.get(message.id)
        uid = message.position if self._uids else None
        if message.id in batch.quarantined:
            quarantined = MessageQuarantinedData(id=message.id, uid=uid, attempts=DEATHS, reason="unreadable")
            log.warning("message_quarantined", account=self._owned.account, message=message.id)
            await self.writer.put(message, _failed(message, uid), self._event("messageQuarantined", quarantined))
        elif entry is None:
            missing = MessageMissingData(id=message.id, uid=uid, **_lateness(len(MISSING_DELAYS)))
            await self.writer.put(message, _failed(message, uid), self._event("messageMissing", missing))
        else:
            shown = _encode(entry) if self._entries else b""
            news = await self._news(entry)
            await self.writer.put(_as_read(message, entry), shown, *news, email_id=entry.email_id)

    async def _recent(self, new: Sequence[MessageState]) -> dict[str, MessageEntry]:
        """Return what is not older than the account wants to be told of, in order.

        It is looked for from the newest on, so that the rest, which may be ten years of mail, need not be read.
        """
        parts: list[dict[str, MessageEntry]] = []
        for end in range(len(new), 0, -_RECENT):
            found: dict[str, MessageEntry] = {}
            async for batch, _ in self._read(new[max(0, end - _RECENT) : end]):
                found |= {id: entry for id, entry in batch.entries.items() if self._is_news(entry)}
                await self.writer.done(batch)
            if not found:
                break
            parts.append(found)
        return {id: entry for part in reversed(parts) for id, entry in part.items()}

    async def _fill(self) -> None:
        """Read the entries of messages that were known before the mailbox was watched."""
        await self.writer.flush()
        account, path, index = self._owned.account, self._box.path, self._tools.index
        ids = await index.without_entry(account, path)
        known = await index.states(account, path, ids)
        async for read in self._tools.batches.read(self._session, self._owned, path, ids):
            await self._see(read)
            batch = await self._with_bounces(read)
            for id in batch.asked:
                state, entry = known.get(id), batch.entries.get(id)
                if state is None or (entry is None and id not in batch.quarantined):
                    continue
                message = MessageState(id=id, position=state.position, flags=state.flags, labels=state.labels)
                uid = message.position if self._uids else None
                shown, email_id = (_failed(message, uid), None) if entry is None else (_encode(entry), entry.email_id)
                await self.writer.put(message, shown, email_id=email_id or state.email_id)
            await self.writer.done(batch)

    async def _read(self, new: Sequence[MessageState]) -> AsyncIterator[tuple[Batch, list[MessageState]]]:
        """Read messages batch by batch; those that are gone by now are left out, as they were never known."""
        by_id = {message.id: message for message in new}
        async for read in self._tools.batches.read(self._session, self._owned, self._box.path, list(by_id)):
            absent = [id for id in read.asked if id not in read.entries and id not in read.quarantined]
            batch, gone = await self._asked_again(read, absent) if absent else (read, frozenset())
            self.count -= len(gone)
            self._gone |= gone
            await self._see(batch)
            batch = await self._with_bounces(batch)
            yield batch, [by_id[id] for id in batch.asked if id not in gone]

    async def _asked_again(self, batch: Batch, absent: list[str]) -> tuple[Batch, frozenset[str]]:
        """Find out about messages that were listed but not given out: gone, late, or missing."""
        entries = dict(batch.entries)
        gone: set[str] = set()
        for retries, delay in enumerate((0.0, *MISSING_DELAYS)):
            if delay:
                await self._tools.sleep(delay)
                late = {entry.id: entry for entry in await self._session.entries(self._box.path, absent)}
                entries |= late
                self._late |= dict.fromkeys(late, retries)
            now = await collect(self._session, self._box.path, None)
            gone |= {id for id in absent if id not in now.changed}
            absent = [id for id in absent if id not in gone and id not in entries]
            if not absent:
                break
        return batch._replace(entries=entries), frozenset(gone)

    async def _see(self, batch: Batch) -> None:
        """Find out which messages nobody has seen in this account before."""
        ids = list(batch.entries)
        if ids:
            messages = [entry.message_id or entry.id for entry in batch.entries.values()]
            firsts = await self._tools.index.first_sights(self._owned.account, messages)
            self._first |= zip(ids, firsts, strict=True)

    async def _with_bounces(self, batch: Batch) -> Batch:
        """Have the entries that the index will hold say what is known of bounces: it is not asked for when listing."""
        if not self._entries:
            return batch
        shown = await self._tools.bounced.shown(self._owned.account, list(batch.entries.values()))
        return batch._replace(entries={entry.id: entry for entry in shown})

    async def _tell(self, entry: MessageEntry) -> None:
        await self.writer.tell(*await self._news(entry))

    async def _news(self, entry: MessageEntry) -> list[Event]:
        """Return `messageNew` and what the message reports, unless it is older than the account wants to be told of."""
        if not self._is_news(entry):
            return []
        if self._wanted is None:
            self._wanted = await self._tools.content.settings()
        data = await self._tools.content.message_new(
            self._session, entry, self._wanted, use=self._box.special_use, first=self._first[entry.id]
        )
        if retries := self._late.get(entry.id):
            data = msgspec.structs.replace(data, **_lateness(retries))
        reported = await self._tools.reports.read(self._session, self._owned, entry, self._box.special_use)
        data = msgspec.structs.replace(data, **reported.members)
        return [self._event("messageNew", data), *(self._event(name, about) for name, about in reported.events)]

    def _is_news(self, entry: MessageEntry) -> bool:
        if self._box.announce == "nothing":
            return False
        if self._box.announce == "above" and entry.uid is not None and entry.uid <= self._box.top:
            return False
        since = self._owned.notify_from
        # Servers tell whole seconds.
        return since is None or entry.date is None or entry.date >= since.replace(microsecond=0)

    def _event(self, name: EventName, data: msgspec.Struct) -> Event:
        return self._tools.events.make(
            name, self._owned.account, data, path=self._box.path, special_use=self._box.special_use
        )


def _as_read(message: MessageState, entry: MessageEntry) -> MessageState:
    """Return a message as it is announced: its flags may have changed since it was listed."""
    return MessageState(id=message.id, position=message.position, flags=entry.flags, labels=entry.labels)


def _lateness(retries: int) -> dict[str, int]:
    """Return what is told of a message that was listed and not given out; delay in milliseconds."""
    return {"missing_retries": retries, "missing_delay": round(sum(MISSING_DELAYS[:retries]) * 1000)}


def _failed(message: MessageState, uid: int | None) -> bytes:
    """Return what a listing shows of a message that cannot be read."""
    shown: dict[str, object] = {"id": message.id, "status": "failed", "error": "the message cannot be read"}
    return _encode(shown | ({"uid": uid} if uid is not None else {}))
