"""Events: one log per account in the data tier, which is the truth, and one feed of all of them in the control tier.

An entry of a log holds the whole event. The feed says in which order entries were announced, names them, and tells
changes of state; listeners follow it. An entry is announced once: what was announced last is kept beside the feed and
moved on by the script that writes both. Whoever wrote to a log and died before announcing leaves it to the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeAlias

from gateway.model.event import Event
from gateway.redis import Script, keys
from gateway.store.metrics import COUNTING, EVENTS, WINDOW_MS, MetricsStore
from gateway.store.store import Store, to_json

#: Entries that an account's log keeps at most, and for how long; in a log without new ones, none is older either.
MAX_EVENTS = 100_000
KEPT = timedelta(days=7)
#: Entries that the feed keeps at most; none is much older than those of the logs.
FEED_LENGTH = 100_000
#: Entries announced at once.
BATCH = 500

#: Before every id, and behind every id.
FIRST, LAST = "0-0", "+"
_MOST = 2**64 - 1

#: Names and values of a log entry, as XADD takes them.
EventFields: TypeAlias = tuple[str, ...]

# An event that arises while its account is deleted must not bring a part of it back.
_APPEND = Script("""
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
-- A client whose connection broke sends it again.
for _, entry in ipairs(redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 50)) do
  if entry[2][4] == ARGV[5] then return 1 end
end
local at = 2
while at < #ARGV do
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, at, at + 5))
  at = at + 6
end
return 1
""")

# Return id, name, id, name, ... of what lies behind an id, and the last id of all; forget what is too old.
_BEHIND = Script("""
local now = redis.call('TIME')
redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f', now[1] * 1000 - ARGV[3]))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local found = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])) do
  found[#found + 1] = entry[1]
  found[#found + 1] = entry[2][2]
end
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
return { last and last[1] or '0-0', found }
""")

# KEYS: feed, marks, accounts, counts of the account, counters of the installation, what they were
# ARGV: account, length of the feed, milliseconds that it goes back, prefix of the counters, milliseconds for which what
#       they were is kept, id, name, ...
_ANNOUNCE = Script(
    f"{COUNTING}\n"
    """
if redis.call('HEXISTS', KEYS[3], ARGV[1]) == 0 then return 0 end
local function parts(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local ms, seq = parts(redis.call('HGET', KEYS[2], ARGV[1]) or '0-0')
local announced = 0
for at = 6, #ARGV, 2 do
  local entry_ms, entry_seq = parts(ARGV[at])
  if entry_ms > ms or (entry_ms == ms and entry_seq > seq) then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'a', ARGV[1], 's', ARGV[at], 'e', ARGV[at + 1])
    redis.call('HINCRBY', KEYS[4], ARGV[at + 1], 1)
    before_counting(KEYS[5], KEYS[6], ARGV[4], ARGV[5])
    redis.call('HINCRBY', KEYS[5], ARGV[4] .. ARGV[at + 1], 1)
    redis.call('HSET', KEYS[2], ARGV[1], ARGV[at])
    announced = announced + 1
  end
end
redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%.0f', redis.call('TIME')[1] * 1000 - ARGV[3]))
return announced
"""
)


class LoggedEvent(NamedTuple):
    """An entry of an account's log: its id there, and the event as JSON without `serviceUrl`."""

    id: str
    name: str
    event_id: str
    json: bytes


class FeedEntry(NamedTuple):
    """An entry of the feed.

    Attributes:
        id: in the feed; greater ids were announced later.
        account: whose.
        name: of the event; empty for a change of state.
        logged: id of the event in the account's log; empty when `content` is the event itself, as its log is gone.
        state: that the account is in now; empty for an event.
        content: of an event without a log the event, JSON; else empty. No more is held here of any account than its id,
            as the feed outlives accounts.
    """

    id: str
    account: str
    name: str
    logged: str
    state: str
    content: bytes


def event_fields(event: Event) -> EventFields:
    """Return an event as the fields of a log entry."""
    return ("e", event.event, "i", event.event_id, "d", to_json(event))


class EventStore:
    """The logs and the feed."""

    def __init__(self, store: Store, *, kept: timedelta = KEPT) -> None:
        self._store = store
        self._kept = int(kept.total_seconds() * 1000)

    # --- one account's log --------------------------------------------------------------------------------------------

    async def append(self, account: str, events: Sequence[Event]) -> bool:
        """Write events into an account's log, together; False when the account is gone."""
        fields = [part for event in events for part in event_fields(event)]
        names = [keys.account(account), keys.events(account)]
        return bool(await _APPEND.run(self._store.data, names, MAX_EVENTS, *fields))

    async def read(
        self, account: str, *, after: str = FIRST, until: str = LAST, limit: int = BATCH
    ) -> list[LoggedEvent]:
        """Return what lies behind an entry, oldest first, up to and with the entry `until`."""
        found = await self._store.data.call("XRANGE", keys.events(account), f"({after}", until, "COUNT", limit)
        return [_logged(entry) for entry in found]

    async def recent(self, account: str, limit: int) -> list[LoggedEvent]:
        """Return the last entries, newest first."""
        found = await self._store.data.call("XREVRANGE", keys.events(account), "+", "-", "COUNT", limit)
        return [_logged(entry) for entry in found]

    async def get(self, account: str, id: str) -> LoggedEvent | None:
        """Return one entry; None when it is gone."""
        found = await self._store.data.call("XRANGE", keys.events(account), id, id)
        return _logged(found[0]) if found else None

    async def behind(self, account: str, after: str) -> tuple[str, list[tuple[str, str]]]:
        """Return the last id of an account's log, and (id, name) of up to `BATCH` entries; drops what is too old."""
        last, found = await _BEHIND.run(self._store.data, [keys.events(account)], after, BATCH, self._kept)
        text = [part.decode() for part in found]
        return last.decode(), list(zip(text[::2], text[1::2], strict=True))

    # --- the feed -----------------------------------------------------------------------------------------------------

    async def announced(self, account: str) -> str:
        """Return the id of the last entry of an account's log that was announced."""
        mark = await self._store.control.call("HGET", keys.ANNOUNCED, account)
        return mark.decode() if mark is not None else FIRST

    async def announce(self, account: str, entries: Sequence[tuple[str, str]]) -> int:
        """Announce entries of a log by (id, name), and count them; those that were announced before are left out.

        Args:
            account: whose.
            entries: everything that lies behind an entry that was announced, in order.
        """
        names = [keys.FEED, keys.ANNOUNCED, keys.ACCOUNTS, keys.event_counts(account), keys.METRICS, keys.COUNTED]
        limits = (FEED_LENGTH, self._kept, EVENTS, WINDOW_MS)
        parts = [part for entry in entries for part in entry]
        return int(await _ANNOUNCE.run(self._store.control, names, account, *limits, *parts))

    async def announce_deleted(self, event: Event) -> None:
        """Announce the end of an account, whose log ends with it: the feed holds the event itself."""
        fields = ("a", event.account, *event_fields(event))
        await self._store.control.call("XADD", keys.FEED, "MAXLEN", "~", FEED_LENGTH, "*", *fields)
        await MetricsStore(self._store).count_event(event.event)

    async def feed(self, *, after: str = FIRST, until: str = LAST, limit: int = BATCH) -> list[FeedEntry]:
        """Return what lies behind an entry of the feed, oldest first, up to and with the entry `until`."""
        found = await self._store.control.call("XRANGE", keys.FEED, f"({after}", until, "COUNT", limit)
        return [feed_entry(id, fields) for id, fields in found]

    async def feed_end(self) -> str:
        """Return the id of the last entry of the feed."""
        found = await self._store.control.call("XREVRANGE", keys.FEED, "+", "-", "COUNT", 1)
        return found[0][0].decode() if found else FIRST

    async def counts(self, account: str) -> dict[str, int]:
        """Return how many events of each name an account has had."""
        found = await self._store.control.call("HGETALL", keys.event_counts(account))
        pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
        return {name.decode(): int(count) for name, count in pairs}

    async def forget(self, account: str) -> None:
        """Forget what is kept of an account beside the feed."""
        await self._store.control.call("HDEL", keys.ANNOUNCED, account)
        await self._store.control.call("DEL", keys.event_counts(account))


async def announce_state(store: Store, account: str, state: str) -> None:
    """Tell the feed that an account is in another state."""
    await store.control.call("XADD", keys.FEED, "MAXLEN", "~", FEED_LENGTH, "*", "a", account, "k", state)


def id_before(time: datetime) -> str:
    """Return an id behind which everything is that was written at that time or later."""
    return f"{max(0, int(time.timestamp() * 1000) - 1)}-{_MOST}"


def id_at(time: datetime) -> str:
    """Return the greatest id of what was written at that time, to the millisecond."""
    return f"{max(0, int(time.timestamp() * 1000))}-{_MOST}"


def order(id: str) -> tuple[int, int]:
    """Return what ids are compared by."""
    milliseconds, _, number = id.partition("-")
    return int(milliseconds), int(number or 0)


def feed_entry(id: bytes, fields: Any) -> FeedEntry:
    """Return an entry of the feed as Redis has it."""
    found = _fields(fields)
    name, logged, state = (found.get(field, b"").decode() for field in (b"e", b"s", b"k"))
    return FeedEntry(id.decode(), found[b"a"].decode(), name, logged, state, found.get(b"d", b""))


def _logged(entry: Any) -> LoggedEvent:
    found = _fields(entry[1])
    return LoggedEvent(entry[0].decode(), found[b"e"].decode(), found[b"i"].decode(), found[b"d"])


def _fields(answer: Any) -> dict[bytes, bytes]:
    """Return the fields of an entry, whether the client library paired them or not."""
    return answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))
