"""Events: make them, log them, and tell listeners."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from uuid import uuid4

import msgspec

from gateway.model.event import AccountEventData, Event, EventName
from gateway.model.message import SpecialUse
from gateway.provider import Clock
from gateway.store.accounts import AccountConfig
from gateway.store.events import BATCH, FIRST, EventStore, FeedEntry

_encode = msgspec.json.Encoder().encode


class EventService:
    """The events of this installation.

    Attributes:
        on_announced: called with an account in whose log there is something new. It is called again when there may
            be something that the listeners of a process that died were not told.
        on_deleted: called with an account that is about to be erased, and the event that says so.
    """

    def __init__(self, store: EventStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._announced: dict[str, str] = {}
        self.on_announced: list[Callable[[str], Awaitable[None]]] = []
        self.on_deleted: list[Callable[[AccountConfig, Event], Awaitable[None]]] = []

    def make(
        self,
        event: EventName,
        account: str,
        data: msgspec.Struct,
        *,
        path: str | None = None,
        special_use: SpecialUse | None = None,
    ) -> Event:
        """Make an event of now; nothing is stored. `data` is the struct of `gateway.model.event` that belongs to it."""
        return Event(
            account=account,
            date=self._clock(),
            path=path,
            special_use=special_use,
            event=event,
            event_id=uuid4().hex,
            data=msgspec.Raw(_encode(data)),
        )

    async def append(self, account: str, events: Sequence[Event]) -> None:
        """Log events that do not come out of the index, and announce them; nothing happens if the account is gone."""
        if events and await self._store.append(account, events):
            await self.announce(account)

    async def announce(self, account: str) -> None:
        """Announce what was written to an account's log; to be called after every script that wrote events."""
        mark = self._announced.get(account)
        known = mark is not None
        mark = mark or await self._store.announced(account)
        told = 0
        while True:
            last, entries = await self._store.behind(account, mark)
            if entries:
                told += await self._store.announce(account, entries)
                mark = entries[-1][0]
            if len(entries) < BATCH:
                break
        self._announced[account] = mark
        if told or (not known and last != FIRST):
            for listener in self.on_announced:
                await listener(account)

    async def announce_missed(self, account: str) -> None:
        """Announce what a process that died may have left unannounced, and call the listeners in any case."""
        self._announced.pop(account, None)
        await self.announce(account)

    async def account_deleted(self, config: AccountConfig) -> None:
        """Tell that an account is about to be erased; its log goes with it, so the event is kept elsewhere."""
        event = self.make("accountDeleted", config.account, AccountEventData(account=config.account))
        for listener in self.on_deleted:
            await listener(config, event)
        await self._store.announce_deleted(event)

    async def forget(self, account: str) -> None:
        """Forget an account that was erased."""
        self._announced.pop(account, None)
        await self._store.forget(account)

    async def content(self, entry: FeedEntry) -> bytes | None:
        """Return the event that an entry of the feed names, JSON without `serviceUrl`; None when it is gone."""
        if not entry.logged:
            return entry.content or None
        logged = await self._store.get(entry.account, entry.logged)
        return logged.json if logged is not None else None

    async def log(
        self, account: str, types: AbstractSet[str], *, after: str, until: str, limit: int
    ) -> tuple[list[bytes], str | None]:
        """Read an account's log again.

        Args:
            account: whose.
            types: names of the events that are wanted; empty for all.
            after: id behind which to begin.
            until: id with which to end.
            limit: events at most.

        Returns:
            The events, JSON without `serviceUrl`, and the id behind which to go on, None when nothing was read.
        """
        found: list[bytes] = []
        place = None
        while True:
            entries = await self._store.read(account, after=place or after, until=until)
            for entry in entries:
                place = entry.id
                if not types or entry.name in types:
                    found.append(entry.json)
                if len(found) == limit:
                    return found, place
            if len(entries) < BATCH:
                return found, place

    async def log_of_all(
        self, types: AbstractSet[str], *, after: str, until: str, limit: int
    ) -> tuple[list[bytes], str | None]:
        """Read the logs of all accounts in the order of their announcement; ids are those of the feed. As `log`."""
        found: list[bytes] = []
        place = None
        while True:
            entries = await self._store.feed(after=place or after, until=until)
            wanted = [entry for entry in entries if entry.name and (not types or entry.name in types)]
            taken = wanted[: limit - len(found)]
            found += [content for content in await asyncio.gather(*map(self.content, taken)) if content]
            if len(found) == limit or len(taken) < len(wanted):
                place = taken[-1].id
            elif entries:
                place = entries[-1].id
            if len(found) == limit or (len(taken) == len(wanted) and len(entries) < BATCH):
                return found, place

    async def recent(self, account: str, limit: int) -> list[Event]:
        """Return the last events of an account, newest first."""
        return [msgspec.json.decode(logged.json, type=Event) for logged in await self._store.recent(account, limit)]

    async def counts(self, account: str) -> dict[str, int]:
        """Return how many events of each name an account has had."""
        return await self._store.counts(account)


def wire(event: bytes, service_url: str | None) -> bytes:
    """Return a logged event as it is sent to clients: with `serviceUrl` in front."""
    return b'{"serviceUrl":' + _encode(service_url) + b"," + event[1:]
