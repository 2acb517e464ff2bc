"""Subscriptions of accounts whose service calls us, and what it called for that nobody has looked at yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Literal

import msgspec

from gateway.redis import Script, keys
from gateway.store.store import Store, to_json

PushState = Literal["creating", "created", "error"]
PushStatus = Literal["valid", "expired", "unset", "failed", "pending"]

#: Seconds that hints wait for somebody to look; an account that nobody looks at is looked at as a whole later.
_KEPT = 86_400

# An account that was deleted meanwhile leaves nothing behind.
# KEYS: the account, its subscription; ARGV: the record
_PUT = Script("if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('SET', KEYS[2], ARGV[1]) end")

#: What is to be counted of an account whose subscription has no end.
_SCORES: Mapping[PushStatus, int] = MappingProxyType({"unset": -1, "failed": -2, "pending": -3})
# KEYS: accounts, ends of their subscriptions; ARGV: the account, its score
_COUNT = Script("""
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1]) end
""")


class PushRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One account's subscription.

    Attributes:
        id: at the service; empty while there is none.
        url: where the service calls.
        expires: when it ends, as the service says.
        secret: SHA-256 of what its calls bring along, in hexadecimal.
        proven: when the service last confirmed it.
        state: what became of the last step, `time` when that was.
        failures: attempts to renew or create that failed in a row.
        code, text: why there is none, or the last step failed.
        retry_at: when the next attempt is due.
    """

    id: str = ""
    url: str = ""
    expires: datetime | None = None
    secret: str = ""
    proven: datetime | None = None
    state: PushState = "error"
    time: datetime | None = None
    failures: int = 0
    code: str | None = None
    text: str | None = None
    retry_at: datetime | None = None


_decode = msgspec.json.Decoder(PushRecord).decode


class PushStore:
    """One record and one set of hints for each account, in the data tier.

    When each subscription ends stands in the control tier, too, as metrics count those of all accounts at once.
    """

    def __init__(self, store: Store) -> None:
        self._data = store.data
        self._control = store.control

    async def get(self, account: str) -> PushRecord | None:
        """Return the account's record."""
        found = await self._data.call("GET", keys.push(account))
        return None if found is None else _decode(found)

    async def put(self, account: str, record: PushRecord) -> None:
        """Write the account's record."""
        await _PUT.run(self._data, [keys.account(account), keys.push(account)], to_json(record))
        await _COUNT.run(self._control, [keys.ACCOUNTS, keys.PUSHES], account, _score(record))

    async def counts(self, now: datetime) -> dict[PushStatus, int]:
        """Return how many accounts have a subscription that lives or has ended, or why they have none."""
        ranges: dict[PushStatus, tuple[object, object]] = {
            "valid": (f"({now.timestamp()}", "+inf"),
            "expired": (0, now.timestamp()),
            **{status: (score, score) for status, score in _SCORES.items()},
        }
        return {status: await self._control.call("ZCOUNT", keys.PUSHES, *bounds) for status, bounds in ranges.items()}

    async def hint(self, account: str, hints: Iterable[str]) -> None:
        """Remember what the account's service called for."""
        await self._data.call("SADD", keys.push_hints(account), *hints)
        await self._data.call("EXPIRE", keys.push_hints(account), _KEPT)

    async def take(self, account: str, count: int) -> list[str]:
        """Return hints and forget them."""
        return [hint.decode() for hint in await self._data.call("SPOP", keys.push_hints(account), count)]


def _score(record: PushRecord) -> float:
    """Return when a subscription ends; below zero for one that does not exist."""
    if record.id and record.expires is not None:
        return record.expires.timestamp()
    if record.state == "creating":
        return _SCORES["pending"]
    return _SCORES["failed" if record.failures else "unset"]
