"""Templates: create, look up, change, delete."""

from __future__ import annotations

import asyncio
import secrets

import msgspec
from msgspec import UNSET

from gateway.errors import InvalidRequestError, ResourceNotFoundError
from gateway.model.template import (
    Template,
    TemplateContent,
    TemplateContentInfo,
    TemplateCreate,
    TemplateCreated,
    TemplateDeleted,
    TemplateList,
    TemplatesFlushed,
    TemplateSummary,
    TemplateUpdate,
    TemplateUpdated,
)
from gateway.provider import Clock
from gateway.services.account_payload import invalid
from gateway.services.paging import page_of
from gateway.store.accounts import AccountStore
from gateway.store.templates import StoredTemplate, TemplateStore
from gateway.templating import Texts, check

_KEYS = {"subject": "subject", "text": "text", "html": "html", "preview_text": "previewText"}


class TemplateService:
    """The templates of this installation."""

    def __init__(self, *, templates: TemplateStore, accounts: AccountStore, clock: Clock) -> None:
        self._templates = templates
        self._accounts = accounts
        self._clock = clock

    async def list(self, *, account: str | None, page: int, page_size: int) -> TemplateList:
        """Return one page of an account's templates, or of those that belong to all.

        Raises:
            ResourceNotFoundError: there is no such account.
        """
        await self._require_account(account)
        known = await self._templates.of_account(account)
        chunk, pages = page_of(known, page, page_size)
        shown = tuple(_summary(template) for template in chunk)
        return TemplateList(account=account, total=len(known), page=page, pages=pages, templates=shown)

    async def owner(self, id: str) -> str | None:
        """Return the account that a template belongs to; None when it belongs to all, or there is none."""
        found = await self._templates.get(id)
        return None if found is None else found.account

    async def get(self, id: str) -> Template:
        """Return one template with its texts.

        Raises:
            ResourceNotFoundError: there is no such template.
        """
        stored = await self._stored(id)
        content = await self._templates.content(id) or TemplateContent()
        return Template(
            **msgspec.structs.asdict(_summary(stored)),
            account=stored.account,
            content=TemplateContentInfo(**msgspec.structs.asdict(content)),
        )

    async def create(self, request: TemplateCreate) -> TemplateCreated:
        """Create a template.

        Raises:
            ResourceNotFoundError: there is no such account.
            InvalidRequestError: a text is not Handlebars; its fields name it.
        """
        await self._require_account(request.account)
        await _check(request.content)
        now = self._clock()
        template = StoredTemplate(
            id=f"tpl{secrets.token_hex(10)}",
            account=request.account,
            name=request.name,
            description=request.description,
            format=request.format,
            created=now,
            updated=now,
        )
        await self._templates.save(template, request.content)
        return TemplateCreated(account=template.account, id=template.id)

    async def update(self, id: str, request: TemplateUpdate) -> TemplateUpdated:
        """Change a template.

        Raises:
            ResourceNotFoundError: there is no such template.
            InvalidRequestError: a text is not Handlebars; its fields name it.
        """
        stored = await self._stored(id)
        content = None if isinstance(request.content, msgspec.UnsetType) else request.content
        if content is not None:
            await _check(content)
        names = ("name", "description", "format")
        changes = {name: value for name in names if (value := getattr(request, name)) is not UNSET}
        await self._templates.save(msgspec.structs.replace(stored, **changes, updated=self._clock()), content)
        return TemplateUpdated(account=stored.account, id=id)

    async def delete(self, id: str) -> TemplateDeleted:
        """Delete a template."""
        owner = await self.owner(id)
        return TemplateDeleted(deleted=await self._templates.delete(id), account=owner, id=id)

    async def flush(self, account: str, *, force: bool) -> TemplatesFlushed:
        """Delete every template of an account.

        Raises:
            InvalidRequestError: `force` is not set.
            ResourceNotFoundError: there is no such account.
        """
        if not force:
            raise invalid("force", "must be true, as this deletes every template of the account")
        await self._require_account(account)
        await self._templates.delete_of_account(account)
        return TemplatesFlushed(account=account)

    async def _stored(self, id: str) -> StoredTemplate:
        found = await self._templates.get(id)
        if found is None:
            raise ResourceNotFoundError("There is no such template", code="TemplateNotFound")
        return found

    async def _require_account(self, account: str | None) -> None:
        if account is not None and await self._accounts.get(account) is None:
            raise ResourceNotFoundError("no such account", code="AccountNotFound")


async def _check(content: TemplateContent) -> None:
    problems = await asyncio.to_thread(check, Texts(**msgspec.structs.asdict(content)))
    if problems:
        fields = [
            {"message": f'"content.{_KEYS[name]}" {problem}', "key": f"content.{_KEYS[name]}"}
            for name, problem in problems.items()
        ]
        raise InvalidRequestError("Input validation failed", fields=fields)


def _summary(template: StoredTemplate) -> TemplateSummary:
    return TemplateSummary(
        id=template.id,
        name=template.name,
        description=template.description,
        format=template.format,
        created=template.created,
        updated=template.updated,
    )
