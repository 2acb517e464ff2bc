"""How far each endpoint has come in each account's log, and what was attempted.

Progress is a hash beside the account's log, one for each endpoint. Of the jobs that work on it, the one that claimed
it last is the one whose word counts (`run`); a worker that was paused and comes back finds itself refused.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from gateway.errors import InvalidRequestError
from gateway.model.webhook import DEFAULT_ENDPOINT, DeliveryState, WebhookDelivery
from gateway.redis import Script, keys
from gateway.store.metrics import counter
from gateway.store.store import Store, text_fields, to_json

#: Attempts, and dead letters, that are kept of an endpoint, and how long.
KEPT_DELIVERIES = 2_000
KEPT_DEAD_LETTERS = 10_000
KEPT = timedelta(days=7)

#: Seconds after which a job that waits in its queue is taken for lost.
STALE = 120
#: Seconds after which a job at work is: longer than one delivery may take.
SILENT = 60

# KEYS: the account, progress of each endpoint; ARGV: Unix time, seconds until a job is taken for lost, "1" to try
# again at once what waits for its time. Returns the positions of those that need a job.
_WAKE = Script("""
local found = {}
if redis.call('EXISTS', KEYS[1]) == 0 then return found end
local now = tonumber(ARGV[1])
for at = 2, #KEYS do
  local fields = redis.call('HMGET', KEYS[at], 'busy', 'retry')
  local busy, retry = tonumber(fields[1] or 0), tonumber(fields[2] or 0)
  if busy > now - tonumber(ARGV[2]) then
    redis.call('HSET', KEYS[at], 'again', 1)
  elseif retry <= now or ARGV[3] == '1' then
    redis.call('HSET', KEYS[at], 'busy', ARGV[1])
    found[#found + 1] = at - 1
  end
end
return found
""")

# KEYS: the account, progress; ARGV: Unix time, log id at which the endpoint begins, job, seconds that a job at work
# may be silent. Another job that is at work is told to look again instead; the same job comes back after a death.
_CLAIM = Script("""
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
local held = redis.call('HMGET', KEYS[2], 'job', 'busy')
if held[1] and held[1] ~= '' and held[1] ~= ARGV[3] and tonumber(held[2]) > tonumber(ARGV[1]) - tonumber(ARGV[4]) then
  redis.call('HSET', KEYS[2], 'again', 1)
  return false
end
local function parts(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local cursor = redis.call('HGET', KEYS[2], 'cursor')
local ms, seq = parts(ARGV[2])
if cursor then
  local known_ms, known_seq = parts(cursor)
  if known_ms < ms or (known_ms == ms and known_seq < seq) then cursor = ARGV[2] end
else
  cursor = ARGV[2]
end
local run = redis.call('HINCRBY', KEYS[2], 'run', 1)
redis.call('HSET', KEYS[2], 'cursor', cursor, 'busy', ARGV[1], 'again', 0, 'retry', 0, 'job', ARGV[3])
local fields = redis.call('HMGET', KEYS[2], 'entry', 'attempts', 'failures')
return { tostring(run), cursor, fields[1] or '', fields[2] or '0', fields[3] or '0' }
""")

# KEYS: progress, replays; ARGV: run, Unix time, "log" or "replay", log id, "1" if it was delivered.
_PASS = Script("""
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[1] then return 0 end
if ARGV[3] == 'log' then redis.call('HSET', KEYS[1], 'cursor', ARGV[4]) else redis.call('LPOP', KEYS[2]) end
redis.call('HSET', KEYS[1], 'busy', ARGV[2], 'entry', '', 'attempts', 0)
if ARGV[5] == '1' then redis.call('HSET', KEYS[1], 'failures', 0) end
return 1
""")

# KEYS: progress; ARGV: run, Unix time. Returns 1 when there is nothing left to do.
_REST = Script("""
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[1] then return 1 end
if redis.call('HGET', KEYS[1], 'again') == '1' then
  redis.call('HSET', KEYS[1], 'again', 0, 'busy', ARGV[2])
  return 0
end
redis.call('HSET', KEYS[1], 'busy', 0, 'job', '')
return 1
""")

# KEYS: progress; ARGV: run, Unix time of the next attempt, entry, attempts, failures.
_POSTPONE = Script("""
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'busy', 0, 'job', '', 'retry', ARGV[2], 'entry', ARGV[3], 'attempts', ARGV[4],
  'failures', ARGV[5])
return 1
""")


class Progress(msgspec.Struct, kw_only=True):
    """Where a job stands that claimed an endpoint's way through a log.

    Attributes:
        run: number of the claim.
        cursor: id of the last log entry that is done with.
        entry: id of the log entry that was attempted already, `attempts` times.
        failures: attempts in a row that failed, whatever the entry.
    """

    run: str
    cursor: str
    entry: str = ""
    attempts: int = 0
    failures: int = 0

    def attempts_of(self, entry: str) -> int:
        """Return how often an entry was attempted."""
        return self.attempts if entry == self.entry else 0


class Farewell(msgspec.Struct, frozen=True, kw_only=True):
    """The last event of a deleted account, with what of the account its delivery needs."""

    event: str
    event_id: str
    name: str
    time: float
    config: str
    failures: int = 0


class ProgressStore:
    """How far endpoints have come."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def wake(self, account: str, endpoints: Sequence[str], now: datetime, *, at_once: bool = False) -> list[str]:
        """Return those endpoints for which a job has to be queued; others are at work and will look again."""
        names = [keys.account(account), *(keys.webhook_progress(account, endpoint) for endpoint in endpoints)]
        found = await _WAKE.run(self._store.data, names, now.timestamp(), STALE, "1" if at_once else "0")
        return [endpoints[position - 1] for position in found]

    async def claim(self, account: str, endpoint: str, job: str, start: str, now: datetime) -> Progress | None:
        """Begin to work on an endpoint, behind the log entry `start`; whoever did before is refused from now on.

        None when another job is at it, or the account is gone.
        """
        names = [keys.account(account), keys.webhook_progress(account, endpoint)]
        found = await _CLAIM.run(self._store.data, names, now.timestamp(), start, job, SILENT)
        if found is None:
            return None
        run, cursor, entry, attempts, failures = (part.decode() for part in found)
        return Progress(run=run, cursor=cursor, entry=entry, attempts=int(attempts), failures=int(failures))

    async def passed(
        self, account: str, endpoint: str, run: str, entry: str, now: datetime, *, replay: bool, delivered: bool
    ) -> bool:
        """Note that an entry is done with; False when another job has taken over."""
        names = [keys.webhook_progress(account, endpoint), keys.webhook_replays(account, endpoint)]
        source = "replay" if replay else "log"
        arguments = (run, now.timestamp(), source, entry, "1" if delivered else "0")
        return bool(await _PASS.run(self._store.data, names, *arguments))

    async def rest(self, account: str, endpoint: str, run: str, now: datetime) -> bool:
        """End the work; False when something new was announced meanwhile, so that it has to go on."""
        names = [keys.webhook_progress(account, endpoint)]
        return bool(await _REST.run(self._store.data, names, run, now.timestamp()))

    async def postpone(self, account: str, endpoint: str, progress: Progress, until: datetime) -> bool:
        """End the work until a time; False when another job has taken over."""
        names = [keys.webhook_progress(account, endpoint)]
        state = (progress.run, until.timestamp(), progress.entry, progress.attempts, progress.failures)
        return bool(await _POSTPONE.run(self._store.data, names, *state))

    async def forget(self, endpoint: str, accounts: Sequence[str]) -> None:
        """Forget how far an endpoint that is gone had come."""
        for account in accounts:
            names = (keys.webhook_progress(account, endpoint), keys.webhook_replays(account, endpoint))
            await self._store.data.call("DEL", *names)

    # --- replays ------------------------------------------------------------------------------------------------------

    async def add_replays(self, account: str, endpoint: str, entries: Sequence[str], now: datetime) -> None:
        """Have log entries delivered once more, in this order."""
        stamp = f" {int(now.timestamp() * 1000)}"
        names = [f"{entry}{stamp}" for entry in entries]
        await self._store.data.call("RPUSH", keys.webhook_replays(account, endpoint), *names)

    async def next_replay(self, account: str, endpoint: str) -> tuple[str, datetime | None] | None:
        """Return the log entry that is to be delivered again next, and when that was asked for."""
        found = await self._store.data.call("LINDEX", keys.webhook_replays(account, endpoint), 0)
        if found is None:
            return None
        entry, _, stamp = found.decode().partition(" ")
        return entry, datetime.fromtimestamp(int(stamp) / 1000).astimezone()

    # --- the last event of deleted accounts ---------------------------------------------------------------------------

    async def add_farewell(self, endpoint: str, account: str, farewell: Farewell) -> None:
        """Keep the last event of an account for an endpoint; its log is about to go."""
        sealed = self._store.cipher.seal(to_json(farewell), f"farewell:{endpoint}:{account}")
        await self._store.control.call("SET", keys.webhook_farewell(endpoint, account), sealed)

    async def farewell(self, endpoint: str, account: str) -> Farewell | None:
        """Return the last event of an account that an endpoint has not got yet."""
        sealed = await self._store.control.call("GET", keys.webhook_farewell(endpoint, account))
        if sealed is None:
            return None
        text = self._store.cipher.open(sealed.decode(), f"farewell:{endpoint}:{account}")
        return msgspec.json.decode(text, type=Farewell)

    async def end_farewell(self, endpoint: str, account: str) -> None:
        """Forget it."""
        await self._store.control.call("DEL", keys.webhook_farewell(endpoint, account))


# What a cursor says: the last attempt of the page, and the stream that it stands in.
_CURSOR = re.compile(r"(\d{1,19}-\d{1,19}) (.{1,300})")


class DeliveryStore:
    """What was attempted, endpoint by endpoint: the last attempts, and apart from them the dead letters."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, delivery: WebhookDelivery) -> None:
        """Note an attempt."""
        call, endpoint = self._store.control.call, delivery.endpoint
        name, length = keys.webhook_deliveries(endpoint), KEPT_DELIVERIES
        if delivery.state == "dead":
            name, length = keys.webhook_dead_letters(endpoint), KEPT_DEAD_LETTERS
        kind = "default" if endpoint == DEFAULT_ENDPOINT else "route"
        # Issued together, they make one round trip.
        await asyncio.gather(
            call("XADD", name, "MAXLEN", "~", length, "*", "d", to_json(delivery)),
            call("PEXPIRE", name, int(KEPT.total_seconds() * 1000)),
            call("HINCRBY", keys.WEBHOOK_COUNTS, endpoint, int(delivery.state == "delivered")),
            call("HINCRBY", keys.METRICS, counter("webhooks", kind, delivery.state), 1),
        )

    async def counts(self) -> dict[str, int]:
        """Return how many events were delivered, by endpoint."""
        found = text_fields(await self._store.control.call("HGETALL", keys.WEBHOOK_COUNTS))
        return {endpoint: int(count) for endpoint, count in found.items()}

    async def forget(self, endpoint: str) -> None:
        """Forget the attempts of an endpoint that is gone."""
        names = (keys.webhook_deliveries(endpoint), keys.webhook_dead_letters(endpoint))
        await self._store.control.call("DEL", *names)
        await self._store.control.call("HDEL", keys.WEBHOOK_COUNTS, endpoint)

    async def list(
        self,
        endpoints: Sequence[str],
        *,
        account: str | None,
        state: DeliveryState | None,
        cursor: str | None,
        size: int,
        now: datetime,
    ) -> tuple[list[WebhookDelivery], str | None]:
        """Return attempts, newest first, and where to go on.

        Raises:
            InvalidRequestError: the cursor is none that was given out.
        """
        place = _decode_cursor(cursor)
        streams = [stream for endpoint in endpoints for stream in _streams(endpoint, state)]
        oldest = f"{int((now - KEPT).timestamp() * 1000)}"
        readers = [_Reader(self._store, name, key, _until(name, place), oldest) for name, key in streams]
        found: list[WebhookDelivery] = []
        following = cursor
        while len(found) < size:
            heads = [reader for reader in readers if await reader.ready()]
            if not heads:
                return found, None
            reader = max(heads, key=lambda reader: reader.head)
            id, delivery = reader.take()
            following = _encode_cursor(id, reader.name)
            if account in (None, delivery.account) and state in (None, delivery.state):
                found.append(delivery)
        return found, following


class _Reader:
    """Walks back through one stream, from `until` on as XREVRANGE takes it."""

    def __init__(self, store: Store, name: str, key: str, until: str, oldest: str) -> None:
        self.name = name
        self._key = key
        self._store = store
        self._until = until
        self._oldest = oldest
        self._waiting: list[tuple[str, WebhookDelivery]] = []
        self._ended = False

    @property
    def head(self) -> tuple[int, int, str]:
        """What comes next by time; ids are those of one stream, so that two may have the same."""
        ms, _, seq = self._waiting[0][0].partition("-")
        return int(ms), int(seq), self.name

    async def ready(self) -> bool:
        """Tell whether there is another one."""
        if not self._waiting and not self._ended:
            found = await self._store.control.call("XREVRANGE", self._key, self._until, self._oldest, "COUNT", 200)
            self._waiting = [(id.decode(), _delivery(fields)) for id, fields in found]
            self._ended = not found
        return bool(self._waiting)

    def take(self) -> tuple[str, WebhookDelivery]:
        id, delivery = self._waiting.pop(0)
        self._until = f"({id}"
        return id, delivery


def _streams(endpoint: str, state: DeliveryState | None) -> Iterator[tuple[str, str]]:
    if state != "dead":
        yield endpoint, keys.webhook_deliveries(endpoint)
    if state in (None, "dead"):
        yield f"{endpoint}!", keys.webhook_dead_letters(endpoint)


def _delivery(fields: Any) -> WebhookDelivery:
    value = fields[b"d"] if isinstance(fields, dict) else fields[1]
    return msgspec.json.decode(value, type=WebhookDelivery)


def _until(name: str, place: tuple[str, str] | None) -> str:
    """Return where a stream goes on after a place in another one, in the order of `_Reader.head`."""
    if place is None:
        return "+"
    id, last = place
    return id if name < last else f"({id}"


def _encode_cursor(id: str, name: str) -> str:
    return base64.urlsafe_b64encode(f"{id} {name}".encode()).decode().rstrip("=")


def _decode_cursor(cursor: str | None) -> tuple[str, str] | None:
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        text = ""
    found = _CURSOR.fullmatch(text)
    if found is None:
        field = {"message": '"cursor" is none that was given out', "key": "cursor"}
        raise InvalidRequestError("Input validation failed", fields=[field])
    return found[1], found[2]
