"""The outbox: the one record of a send. Jobs carry only its id."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec

from gateway.model.event import Event
from gateway.model.submission import OutboxEntry
from gateway.provider import DeliveryNotification
from gateway.redis import Script, keys
from gateway.store.events import MAX_EVENTS, event_fields
from gateway.store.idempotency import REMEMBER, IdempotencyStore, KeyRecord, decoded, remembering
from gateway.store.store import Store, to_json

# That a message is in the outbox and that its idempotency key is known are one step: who dies has done both or none.
_ADD = Script(f"""{REMEMBER}
if KEYS[4] then
  local known = remember(KEYS[4], KEYS[5], unpack(ARGV, 6))
  if known then return known end
end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], 'state', ARGV[2], 'record', ARGV[3])
redis.call('ZADD', KEYS[3], ARGV[4], ARGV[5])
""")

# A transition happens only from a state it may start from, so that of two workers one wins. One that is asked for again
# because its answer was lost has happened.
_TRANSITION = Script("""
if redis.call('HGET', KEYS[1], 'mark') == ARGV[4] then return 1 end
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 0 end
local allowed = false
for from in string.gmatch(ARGV[1], '%S+') do if from == state then allowed = true end end
if not allowed then return 0 end
if ARGV[5] ~= '' and redis.call('HGET', KEYS[1], 'mark') ~= ARGV[5] then return 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'record', ARGV[3], 'mark', ARGV[4])
return 1
""")

# That a message is sent and that its sender is told so are one step: whoever dies has done both or none of it.
_SENT = Script("""
if redis.call('HGET', KEYS[1], 'mark') == ARGV[1] then return 1 end
local state = redis.call('HGET', KEYS[1], 'state')
if not state or state == 'sent' then return 0 end
redis.call('HSET', KEYS[1], 'state', 'sent', 'record', ARGV[2], 'mark', ARGV[1])
if redis.call('EXISTS', KEYS[2]) == 1 then
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[3], '*', unpack(ARGV, 4))
end
return 1
""")

_BEGIN_COPY = Script("""
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSETNX', KEYS[1], 'copy', ARGV[1])
return redis.call('HGET', KEYS[1], 'copy') == ARGV[1] and 1 or 0
""")

#: Between a mark and the name of its worker.
_BY = "@"


def new_mark(worker: str = "") -> str:
    """Return what tells one transition from all others, with the worker that made it where its death matters."""
    return f"{secrets.token_hex(8)}{_BY}{worker}" if worker else secrets.token_hex(8)


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """The message that another one answers or forwards, and the flags that say so once it is sent."""

    message: str
    flags: tuple[str, ...]


class OutboxMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The octets to send, and those to file under Sent where they differ (they name the Bcc recipients).

    `draft` is the id of the draft that the message was until it is sent. Others go before one that is `bulk`, of a mail
    merge. `proxy` is the URL of the one to send through, with the login.
    """

    raw: bytes
    sent_copy: bytes | None = None
    answered: Answered | None = None
    dsn: DeliveryNotification | None = None
    draft: str | None = None
    bulk: bool = False
    proxy: str | None = None

    def __repr__(self) -> str:
        return f"OutboxMessage({len(self.raw)} octets)"


class OutboxStore:
    """Entries and their messages in the account's own slot; an index over all accounts in the control tier."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(
        self, entry: OutboxEntry, message: OutboxMessage, known_by: KeyRecord | None = None
    ) -> KeyRecord | None:
        """Store a new entry with its message, sealed: it is the one mail body the gateway keeps.

        Args:
            entry: what is added.
            message: what is sent.
            known_by: remembered of the entry's idempotency key. If the key is known already nothing is stored, and what
                is known of it returned.
        """
        account, queue_id = entry.account, entry.queue_id
        sealed = self._store.cipher.seal(to_json(message), f"out:{account}:{queue_id}")
        # The entry comes last: what is in the index without one is skipped, and gone when its work is due.
        await self._store.control.call("HSET", keys.OUTBOX, queue_id, account)
        found = [
            keys.outbox_message(account, queue_id),
            keys.outbox_entry(account, queue_id),
            keys.outbox_of(account),
        ]
        created = entry.created.timestamp()
        arguments: list[str | float] = [sealed, entry.state, to_json(entry), created, queue_id]
        if known_by is not None and entry.idempotency_key is not None:
            names, further = remembering(account, entry.idempotency_key, known_by, entry.created)
            found, arguments = [*found, *names], [*arguments, *further]
        known = decoded(await _ADD.run(self._store.data, found, *arguments))
        # A lost answer is asked for again, and the second time the key is known.
        return known if known is not None and known_by is not None and known.owner != known_by.owner else None

    async def account_of(self, queue_id: str) -> str | None:
        """Return the account of an entry."""
        account = await self._store.control.call("HGET", keys.OUTBOX, queue_id)
        return None if account is None else str(account.decode())

    async def get(self, account: str, queue_id: str) -> OutboxEntry | None:
        """Return one entry."""
        record = await self._store.data.call("HGET", keys.outbox_entry(account, queue_id), "record")
        return None if record is None else msgspec.json.decode(record, type=OutboxEntry)

    async def message(self, account: str, queue_id: str) -> OutboxMessage | None:
        """Return the message of an entry, None when it was sent already."""
        sealed = await self._store.data.call("GET", keys.outbox_message(account, queue_id))
        if sealed is None:
            return None
        text = self._store.cipher.open(sealed.decode(), f"out:{account}:{queue_id}")
        return msgspec.json.decode(text, type=OutboxMessage)

    async def transition(
        self, entry: OutboxEntry, *, since: tuple[str, ...], mark: str | None = None, after: str | None = None
    ) -> bool:
        """Store `entry` in its new state if it is in one of the states `since`; False when it is not.

        With `after`, only if the transition of that mark was the last one. Whoever calls again after an error, with the
        same `mark`, is told whether it has happened.
        """
        key, mark = keys.outbox_entry(entry.account, entry.queue_id), mark or new_mark()
        arguments = (" ".join(since), entry.state, to_json(entry), mark, after or "")
        return bool(await _TRANSITION.run(self._store.data, [key], *arguments))

    async def last_mark(self, account: str, queue_id: str) -> str:
        """Return the mark of the last transition; empty before the first one."""
        mark = await self._store.data.call("HGET", keys.outbox_entry(account, queue_id), "mark")
        return mark.decode() if mark else ""

    async def maker_lives(self, mark: str) -> bool:
        """Whether the worker that a mark names gives signs of life."""
        _, _, worker = mark.partition(_BY)
        return bool(worker) and bool(await self._store.control.call("EXISTS", keys.worker(worker)))

    async def sent(self, entry: OutboxEntry, told: Event, *, mark: str) -> bool:
        """Store `entry` as sent and log the event that tells so, in one step; False when it is sent already or gone.

        Any other state gives way: whoever hands a message over and hears that it was taken knows best. The event is
        left to be announced. Whoever calls again after an error, with the same `mark`, is told whether it has happened.
        """
        account = entry.account
        names = [keys.outbox_entry(account, entry.queue_id), keys.account(account), keys.events(account)]
        return bool(await _SENT.run(self._store.data, names, mark, to_json(entry), MAX_EVENTS, *event_fields(told)))

    async def begin_copy(self, account: str, queue_id: str, mark: str) -> bool:
        """Whether the caller, known by its `mark`, is the one to file the copy of a sent message."""
        return bool(await _BEGIN_COPY.run(self._store.data, [keys.outbox_entry(account, queue_id)], mark))

    async def drop_message(self, account: str, queue_id: str) -> None:
        """Forget the message of an entry."""
        await self._store.data.call("DEL", keys.outbox_message(account, queue_id))

    async def remove(self, account: str, queue_id: str) -> bool:
        """Forget an entry and its message; False when there is none."""
        async with self._store.databases.data.pipeline(transaction=True) as pipe:
            pipe.delete(keys.outbox_entry(account, queue_id), keys.outbox_message(account, queue_id))
            pipe.zrem(keys.outbox_of(account), queue_id)
            removed: list[Any] = await pipe.execute()
        await self._store.control.call("HDEL", keys.OUTBOX, queue_id)
        return bool(removed[0])

    async def all(self) -> list[tuple[str, str]]:
        """Return (queue id, account) of every entry; ids sort by the time of sending."""
        stored = await self._store.control.call("HGETALL", keys.OUTBOX)
        pairs = stored.items() if isinstance(stored, dict) else zip(stored[::2], stored[1::2], strict=True)
        return sorted((queue_id.decode(), account.decode()) for queue_id, account in pairs)

    async def remove_of_account(self, account: str) -> list[str]:
        """Forget every entry of an account and its idempotency keys; return the queue ids."""
        found = await self._store.data.call("ZRANGE", keys.outbox_of(account), 0, -1)
        queue_ids = [queue_id.decode() for queue_id in found]
        for queue_id in queue_ids:
            await self.remove(account, queue_id)
        await IdempotencyStore(self._store).remove_of_account(account)
        return queue_ids
