"""Rendering: the texts of a submission, from a stored template or from the request itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway.errors import InvalidRequestError, ResourceNotFoundError
from gateway.model.submission import RenderOptions, SubmitRequest
from gateway.model.template import TemplateFormat
from gateway.services.account_payload import invalid
from gateway.services.runtime_settings import RuntimeSettingsService
from gateway.store.accounts import AccountConfig
from gateway.store.templates import TemplateStore
from gateway.templating import TemplateError, Texts, render

#: What the parts of a context of a template are made of.
Values = Mapping[str, Any]


class RenderingService:
    """Renders submissions."""

    def __init__(self, templates: TemplateStore, settings: RuntimeSettingsService) -> None:
        self._templates = templates
        self._settings = settings

    async def one(self, config: AccountConfig, request: SubmitRequest) -> SubmitRequest:
        """Return a submission with its texts as they are sent.

        Raises:
            ResourceNotFoundError: there is no such template for this account.
            InvalidRequestError: the texts cannot be rendered (code TemplateRenderFailed), or `raw` stands beside them.
        """
        if request.raw is not None and (request.template is not None or isinstance(request.render, RenderOptions)):
            raise invalid("raw", "cannot stand beside template or render")
        request, format = await self._filled(config, request)
        wanted = request.template is not None if request.render is None else request.render
        if not wanted:
            return request
        params = request.render.params if isinstance(request.render, RenderOptions) else {}
        (found,) = await self._rendered(config, request, format, [{"params": params}])
        if isinstance(found, InvalidRequestError):
            raise found
        return found

    async def each(
        self, config: AccountConfig, request: SubmitRequest, contexts: Sequence[Values]
    ) -> list[SubmitRequest | InvalidRequestError]:
        """Return a submission for each context, or why its texts cannot be rendered.

        Args:
            config: the account's.
            request: what they have in common.
            contexts: `params` and `rcpt` of each.

        Raises:
            ResourceNotFoundError: there is no such template for this account.
        """
        request, format = await self._filled(config, request)
        return await self._rendered(config, request, format, contexts)

    async def _filled(self, config: AccountConfig, request: SubmitRequest) -> tuple[SubmitRequest, TemplateFormat]:
        if request.template is None:
            return request, request.render.format if isinstance(request.render, RenderOptions) else "html"
        template = await self._templates.get(request.template)
        content = await self._templates.content(request.template)
        if template is None or content is None or template.account not in {None, config.account}:
            raise ResourceNotFoundError("There is no such template for this account", code="TemplateNotFound")
        given = {name: value for name, value in msgspec.structs.asdict(content).items() if value is not None}
        return msgspec.structs.replace(request, **given), template.format

    async def _rendered(
        self, config: AccountConfig, request: SubmitRequest, format: TemplateFormat, contexts: Sequence[Values]
    ) -> list[SubmitRequest | InvalidRequestError]:
        common = {
            "account": {"name": config.name, "email": config.email},
            "service": {"url": await self._settings.get("serviceUrl")},
        }
        texts = Texts(subject=request.subject, text=request.text, html=request.html, preview_text=request.preview_text)
        found = await asyncio.to_thread(render, texts, format, [{**context, **common} for context in contexts])
        return [_replaced(request, one) for one in found]


def _replaced(request: SubmitRequest, found: Texts | TemplateError) -> SubmitRequest | InvalidRequestError:
    if isinstance(found, TemplateError):
        key = "template" if request.template is not None else "render"
        return InvalidRequestError(
            "The message cannot be rendered", code="TemplateRenderFailed", fields=[{"message": str(found), "key": key}]
        )
    return msgspec.structs.replace(request, **msgspec.structs.asdict(found))
