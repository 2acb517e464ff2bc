"""What is known of bounced messages, for a while: which recipients were not reached, by Message-ID."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from gateway.model.message import BounceEntry
from gateway.redis import Script, keys
from gateway.store.store import Store

#: How long a bounce is remembered after the last report.
AGE = timedelta(days=90)

#: Messages and reports that are remembered of one account; the oldest go first.
MOST = 20_000

#: Octets that are remembered of one message, some hundred recipients.
_LONGEST = 32 * 1024

# Sent twice it does nothing the second time. An account that was deleted meanwhile must not come back in part.
# KEYS: what is known, times, account record
# ARGV: now, the time before which all is forgotten, fields at most, octets of one value at most; field, item, ...
_REMEMBER = Script("""
if redis.call('EXISTS', KEYS[3]) == 0 then return 0 end
for at = 5, #ARGV, 2 do
  local held = redis.call('HGET', KEYS[1], ARGV[at])
  if not held then
    redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
  elseif #held + #ARGV[at + 1] < tonumber(ARGV[4]) and not string.find(held, ARGV[at + 1], 1, true) then
    redis.call('HSET', KEYS[1], ARGV[at], held .. ',' .. ARGV[at + 1])
  end
  redis.call('ZADD', KEYS[2], ARGV[1], ARGV[at])
end
local over = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[3])
local old
if over > 0 then
  old = redis.call('ZRANGE', KEYS[2], 0, math.min(over, 1000) - 1)
else
  old = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[2], 'LIMIT', 0, 1000)
end
if #old > 0 then
  redis.call('HDEL', KEYS[1], unpack(old))
  redis.call('ZREM', KEYS[2], unpack(old))
end
return 1
""")

_decode = msgspec.json.Decoder(tuple[BounceEntry, ...]).decode
_encode = msgspec.json.Encoder().encode


class BounceStore:
    """Remembers bounces in the data tier."""

    def __init__(self, store: Store) -> None:
        self._data = store.data

    async def claim(self, account: str, report: str, id: str, *, now: datetime) -> bool:
        """Note that a report is being told of; False when it was, as the message `id` of another mailbox.

        Args:
            account: whose.
            report: Message-ID of the report.
            id: of the report; the same one may claim it again, after a death.
            now: aware UTC.
        """
        field = f"report:{report}"
        held = await self._data.call("HGET", keys.bounces(account), field)
        if held is None:
            await self._remember(account, [(field, id.encode())], now)
        return held is None or held.decode() == id

    async def remember(self, account: str, bounces: Iterable[tuple[str, BounceEntry]], *, now: datetime) -> None:
        """Remember bounces, each with the Message-ID of the message that bounced; one that is known is left."""
        items = [(f"sent:{message_id}", _encode(entry)) for message_id, entry in bounces]
        if items:
            await self._remember(account, items, now)

    async def of(self, account: str, message_ids: Sequence[str]) -> dict[str, tuple[BounceEntry, ...]]:
        """Return the bounces of messages, by Message-ID; those without any are left out."""
        if not message_ids:
            return {}
        fields = [f"sent:{message_id}" for message_id in message_ids]
        found = await self._data.call("HMGET", keys.bounces(account), *fields)
        pairs = zip(message_ids, found, strict=True)
        return {message_id: _decode(b"[" + held + b"]") for message_id, held in pairs if held is not None}

    async def _remember(self, account: str, items: Sequence[tuple[str, bytes]], now: datetime) -> None:
        names = [keys.bounces(account), keys.bounce_times(account), keys.account(account)]
        moment, oldest = int(now.timestamp()), int((now - AGE).timestamp())
        flat = [part for item in items for part in item]
        await _REMEMBER.run(self._data, names, moment, oldest, MOST, _LONGEST, *flat)
