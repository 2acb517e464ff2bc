"""API tokens, named by the SHA-256 of their value."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime

import msgspec

from gateway.model.token import TokenAccess, TokenRecord
from gateway.redis import keys
from gateway.store.store import Store, to_json


def token_id(value: str) -> str:
    """Return the id of a token: the SHA-256 of its value."""
    return hashlib.sha256(value.encode()).hexdigest()


class TokenStore:
    """Tokens in the control tier: one hash each, an index in the order of creation, a set per account."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def save(self, token: TokenRecord) -> None:
        """Store a new token."""
        created = token.created.timestamp() if token.created else 0.0
        async with self._store.databases.control.pipeline(transaction=True) as pipe:
            pipe.hset(keys.token(token.id), mapping={"record": to_json(token)})
            pipe.zadd(keys.TOKENS, {token.id: created})
            if token.account is not None:
                pipe.sadd(keys.account_tokens(token.account), token.id)
            await pipe.execute()

    async def get(self, id: str) -> TokenRecord | None:
        """Return a token by its id."""
        answer = await self._store.control.call("HMGET", keys.token(id), "record", "used", "from")
        record, used, address = answer
        if record is None:
            return None
        token = msgspec.json.decode(record, type=TokenRecord)
        # The key was named by the caller; comparing the stored id in constant time keeps a look-up from being the
        # only thing that decides.
        if not hmac.compare_digest(token.id, id):
            return None
        if used is None:
            return token
        access = TokenAccess(
            time=datetime.fromisoformat(used.decode()), ip=address.decode() if address is not None else None
        )
        return msgspec.structs.replace(token, access=access)

    async def touch(self, id: str, *, at: datetime, ip: str | None) -> None:
        """Remember that a token was used."""
        if await self._store.control.call("EXISTS", keys.token(id)):
            await self._store.control.call("HSET", keys.token(id), "used", at.isoformat(), "from", ip or "")

    async def count_call(self, id: str, window: int, seconds: int) -> int:
        """Count one call in a window of so many seconds, and return how many there were."""
        key = keys.token_calls(id, window)
        count = int(await self._store.control.call("INCR", key))
        if count == 1:
            await self._store.control.call("EXPIRE", key, seconds)
        return count

    async def delete(self, id: str) -> bool:
        """Delete a token; False when there is none."""
        token = await self.get(id)
        if token is None:
            return False
        async with self._store.databases.control.pipeline(transaction=True) as pipe:
            pipe.delete(keys.token(id))
            pipe.zrem(keys.TOKENS, id)
            if token.account is not None:
                pipe.srem(keys.account_tokens(token.account), id)
            await pipe.execute()
        return True

    async def all(self, account: str | None = None) -> list[TokenRecord]:
        """Return the tokens in the order of creation, or those bound to one account."""
        if account is None:
            ids = await self._store.control.call("ZRANGE", keys.TOKENS, 0, -1)
        else:
            ids = sorted(await self._store.control.call("SMEMBERS", keys.account_tokens(account)))
        found = [await self.get(id.decode()) for id in ids]
        return [token for token in found if token is not None]

    async def delete_of_account(self, account: str) -> None:
        """Delete every token that is bound to an account."""
        for token in await self.all(account):
            await self.delete(token.id)
        await self._store.control.call("DEL", keys.account_tokens(account))
