"""SMTP relays: each sealed in one hash of the control tier, and beside it what became of mail sent through it."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.model.account_errors import SmtpStatus
from gateway.redis import Script, keys
from gateway.store.store import Store, text_fields, to_json

# What is told of a relay that was deleted meanwhile must not bring a part of it back.
_USED = Script("""
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[2], 'used', ARGV[2])
if ARGV[3] == '' then
  redis.call('HINCRBY', KEYS[2], 'deliveries', 1)
  redis.call('HDEL', KEYS[2], 'error')
else
  redis.call('HSET', KEYS[2], 'error', ARGV[3])
end
return 1
""")


class StoredRelay(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A relay as it is stored, with its password."""

    id: str
    name: str
    user: str | None = None
    password: str | None = None
    host: str
    port: int
    secure: bool = False
    created: datetime
    updated: datetime

    def __repr__(self) -> str:
        return f"StoredRelay(id={self.id!r})"


class RelayUse(msgspec.Struct, frozen=True, kw_only=True):
    """What became of mail that was sent through a relay."""

    deliveries: int = 0
    last_use: datetime | None = None
    last_error: SmtpStatus | None = None


class RelayStore:
    """The relays of this installation."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def save(self, relay: StoredRelay) -> None:
        """Store a relay, new or changed."""
        sealed = self._store.cipher.seal(to_json(relay), f"relay:{relay.id}")
        await self._store.control.call("HSET", keys.RELAYS, relay.id, sealed)

    async def get(self, id: str) -> StoredRelay | None:
        """Return one relay."""
        sealed = await self._store.control.call("HGET", keys.RELAYS, id)
        return None if sealed is None else self._open(id, sealed.decode())

    async def all(self) -> list[StoredRelay]:
        """Return every relay in the order of creation."""
        stored = text_fields(await self._store.control.call("HGETALL", keys.RELAYS))
        return sorted((self._open(id, sealed) for id, sealed in stored.items()), key=lambda one: (one.created, one.id))

    async def delete(self, id: str) -> bool:
        """Delete a relay; False when there is none."""
        async with self._store.databases.control.pipeline(transaction=True) as pipe:
            pipe.hdel(keys.RELAYS, id)
            pipe.delete(keys.relay_use(id))
            removed: list[int] = await pipe.execute()
        return bool(removed[0])

    async def use(self, id: str) -> RelayUse:
        """Return what became of mail that was sent through a relay."""
        fields = text_fields(await self._store.control.call("HGETALL", keys.relay_use(id)))
        return RelayUse(
            deliveries=int(fields.get("deliveries", 0)),
            last_use=datetime.fromisoformat(fields["used"]) if "used" in fields else None,
            last_error=msgspec.json.decode(fields["error"], type=SmtpStatus) if "error" in fields else None,
        )

    async def used(self, id: str, at: datetime, error: SmtpStatus | None) -> None:
        """Note that a relay took a message, or why it did not."""
        told = "" if error is None else to_json(error)
        await _USED.run(self._store.control, [keys.RELAYS, keys.relay_use(id)], id, at.isoformat(), told)

    def _open(self, id: str, sealed: str) -> StoredRelay:
        return msgspec.json.decode(self._store.cipher.open(sealed, f"relay:{id}"), type=StoredRelay)
