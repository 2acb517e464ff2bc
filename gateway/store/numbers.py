"""A durable numbering of names per account; see `gateway.provider.Numbers`."""

from __future__ import annotations

from gateway.errors import ResourceNotFoundError
from gateway.redis import Script, keys
from gateway.store.store import Store

# A number that arrives for an account that was deleted meanwhile must not bring a part of it back.
_NUMBER = Script("""
if redis.call('EXISTS', KEYS[3]) == 0 then return 0 end
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known then return tonumber(known) end
local number = redis.call('HLEN', KEYS[1]) + 1
redis.call('HSET', KEYS[1], ARGV[1], number)
redis.call('HSET', KEYS[2], number, ARGV[1])
return number
""")


class AccountNumbers:
    """The numbering of one account; numbers are never given twice, so both ways are remembered here for good."""

    def __init__(self, store: Store, account: str) -> None:
        self._store = store
        self._keys = (keys.numbers(account), keys.numbers_back(account), keys.account(account))
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}

    async def number(self, name: str) -> int:
        """Return the number of `name`, giving it the next free one if it has none.

        Raises:
            ResourceNotFoundError: the account is gone.
        """
        if name not in self._numbers:
            number = int(await _NUMBER.run(self._store.data, self._keys, name))
            if number == 0:
                raise ResourceNotFoundError("no such account", code="AccountNotFound")
            self._remember(name, number)
        return self._numbers[name]

    async def name(self, number: int) -> str | None:
        """Return the name that has this number, or None."""
        if number not in self._names:
            name = await self._store.data.call("HGET", self._keys[1], number)
            if name is None:
                return None
            self._remember(name.decode(), number)
        return self._names[number]

    def _remember(self, name: str, number: int) -> None:
        self._numbers[name] = number
        self._names[number] = name
