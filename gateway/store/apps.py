"""OAuth2 apps: the record in the clear, its secrets sealed beside it."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.model.account_errors import LastError
from gateway.model.oauth2 import AppRecord
from gateway.redis import keys
from gateway.store.store import Store, text_fields, to_json

SECRET_FIELDS: tuple[str, ...] = ("clientSecret", "serviceKey", "externalAccount")


class StoredApp(msgspec.Struct, frozen=True, kw_only=True):
    """An app with its secrets opened; never shown, never logged."""

    record: AppRecord
    secrets: dict[str, str]

    def __repr__(self) -> str:
        return f"StoredApp(id={self.record.id!r})"


class AppStore:
    """Apps in the control tier: one hash each, an index in the order of creation, and who signed in through it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def save(self, app: StoredApp) -> None:
        """Store an app, new or changed; its last error is kept apart and survives."""
        record = msgspec.structs.replace(app.record, last_error=None)
        sealed: dict[Any, Any] = {
            f"secret:{name}": self._store.cipher.seal(value, f"app:{record.id}:{name}")
            for name, value in app.secrets.items()
        }
        created = record.created.timestamp() if record.created else 0.0
        async with self._store.databases.control.pipeline(transaction=True) as pipe:
            pipe.hdel(keys.app(record.id), *(f"secret:{name}" for name in SECRET_FIELDS))
            pipe.hset(keys.app(record.id), mapping={**sealed, "record": to_json(record)})
            pipe.zadd(keys.APPS, {record.id: created})
            await pipe.execute()

    async def get(self, id: str) -> StoredApp | None:
        """Return an app by its id."""
        fields = text_fields(await self._store.control.call("HGETALL", keys.app(id)))
        if "record" not in fields:
            return None
        record = msgspec.json.decode(fields["record"], type=AppRecord)
        if fields.get("error"):
            error = msgspec.json.decode(fields["error"], type=LastError)
            record = msgspec.structs.replace(record, last_error=error)
        secrets = {
            name: self._store.cipher.open(fields[f"secret:{name}"], f"app:{id}:{name}")
            for name in SECRET_FIELDS
            if f"secret:{name}" in fields
        }
        return StoredApp(record=record, secrets=secrets)

    async def ids(self) -> list[str]:
        """Return the ids of all apps in the order of creation."""
        return [id.decode() for id in await self._store.control.call("ZRANGE", keys.APPS, 0, -1)]

    async def delete(self, id: str) -> None:
        """Delete an app and the list of its accounts."""
        async with self._store.databases.control.pipeline(transaction=True) as pipe:
            pipe.delete(keys.app(id), keys.app_accounts(id))
            pipe.zrem(keys.APPS, id)
            await pipe.execute()

    async def set_error(self, id: str, error: LastError | None) -> None:
        """Remember why token requests of the app fail, or that they work again."""
        if error is None:
            await self._store.control.call("HDEL", keys.app(id), "error")
        elif await self._store.control.call("EXISTS", keys.app(id)):
            await self._store.control.call("HSET", keys.app(id), "error", to_json(error))

    async def claim_user(self, id: str, user: str, account: str) -> str:
        """Note that `account` is the one that signed in as `user`; return the account that holds the user now."""
        key = keys.app_accounts(id)
        await self._store.control.call("HSETNX", key, user.lower(), account)
        holder: Any = await self._store.control.call("HGET", key, user.lower())
        return str(holder.decode())

    async def release_user(self, id: str, user: str, account: str) -> None:
        """Forget that `account` signed in as `user`."""
        key = keys.app_accounts(id)
        if await self._store.control.call("HGET", key, user.lower()) == account.encode():
            await self._store.control.call("HDEL", key, user.lower())

    async def account_count(self, id: str) -> int:
        """Return how many accounts signed in through an app."""
        return int(await self._store.control.call("HLEN", keys.app_accounts(id)))
