"""The outbox: the one record of a send. Jobs carry only its id."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from gateway.errors import ServiceUnavailableError
from gateway.model.event import Event
from gateway.model.submission import OutboxEntry
from gateway.provider import DeliveryNotification, MessageSource
from gateway.provider.source import header_end
from gateway.redis import Script, keys
from gateway.store.events import MAX_EVENTS, event_fields
from gateway.store.idempotency import REMEMBER, IdempotencyStore, KeyRecord, decoded, remembering
from gateway.store.store import Store, to_json

# That a message is in the outbox and that its idempotency key is known are one step: who dies has done both or none.
_ADD = Script(f"""{REMEMBER}
if KEYS[5] then
  local known = remember(KEYS[5], KEYS[6], unpack(ARGV, 6))
  if known then return known end
end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('PERSIST', KEYS[4])
redis.call('HSET', KEYS[2], 'state', ARGV[2], 'record', ARGV[3])
redis.call('ZADD', KEYS[3], ARGV[4], ARGV[5])
""")

# A transition happens only from a state it may start from, so that of two workers one wins. One that is asked for again
# because its answer was lost has happened. What it tells is one step with it: whoever dies has done both or none.
# KEYS: entry, account, log of the account
# ARGV: states it may start from, new state, record, mark, mark of the last transition or "", events kept, field, ...
_TRANSITION = Script("""
if redis.call('HGET', KEYS[1], 'mark') == ARGV[4] then return 1 end
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 0 end
local allowed = false
for from in string.gmatch(ARGV[1], '%S+') do if from == state then allowed = true end end
if not allowed then return 0 end
if ARGV[5] ~= '' and redis.call('HGET', KEYS[1], 'mark') ~= ARGV[5] then return 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'record', ARGV[3], 'mark', ARGV[4])
if redis.call('EXISTS', KEYS[2]) == 1 then
  for at = 7, #ARGV, 6 do
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[6], '*', unpack(ARGV, at, at + 5))
  end
end
return 1
""")

_BEGIN_COPY = Script("""
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSETNX', KEYS[1], 'copy', ARGV[1])
return redis.call('HGET', KEYS[1], 'copy') == ARGV[1] and 1 or 0
""")

#: States that give way to "sent": whoever hands a message over and hears that it was taken knows best.
UNSENT = ("queued", "sending", "retrying", "unknown", "failed", "cancelled")

#: Octets of a body that are stored and read at once; a body that has more is never held as a whole.
PIECE = 256 * 1024

#: Seconds for which the body of a large message is kept before there is an entry for it.
_UNFINISHED = 3600

#: Between a mark and the name of its worker.
_BY = "@"


def new_mark(worker: str = "") -> str:
    """Return what tells one transition from all others, with the worker that made it where its death matters."""
    return f"{secrets.token_hex(8)}{_BY}{worker}" if worker else secrets.token_hex(8)


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """The message that another one answers or forwards, and the flags that say so once it is sent."""

    message: str
    flags: tuple[str, ...]


class _Facts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a message beside its octets.

    `draft` is the id of the draft that the message was until it is sent. Others go before one that is `bulk`, of a mail
    merge. `proxy` is the URL of the one to send through, with the login.
    """

    answered: Answered | None = None
    dsn: DeliveryNotification | None = None
    draft: str | None = None
    bulk: bool = False
    proxy: str | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class OutboxMessage(_Facts, frozen=True, kw_only=True):
    """The octets to send, and those to file under Sent where they differ: their header names the Bcc recipients.

    A large message is put in as octets, and comes out as a source that reads them.
    """

    raw: bytes | MessageSource
    sent_copy: bytes | MessageSource | None = None

    @property
    def size(self) -> int:
        """Octets to send."""
        return MessageSource.of(self.raw).size

    def __repr__(self) -> str:
        return f"OutboxMessage({self.size} octets)"


class _Large(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message whose body lies beside the record: its header section, that of its copy, and what is in the body."""

    header: bytes
    copy_header: bytes | None = None
    body_size: int
    body_ascii: bool

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.body_size} octets)"


class _Record(_Facts, frozen=True, kw_only=True, omit_defaults=True):
    """What is stored of a message."""

    raw: bytes = b""
    sent_copy: bytes | None = None
    large: _Large | None = None


class _Stored(MessageSource):
    """A message whose body is read piece by piece."""

    def __init__(self, large: _Large, piece: Callable[[int], Awaitable[bytes]]) -> None:
        self.header = large.header
        self.size = len(large.header) + large.body_size
        self.ascii = large.body_ascii and large.header.isascii()
        self._piece = piece

    async def chunks(self, begin: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        end = self.size if end is None else min(end, self.size)
        if ahead := self.header[begin:end]:
            yield ahead
        at, end = max(begin - len(self.header), 0), end - len(self.header)
        while at < end:
            number, skipped = divmod(at, PIECE)
            chunk = (await self._piece(number))[skipped : skipped + end - at]
            yield chunk
            at += len(chunk)


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
        record = await self._record(account, queue_id, message)
        sealed = self._store.cipher.seal(to_json(record), _identity(account, queue_id))
        # The entry comes last: what is in the index without one is skipped, and gone when its work is due.
        await self._store.control.call("HSET", keys.OUTBOX, queue_id, account)
        found = [
            keys.outbox_message(account, queue_id),
            keys.outbox_entry(account, queue_id),
            keys.outbox_of(account),
            keys.outbox_body(account, queue_id),
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
        text = self._store.cipher.open(sealed.decode(), _identity(account, queue_id))
        record = msgspec.json.decode(text, type=_Record)
        raw: bytes | MessageSource = record.raw
        copy: bytes | MessageSource | None = record.sent_copy
        if record.large is not None:
            raw = _Stored(record.large, partial(self._piece, account, queue_id))
            copy = None if record.large.copy_header is None else raw.with_header(record.large.copy_header)
        return OutboxMessage(raw=raw, sent_copy=copy, **_facts(record))

    async def _record(self, account: str, queue_id: str, message: OutboxMessage) -> _Record:
        """Return what is stored of a message; the body of a large one is stored beside it already."""
        raw = await MessageSource.of(message.raw).octets()
        copy = None if message.sent_copy is None else await MessageSource.of(message.sent_copy).octets()
        begin = header_end(raw)
        body = memoryview(raw)[begin:]
        if len(body) <= PIECE or (copy is not None and memoryview(copy)[-len(body) :] != body):
            return _Record(raw=raw, sent_copy=copy, **_facts(message))
        name = keys.outbox_body(account, queue_id)
        for number, at in enumerate(range(0, len(body), PIECE)):
            sealed = self._store.cipher.seal_octets(body[at : at + PIECE], _identity(account, queue_id, number))
            stored = self._store.data.call("HSET", name, number, sealed)
            # Until there is an entry: whoever dies before that leaves nothing for good.
            expires = self._store.data.call("EXPIRE", name, _UNFINISHED)
            await stored
            await expires
        return _Record(
            large=_Large(
                header=raw[:begin],
                copy_header=None if copy is None else copy[: -len(body)],
                body_size=len(body),
                body_ascii=raw.isascii() or bytes(body).isascii(),
            ),
            **_facts(message),
        )

    async def _piece(self, account: str, queue_id: str, number: int) -> bytes:
        """Return a part of the body of a large message.

        Raises:
            ServiceUnavailableError: it is gone, and the message with it.
        """
        sealed = await self._store.data.call("HGET", keys.outbox_body(account, queue_id), number)
        if sealed is None:
            raise ServiceUnavailableError("the gateway lacks a part of the message")
        return self._store.cipher.open_octets(sealed, _identity(account, queue_id, number))

    async def transition(
        self,
        entry: OutboxEntry,
        *,
        since: tuple[str, ...],
        mark: str | None = None,
        after: str | None = None,
        told: Sequence[Event] = (),
    ) -> bool:
        """Store `entry` in its new state if it is in one of the states `since`; False when it is not.

        Args:
            entry: in its new state.
            since: states that give way.
            mark: of this transition: whoever calls again after an error, with the same one, is told whether it has
                happened.
            after: only if the transition of this mark was the last one.
            told: what the account's log says of it, written in the same step; left to be announced.
        """
        account = entry.account
        names = [keys.outbox_entry(account, entry.queue_id), keys.account(account), keys.events(account)]
        fields = [part for event in told for part in event_fields(event)]
        arguments = (" ".join(since), entry.state, to_json(entry), mark or new_mark(), after or "", MAX_EVENTS)
        return bool(await _TRANSITION.run(self._store.data, names, *arguments, *fields))

    async def last_mark(self, account: str, queue_id: str) -> str:
        """Return the mark of the last transition; empty before the first one."""
        mark = await self._store.data.call("HGET", keys.outbox_entry(account, queue_id), "mark")
        return mark.decode() if mark else ""

    async def maker_lives(self, mark: str) -> bool:
        """Whether the worker that a mark names gives signs of life."""
        _, _, worker = mark.partition(_BY)
        return bool(worker) and bool(await self._store.control.call("EXISTS", keys.worker(worker)))

    async def begin_copy(self, account: str, queue_id: str, mark: str) -> bool:
        """Whether the caller, known by its `mark`, is the one to file the copy of a sent message."""
        return bool(await _BEGIN_COPY.run(self._store.data, [keys.outbox_entry(account, queue_id)], mark))

    async def copy_mark(self, account: str, queue_id: str) -> str:
        """Return the mark of who files the copy of a sent message; empty before that."""
        mark = await self._store.data.call("HGET", keys.outbox_entry(account, queue_id), "copy")
        return mark.decode() if mark else ""

    async def drop_message(self, account: str, queue_id: str) -> None:
        """Forget the message of an entry."""
        names = (keys.outbox_message(account, queue_id), keys.outbox_body(account, queue_id))
        await self._store.data.call("DEL", *names)

    async def remove(self, account: str, queue_id: str) -> bool:
        """Forget an entry and its message; False when there is none."""
        async with self._store.databases.data.pipeline(transaction=True) as pipe:
            pipe.delete(
                keys.outbox_entry(account, queue_id),
                keys.outbox_message(account, queue_id),
                keys.outbox_body(account, queue_id),
            )
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


def _identity(account: str, queue_id: str, piece: int | None = None) -> str:
    """Return what a message, or a piece of its body, is sealed for."""
    return f"out:{account}:{queue_id}" if piece is None else f"out:{account}:{queue_id}:{piece}"


def _facts(of: _Facts) -> dict[str, Any]:
    return {name: getattr(of, name) for name in _Facts.__struct_fields__}
