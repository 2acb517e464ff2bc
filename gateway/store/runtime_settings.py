"""Settings that change at run time (``/v1/settings``), as JSON values in one hash; secret ones sealed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway.redis import keys
from gateway.store.store import Store, text_fields, to_json

#: Settings whose value is never shown.
SECRET_SETTINGS: frozenset[str] = frozenset({"serviceSecret", "webhookSecrets"})

#: Settings that may hold a secret in a part that is shown to those who may read settings.
SEALED_SETTINGS = SECRET_SETTINGS | {"webhooks", "webhooksCustomHeaders", "proxyUrl"}


class RuntimeSettingsStore:
    """The settings hash of the control tier."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, name: str) -> Any:
        """Return one setting, None when it was never made."""
        value = await self._store.control.call("HGET", keys.SETTINGS, name)
        return None if value is None else self._decode(name, value.decode())

    async def many(self, names: Sequence[str]) -> dict[str, Any]:
        """Return some settings; one that was never made is None."""
        found = await self._store.control.call("HMGET", keys.SETTINGS, *names)
        pairs = zip(names, found, strict=True)
        return {name: None if value is None else self._decode(name, value.decode()) for name, value in pairs}

    async def all(self) -> dict[str, Any]:
        """Return every setting that was made."""
        stored = text_fields(await self._store.control.call("HGETALL", keys.SETTINGS))
        return {name: self._decode(name, value) for name, value in stored.items()}

    async def save(self, values: Mapping[str, Any]) -> None:
        """Make settings; None removes one."""
        for name, value in values.items():
            if value is None:
                await self._store.control.call("HDEL", keys.SETTINGS, name)
            else:
                await self._store.control.call("HSET", keys.SETTINGS, name, self._encode(name, value))

    async def save_first(self, name: str, value: Any) -> Any:
        """Make a setting unless it was made already, and return the one that holds now."""
        await self._store.control.call("HSETNX", keys.SETTINGS, name, self._encode(name, value))
        return await self.get(name)

    def _encode(self, name: str, value: Any) -> str:
        text = to_json(value)
        return self._store.cipher.seal(text, f"settings:{name}") if name in SEALED_SETTINGS else text

    def _decode(self, name: str, text: str) -> Any:
        if name in SEALED_SETTINGS:
            text = self._store.cipher.open(text, f"settings:{name}")
        return msgspec.json.decode(text)
