"""Webhook routes, and what is wrong with endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from gateway.model.account import CustomHeader
from gateway.redis import keys
from gateway.store.store import Store, text_fields, to_json


class StoredRoute(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A webhook route as it is stored. What happened before `since` is none of its business."""

    id: str
    name: str
    target_url: str
    created: datetime
    updated: datetime
    since: datetime
    description: str | None = None
    enabled: bool = True
    custom_headers: tuple[CustomHeader, ...] = ()
    filter: str | None = None
    mapping: str | None = None
    version: int = 1


class Trouble(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is wrong with an endpoint.

    Attributes:
        message: of the last failure.
        disabled: nothing is delivered until somebody edits the endpoint.
        paused: nothing is delivered until then, because its server asked for that.
    """

    message: str
    time: datetime
    disabled: bool = False
    paused: datetime | None = None


class EndpointStore:
    """Routes, whose URLs and headers are sealed, and troubles; both in the control tier."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def save(self, route: StoredRoute) -> None:
        """Store a route, new or changed."""
        sealed = self._store.cipher.seal(to_json(route), f"webhook:{route.id}")
        await self._store.control.call("HSET", keys.WEBHOOK_ROUTES, route.id, sealed)

    async def route(self, id: str) -> StoredRoute | None:
        """Return one route."""
        sealed = await self._store.control.call("HGET", keys.WEBHOOK_ROUTES, id)
        return None if sealed is None else self._open(id, sealed.decode())

    async def routes(self) -> list[StoredRoute]:
        """Return every route in the order of creation."""
        stored = text_fields(await self._store.control.call("HGETALL", keys.WEBHOOK_ROUTES))
        return sorted((self._open(id, sealed) for id, sealed in stored.items()), key=lambda route: route.created)

    async def delete(self, id: str) -> bool:
        """Delete a route; False when there is none."""
        await self.clear(id)
        return bool(await self._store.control.call("HDEL", keys.WEBHOOK_ROUTES, id))

    async def troubles(self, names: Sequence[str]) -> list[Trouble | None]:
        """Return what is wrong with endpoints."""
        if not names:
            return []
        found = await self._store.control.call("HMGET", keys.WEBHOOK_TROUBLES, *names)
        return [None if value is None else msgspec.json.decode(value, type=Trouble) for value in found]

    async def all_troubles(self) -> dict[str, Trouble]:
        """Return everything that is wrong, by the endpoint's name."""
        stored = text_fields(await self._store.control.call("HGETALL", keys.WEBHOOK_TROUBLES))
        return {name: msgspec.json.decode(value, type=Trouble) for name, value in stored.items()}

    async def set_trouble(self, name: str, trouble: Trouble) -> None:
        """Remember what is wrong with an endpoint."""
        await self._store.control.call("HSET", keys.WEBHOOK_TROUBLES, name, to_json(trouble))

    async def clear(self, name: str) -> None:
        """Forget that anything was wrong."""
        await self._store.control.call("HDEL", keys.WEBHOOK_TROUBLES, name)

    def _open(self, id: str, sealed: str) -> StoredRoute:
        return msgspec.json.decode(self._store.cipher.open(sealed, f"webhook:{id}"), type=StoredRoute)
