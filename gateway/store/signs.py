"""When accounts last gave a sign of life, and when what is in their mailboxes was last taken in.

Two hashes in the control tier, as pages and metrics look at all accounts at once. Whoever watches many accounts notes
them together, every few seconds: a note costs one command, however many accounts it is about.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
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


class Signs(NamedTuple):
    """What is known of one account; None when there was nothing yet.

    Attributes:
        alive: its mail server answered then, or later.
        synced: its mailboxes, or one of them, were brought up to date then.
    """

    alive: datetime | None = None
    synced: datetime | None = None


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
        return [Signs(_time(one), _time(other)) for one, other in zip(alive, synced, strict=True)]

    async def all_alive(self) -> dict[str, datetime]:
        """Return when each account last gave a sign of life."""
        found = text_fields(await self._store.control.call("HGETALL", keys.ALIVE))
        return {account: datetime.fromtimestamp(float(at), UTC) for account, at in found.items()}


def _time(stamp: bytes | None) -> datetime | None:
    return None if stamp is None else datetime.fromtimestamp(float(stamp), UTC)
