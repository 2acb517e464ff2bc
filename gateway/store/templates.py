"""Templates: what lists show in one hash of the control tier, the texts of each sealed in a key of its own."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.model.template import TemplateContent, TemplateFormat
from gateway.redis import keys
from gateway.store.store import Store, text_fields, to_json


class StoredTemplate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A template without its texts; one without `account` belongs to all."""

    id: str
    account: str | None = None
    name: str
    description: str | None = None
    format: TemplateFormat = "html"
    created: datetime
    updated: datetime


class TemplateStore:
    """The templates of this installation."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def save(self, template: StoredTemplate, content: TemplateContent | None) -> None:
        """Store a template, new or changed; without `content` its texts stay as they are."""
        async with self._store.databases.control.pipeline(transaction=True) as pipe:
            pipe.hset(keys.TEMPLATES, template.id, to_json(template))
            if content is not None:
                sealed = self._store.cipher.seal(to_json(content), f"template:{template.id}")
                pipe.set(keys.template_content(template.id), sealed)
            await pipe.execute()

    async def get(self, id: str) -> StoredTemplate | None:
        """Return one template."""
        found = await self._store.control.call("HGET", keys.TEMPLATES, id)
        return None if found is None else msgspec.json.decode(found, type=StoredTemplate)

    async def content(self, id: str) -> TemplateContent | None:
        """Return the texts of a template."""
        sealed = await self._store.control.call("GET", keys.template_content(id))
        if sealed is None:
            return None
        return msgspec.json.decode(self._store.cipher.open(sealed.decode(), f"template:{id}"), type=TemplateContent)

    async def of_account(self, account: str | None) -> list[StoredTemplate]:
        """Return an account's templates, or those that belong to all, in the order of creation."""
        stored = text_fields(await self._store.control.call("HGETALL", keys.TEMPLATES))
        every = (msgspec.json.decode(record, type=StoredTemplate) for record in stored.values())
        return sorted((one for one in every if one.account == account), key=lambda one: (one.created, one.id))

    async def delete(self, id: str) -> bool:
        """Delete a template; False when there is none."""
        async with self._store.databases.control.pipeline(transaction=True) as pipe:
            pipe.hdel(keys.TEMPLATES, id)
            pipe.delete(keys.template_content(id))
            removed: list[int] = await pipe.execute()
        return bool(removed[0])

    async def delete_of_account(self, account: str) -> None:
        """Delete every template of an account."""
        for template in await self.of_account(account):
            await self.delete(template.id)
