"""Exports: how far each has come, and its file in encrypted pieces.

Everything of one export lies in its account's slot. What a step of the work found out is written by one script that
refuses a second writer: a message is in the file if and only if the record says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from gateway.model.event import Event
from gateway.model.export import ExportPhase, ExportProgress, ExportState
from gateway.model.message import TextType
from gateway.redis import Script, keys
from gateway.store.store import Store, to_json

#: Octets of a piece of the file, before encryption.
PIECE = 256 * 1024

#: Seconds that keys outlive the export they belong to, should nobody erase them.
_MARGIN = 3600

_ADD = Script("""
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[2], 'record', ARGV[1], 'revision', 0)
redis.call('EXPIRE', KEYS[2], ARGV[2])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[4])
return 1
""")

# KEYS: record, messages, content, sizes. ARGV: revision, record, seconds to live, number of message ids, the ids, then
# size and octets of each piece.
_ADVANCE = Script("""
if redis.call('HGET', KEYS[1], 'revision') ~= ARGV[1] then return -1 end
redis.call('HSET', KEYS[1], 'record', ARGV[2])
redis.call('HINCRBY', KEYS[1], 'revision', 1)
local pieces = 5 + tonumber(ARGV[4])
local known = redis.call('ZCARD', KEYS[2])
for i = 5, pieces - 1 do known = known + redis.call('ZADD', KEYS[2], 'NX', known, ARGV[i]) end
for i = pieces, #ARGV, 2 do
  local number = redis.call('RPUSH', KEYS[4], ARGV[i]) - 1
  redis.call('HSET', KEYS[3], number, ARGV[i + 1])
end
for i = 1, 4 do redis.call('EXPIRE', KEYS[i], ARGV[3]) end
return known
""")

# What this installation keeps, each as [account, end of life, under way, octets]; 0 when there is room for another one.
_ADMIT = Script("""
local own, all, octets = 0, 0, 0
local entries = redis.call('HGETALL', KEYS[1])
for i = 1, #entries, 2 do
  local entry = cjson.decode(entries[i + 1])
  if entry[2] <= tonumber(ARGV[1]) then
    redis.call('HDEL', KEYS[1], entries[i])
  else
    octets = octets + entry[4]
    if entry[3] then
      all = all + 1
      if entry[1] == ARGV[4] then own = own + 1 end
    end
  end
end
if octets >= tonumber(ARGV[7]) then return 2 end
if own >= tonumber(ARGV[5]) or all >= tonumber(ARGV[6]) then return 1 end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
return 0
""")


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """One export and how far it has come.

    Attributes:
        asked: mailboxes as they were asked for; empty for the default.
        most_messages, most_octets: what is beyond is left out.
        folders: their paths, None until a worker has looked.
        page, total: next page to look for messages on, and how many messages the search had found before.
        untold: the event of how it ended, until it stands in the log.
        starts: how often a worker has begun without getting any further.
        careful: up to this place messages are read one by one, because one of them took its worker along.
        failures: how often in a row the mail service could not be used.
        revision: how often it was written.
    """

    id: str
    account: str
    asked: tuple[str, ...]
    start_date: datetime
    end_date: datetime
    text_type: TextType
    max_bytes: int
    include_attachments: bool
    most_messages: int
    most_octets: int
    created: datetime
    expires_at: datetime
    status: ExportState = "queued"
    phase: ExportPhase = "indexing"
    progress: ExportProgress = ExportProgress()
    folders: tuple[str, ...] | None = None
    page: int = 0
    total: int | None = None
    untold: Event | None = None
    truncated: bool = False
    error: str | None = None
    error_code: str | None = None
    starts: int = 0
    careful: int = 0
    failures: int = 0
    revision: int = 0

    @property
    def under_way(self) -> bool:
        """Whether there is still something to do."""
        return self.status in ("queued", "processing")

    @property
    def done(self) -> int:
        """How many of the messages found were dealt with."""
        return self.progress.messages_exported + self.progress.messages_skipped


class ExportStore:
    """Exports in the accounts' slots; what they take up in the control tier."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def admit(self, export: Export, now: datetime, *, of_account: int, of_all: int, octets: int) -> int:
        """Note a new export as under way; 1 when too many are, 2 when what is kept has `octets` or more, else 0."""
        arguments = (now.timestamp(), export.id, _entry(export), export.account, of_account, of_all, octets)
        return int(await _ADMIT.run(self._store.control, [keys.EXPORTS], *arguments))

    async def note(self, export: Export) -> None:
        """Note what an export takes up by now."""
        await self._store.control.call("HSET", keys.EXPORTS, export.id, _entry(export))

    async def kept(self) -> int:
        """Return the octets of all exports that are kept."""
        return sum(msgspec.json.decode(entry)[3] for entry in await self._store.control.call("HVALS", keys.EXPORTS))

    async def add(self, export: Export, now: datetime) -> bool:
        """Store a new export; False when its account is gone."""
        account = export.account
        found = [keys.account(account), keys.export(account, export.id), keys.exports_of(account)]
        life = _life(export, now)
        return bool(
            await _ADD.run(self._store.data, found, to_json(export), life, export.created.timestamp(), export.id)
        )

    async def get(self, account: str, export_id: str) -> Export | None:
        """Return one export."""
        record, revision = await self._store.data.call("HMGET", keys.export(account, export_id), "record", "revision")
        if record is None:
            return None
        export = msgspec.structs.replace(msgspec.json.decode(record, type=Export), revision=int(revision))
        if not export.under_way:
            return export
        queued = await self._store.data.call("ZCARD", keys.export_messages(account, export_id))
        progress = msgspec.structs.replace(export.progress, messages_queued=int(queued))
        return msgspec.structs.replace(export, progress=progress)

    async def advance(
        self, export: Export, now: datetime, *, messages: Sequence[str] = (), content: bytes = b""
    ) -> Export | None:
        """Write an export, messages that were found, and octets that belong to the end of its file.

        Returns:
            The export as it is now. None, and nothing is written, when somebody else wrote it or it is gone.
        """
        sizes = await self._store.data.call("LLEN", keys.export_sizes(export.account, export.id)) if content else 0
        pieces: list[object] = []
        for number, at in enumerate(range(0, len(content), PIECE), int(sizes)):
            piece = content[at : at + PIECE]
            pieces += [len(piece), self._store.cipher.seal_octets(piece, _identity(export, number))]
        arguments = (export.revision, to_json(export), _life(export, now), len(messages), *messages, *pieces)
        queued = int(await _ADVANCE.run(self._store.data, _keys(export.account, export.id)[:4], *arguments))
        if queued < 0:
            return None
        await self.note(export)
        progress = msgspec.structs.replace(export.progress, messages_queued=queued)
        return msgspec.structs.replace(export, progress=progress, revision=export.revision + 1)

    async def messages(self, export: Export, count: int) -> list[str]:
        """Return the ids of the next messages to deal with."""
        name = keys.export_messages(export.account, export.id)
        found = await self._store.data.call("ZRANGE", name, export.done, export.done + count - 1)
        return [id.decode() for id in found]

    async def drop_messages(self, export: Export) -> None:
        """Forget the ids of the messages of an export that has ended."""
        await self._store.data.call("UNLINK", keys.export_messages(export.account, export.id))

    async def sizes(self, export: Export) -> list[int]:
        """Return the sizes of the pieces of the file, in octets."""
        found = await self._store.data.call("LRANGE", keys.export_sizes(export.account, export.id), 0, -1)
        return [int(size) for size in found]

    async def piece(self, export: Export, number: int) -> bytes | None:
        """Return one piece of the file; None when the export is gone."""
        sealed = await self._store.data.call("HGET", keys.export_content(export.account, export.id), number)
        return None if sealed is None else self._store.cipher.open_octets(sealed, _identity(export, number))

    async def of_account(self, account: str) -> list[str]:
        """Return the ids of an account's exports, newest first."""
        found = await self._store.data.call("ZREVRANGE", keys.exports_of(account), 0, -1)
        return [export_id.decode() for export_id in found]

    async def remove(self, account: str, export_id: str) -> bool:
        """Erase an export with its file; False when there is none."""
        removed = await self._store.data.call("UNLINK", *_keys(account, export_id))
        await self._store.data.call("ZREM", keys.exports_of(account), export_id)
        await self._store.control.call("HDEL", keys.EXPORTS, export_id)
        return bool(removed)


def _keys(account: str, export_id: str) -> list[str]:
    names = (keys.export, keys.export_messages, keys.export_content, keys.export_sizes)
    return [name(account, export_id) for name in names]


def _identity(export: Export, number: int) -> str:
    return f"export:{export.account}:{export.id}:{number}"


def _life(export: Export, now: datetime) -> int:
    return max(1, int((export.expires_at - now) / timedelta(seconds=1))) + _MARGIN


def _entry(export: Export) -> bytes:
    octets = export.progress.bytes_written
    return msgspec.json.encode((export.account, export.expires_at.timestamp(), export.under_way, octets))
