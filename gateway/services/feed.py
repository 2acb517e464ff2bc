"""The feed as listeners follow it: one reader for each process, however many listen."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import NamedTuple

import msgspec
import structlog
from redis.exceptions import RedisError

from gateway.model.account import ERROR_STATES
from gateway.redis import keys, open_client
from gateway.services.events import EventService, wire
from gateway.store.accounts import AccountStore
from gateway.store.events import EventStore, FeedEntry, order

log = structlog.get_logger(__name__)

#: Entries that are held for those who follow closely; whoever is further behind reads from Redis.
RECENT = 1000
#: Entries that a listener is given at once.
PAGE = 100

#: Milliseconds that the server lets the reader wait, and seconds after which a silent connection counts as gone.
_BLOCK, _SILENCE = 5000, 10.0
#: Seconds between attempts to reach a Redis that is away.
_RETRY_DELAY = 0.2


class Selection(NamedTuple):
    """What a listener wants: of one account or of all, these events, and changes of state."""

    account: str | None
    types: frozenset[str]

    def takes(self, entry: FeedEntry) -> bool:
        """Tell whether an entry belongs to it."""
        return self.account in (None, entry.account) and (bool(entry.state) or entry.name in self.types)


class FeedReader:
    """Reads the feed while somebody listens; what a listener needs of the past it reads by itself."""

    def __init__(self, store: EventStore, accounts: AccountStore, events: EventService, url: str) -> None:
        """Take the stores, and the address of the control tier for the connection that waits."""
        self._store = store
        self._accounts = accounts
        self._events = events
        self._client = open_client(url, blocking=True)
        self._recent: deque[FeedEntry] = deque()
        self._start = self._end = ""  # `_recent` is all that lies between; empty while nobody reads
        self._news = asyncio.Event()
        self._listeners = 0
        self._task: asyncio.Task[None] | None = None
        self.closed = False

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Have the feed read inside this context."""
        self._listeners += 1
        if self._task is None:
            self._task = asyncio.create_task(self._read())
        try:
            yield
        finally:
            self._listeners -= 1
            if self._listeners == 0:
                await self._stop()

    async def end(self) -> str:
        """Return where the feed ends now."""
        return await self._store.feed_end()

    async def follow(self, after: str, timeout: float) -> list[FeedEntry]:
        """Return up to `PAGE` entries behind one, waiting for the first of them up to `timeout` seconds."""
        news = self._news
        if not self._end or order(after) < order(self._start):
            if found := await self._store.feed(after=after, limit=PAGE):
                return found
        elif order(after) < order(self._end):
            return self._behind(after)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await news.wait()
        return []

    async def frames(self, entries: list[FeedEntry], selection: Selection, service_url: str | None) -> list[bytes]:
        """Return the entries that were selected as events of a stream (HTML standard, section 9.2.6)."""
        wanted = [entry for entry in entries if selection.takes(entry)]
        contents = await asyncio.gather(*map(self._content, wanted))
        return [
            _frame(entry, content, service_url)
            for entry, content in zip(wanted, contents, strict=True)
            if entry.state or content
        ]

    async def _content(self, entry: FeedEntry) -> bytes | None:
        """Return the event, or the error that a change of state tells of, JSON; None when there is none any more."""
        if not entry.state:
            return await self._events.content(entry)
        if entry.state not in ERROR_STATES:
            return None
        state, error = await self._accounts.state(entry.account) or (None, None)
        return msgspec.json.encode(error) if error is not None and state == entry.state else None

    def close(self) -> None:
        """End every stream; those who listen find `closed` set."""
        self.closed = True
        self._wake()

    async def aclose(self) -> None:
        """Stop reading and close the connection."""
        self.close()
        await self._stop()
        await self._client.aclose()

    def _behind(self, after: str) -> list[FeedEntry]:
        place, last = order(after), len(self._recent)
        first = last
        while first > 0 and order(self._recent[first - 1].id) > place:
            first -= 1
        return [self._recent[index] for index in range(first, min(last, first + PAGE))]

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._task is None:
            self._recent.clear()
            self._start = self._end = ""

    async def _read(self) -> None:
        away = False
        while True:
            try:
                if not self._end:
                    self._start = self._end = await self._store.feed_end()
                async with asyncio.timeout(_SILENCE):
                    await self._client.xread({keys.FEED: self._end}, count=1, block=_BLOCK)
                self._take(await self._store.feed(after=self._end, limit=RECENT))
                away = False
            except (RedisError, OSError, TimeoutError) as error:
                if not away:
                    log.warning("feed_lost", error=type(error).__name__)
                away = True
                await asyncio.sleep(_RETRY_DELAY)

    def _take(self, entries: list[FeedEntry]) -> None:
        if not entries:
            return
        self._recent.extend(entries)
        self._end = entries[-1].id
        while len(self._recent) > RECENT:
            self._start = self._recent.popleft().id
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class _Change(msgspec.Struct, frozen=True):
    """What one event of a stream holds."""

    account: str
    type: str
    key: str
    payload: msgspec.Raw


_NULL = msgspec.Raw(b"null")


def _frame(entry: FeedEntry, content: bytes | None, service_url: str | None) -> bytes:
    if entry.state:
        payload = msgspec.Raw(b'{"error":' + content + b"}") if content else _NULL
        change = _Change(entry.account, "state", entry.state, payload)
    else:
        change = _Change(entry.account, "event", entry.name, msgspec.Raw(wire(content or b"", service_url)))
    return b"id: %b\nevent: message\ndata: %b\n\n" % (entry.id.encode(), msgspec.json.encode(change))
