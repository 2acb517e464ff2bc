"""When accounts last gave a sign of life, and when what is in their mailboxes was last taken in.

Two hashes in the control tier, as pages and metrics look at all accounts at once. Whoever watches many accounts notes
them together, every few seconds: a note costs one command, however many accounts it is about.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from gateway.redis import Script, keys
from gateway.store.store import Store, text_fields

# KEYS: accounts, alive, synced; ARGV: Unix time, number of those that are alive, their ids, ids of the synced ones.
# What is noted of an account that was deleted meanwhile must not bring a part of it back.
_NOTE = Script("""
local last = 2 + ARGV[2]
for at = 3, #ARGV do
  if redis.call('HEXISTS', KEYS[1], ARGV[at]) == 1 then
    redis.call('HSET', at <= last and KEYS[2] or KEYS[3], ARGV[at], ARGV[1])
  end
end
""")


#: How long it holds what a worker says of its connections.
HELD = timedelta(seconds=20)

# KEYS: connections of one worker; ARGV: milliseconds, accounts that it was said to have, number of those that are gone,
# their ids, account, number, ... False when what it said before has been forgotten.
_HOLD = Script("""
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
elseif redis.call('HLEN', KEYS[1]) ~= tonumber(ARGV[2]) then
  return 0
end
local last = 3 + ARGV[3]
for at = 4, last do redis.call('HDEL', KEYS[1], ARGV[at]) end
for at = last + 1, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
""")


class Signs(NamedTuple):
    """What is known of one account; None when there was nothing yet.

    Attributes:
        alive: its mail server answered then, or later.
        synced: its mailboxes, or one of them, were brought up to date then.
        connections: IMAP connections that workers hold.
    """

    alive: datetime | None = None
    synced: datetime | None = None
    connections: int = 0


class SignStore:
    """Signs of life of all accounts."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def note(self, at: datetime, *, alive: Collection[str] = (), synced: Collection[str] = ()) -> None:
        """Note that accounts gave a sign of life, and that mailboxes of accounts were taken in."""
        if alive or synced:
            names = [keys.ACCOUNTS, keys.ALIVE, keys.SYNCED]
            await _NOTE.run(self._store.control, names, round(at.timestamp(), 3), len(alive), *alive, *synced)

    async def of(self, accounts: Sequence[str]) -> list[Signs]:
        """Return the signs of accounts, in their order."""
        if not accounts:
            return []
        alive = await self._store.control.call("HMGET", keys.ALIVE, *accounts)
        synced = await self._store.control.call("HMGET", keys.SYNCED, *accounts)
        workers = [name.decode() for name in await self._store.control.call("SMEMBERS", keys.WORKERS)]
        held = [await self._store.control.call("HMGET", keys.connections(worker), *accounts) for worker in workers]
        counts = [sum(int(count or 0) for count in of_one) for of_one in zip(*held, strict=True)] or [0] * len(accounts)
        found = zip(alive, synced, counts, strict=True)
        return [Signs(_time(one), _time(other), count) for one, other, count in found]

    async def hold(self, worker: str, connections: Mapping[str, int], before: Mapping[str, int]) -> None:
        """Tell how many connections a worker holds to each account; only what is other than `before` is sent."""
        changed = [part for pair in connections.items() - before.items() for part in pair]
        gone = list(before.keys() - connections.keys())
        name, kept = keys.connections(worker), int(HELD.total_seconds() * 1000)
        done = await _HOLD.run(self._store.control, [name], kept, len(before), len(gone), *gone, *changed)
        if not done:
            await self.hold(worker, connections, {})

    async def all_alive(self) -> dict[str, datetime]:
        """Return when each account last gave a sign of life."""
        found = text_fields(await self._store.control.call("HGETALL", keys.ALIVE))
        return {account: datetime.fromtimestamp(float(at), UTC) for account, at in found.items()}


def _time(stamp: bytes | None) -> datetime | None:
    return None if stamp is None else datetime.fromtimestamp(float(stamp), UTC)
