"""Idempotency keys: names that callers give to what must not be done twice, and what was answered.

Where the key names one message, its record is written in one step with the outbox entry (`gateway.store.outbox`).
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

import msgspec

from gateway.model.submission import SubmitResult
from gateway.redis import Script, keys
from gateway.store.store import Store, to_json

#: Time for which a key is known.
KEPT = timedelta(hours=24)

#: Lua: remember a key unless it is known; returns the record of one that is known, else nil.
REMEMBER = """
local function remember(key, index, name, record, now, seconds)
  local known = redis.call('GET', key)
  if known then return known end
  redis.call('SET', key, record, 'EX', seconds)
  redis.call('ZREMRANGEBYSCORE', index, '-inf', now)
  redis.call('ZADD', index, now + seconds, name)
  redis.call('EXPIRE', index, seconds)
  return nil
end
"""

_CLAIM = Script(f"{REMEMBER}\nreturn remember(KEYS[1], KEYS[2], unpack(ARGV))")

_FINISH = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL') end
return 1
""")


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a key.

    Attributes:
        request: digest of the request that it came with first.
        owner: what tells that request from all others.
        answer: None while the request is being done, or if whoever did it died.
    """

    request: str
    owner: str
    answer: SubmitResult | None = None


class IdempotencyStore:
    """Records of keys in the account's own slot, each for `KEPT`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, account: str, key: str) -> KeyRecord | None:
        """Return what is known of a key."""
        return decoded(await self._store.data.call("GET", keys.idempotency(account, key_name(key))))

    async def claim(self, account: str, key: str, record: KeyRecord, now: datetime) -> KeyRecord | None:
        """Remember a key that nobody has used; else return what is known of it."""
        names, arguments = remembering(account, key, record, now)
        known = decoded(await _CLAIM.run(self._store.data, names, *arguments))
        # A lost answer is asked for again, and the second time the key is known.
        return known if known is not None and known.owner != record.owner else None

    async def answered(self, account: str, key: str, claimed: KeyRecord, answer: SubmitResult) -> None:
        """Note the answer of a request that has claimed its key."""
        done = to_json(msgspec.structs.replace(claimed, answer=answer))
        await self._finish(account, key, claimed, done)

    async def release(self, account: str, key: str, claimed: KeyRecord) -> None:
        """Forget the key of a request that came to nothing."""
        await self._finish(account, key, claimed, "")

    async def _finish(self, account: str, key: str, claimed: KeyRecord, record: str) -> None:
        names = [keys.idempotency(account, key_name(key))]
        await _FINISH.run(self._store.data, names, to_json(claimed), record)

    async def remove_of_account(self, account: str) -> None:
        """Forget every key of an account."""
        index = keys.idempotency_of(account)
        found = await self._store.data.call("ZRANGE", index, 0, -1)
        await self._store.data.call("DEL", index, *(keys.idempotency(account, name.decode()) for name in found))


def remembering(account: str, key: str, record: KeyRecord, now: datetime) -> tuple[list[str], list[str | float]]:
    """Return the names of keys in Redis and the further arguments that `REMEMBER` takes."""
    name = key_name(key)
    seconds = int(KEPT.total_seconds())
    names = [keys.idempotency(account, name), keys.idempotency_of(account)]
    return names, [name, to_json(record), now.timestamp(), seconds]


def decoded(record: bytes | None) -> KeyRecord | None:
    """Return a record as it is stored."""
    return None if record is None else msgspec.json.decode(record, type=KeyRecord)


def key_name(key: str) -> str:
    """Return the name under which a key is stored: callers may make keys of what is nobody's business."""
    return hashlib.sha256(key.encode()).hexdigest()
