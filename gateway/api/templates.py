"""Templates of messages."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.api.call import Call
from gateway.api.errors import ForbiddenError
from gateway.api.operation import operation
from gateway.api.paging import Paging
from gateway.model.base import Payload
from gateway.model.template import (
    Template,
    TemplateCreate,
    TemplateCreated,
    TemplateDeleted,
    TemplateList,
    TemplatesFlushed,
    TemplateUpdate,
    TemplateUpdated,
)

_TEMPLATE = "/v1/templates/template/{template}"


class TemplatesQuery(Paging, frozen=True, kw_only=True):
    """Which templates."""

    account: Annotated[str, Meta(max_length=256, description="Left out: those for all accounts")] | None = None


class FlushQuery(Payload, frozen=True, kw_only=True):
    """Whether it is meant."""

    force: Annotated[bool, Meta(description="Must be true")] = False


@operation(
    "GET",
    "/v1/templates",
    operation_id="getV1Templates",
    summary="List templates",
    tag="Templates",
    action="read",
    group="template",
    binding="query",
    returns=TemplateList,
    errors=(404,),
)
async def list_templates(call: Call, query: TemplatesQuery) -> TemplateList:
    """List an account's templates, or those that every account may use."""
    return await call.services.templates.list(account=query.account, page=query.page, page_size=query.page_size)


@operation(
    "POST",
    "/v1/templates/template",
    operation_id="postV1TemplatesTemplate",
    summary="Create a template",
    tag="Templates",
    action="write",
    group="template",
    binding="controller",
    returns=TemplateCreated,
    errors=(404,),
    takes_mail=True,
)
async def create_template(call: Call, body: TemplateCreate) -> TemplateCreated:
    """Create a template. Its texts are Handlebars and are checked for that.

    They can name `params`, `account.name`, `account.email`, `service.url`, and in a mail merge `rcpt.name`,
    `rcpt.address` and, with `listId`, `rcpt.unsubscribeUrl`. `{{…}}` is escaped in `html` alone. With the format
    `markdown`, `html` is Markdown. A token of an account makes templates of that account.
    """
    if call.token.account is not None:
        body = msgspec.structs.replace(body, account=call.token.account)
    return await call.services.templates.create(body)


@operation(
    "GET",
    _TEMPLATE,
    operation_id="getV1TemplatesTemplateTemplate",
    summary="Read a template",
    tag="Templates",
    action="read",
    group="template",
    binding="controller",
    returns=Template,
    errors=(404,),
)
async def get_template(call: Call) -> Template:
    """Read one template with its texts."""
    await _keep_to_account(call)
    return await call.services.templates.get(call.path["template"])


@operation(
    "PUT",
    _TEMPLATE,
    operation_id="putV1TemplatesTemplateTemplate",
    summary="Change a template",
    tag="Templates",
    action="write",
    group="template",
    binding="controller",
    returns=TemplateUpdated,
    errors=(404,),
    takes_mail=True,
)
async def update_template(call: Call, body: TemplateUpdate) -> TemplateUpdated:
    """Change a template; `content` is replaced as a whole."""
    await _keep_to_account(call)
    return await call.services.templates.update(call.path["template"], body)


@operation(
    "DELETE",
    _TEMPLATE,
    operation_id="deleteV1TemplatesTemplateTemplate",
    summary="Delete a template",
    tag="Templates",
    action="destructive",
    group="template",
    binding="controller",
    returns=TemplateDeleted,
)
async def delete_template(call: Call) -> TemplateDeleted:
    """Delete one template. Messages that were made of it stay in the outbox."""
    await _keep_to_account(call)
    return await call.services.templates.delete(call.path["template"])


@operation(
    "DELETE",
    "/v1/templates/account/{account}",
    operation_id="deleteV1TemplatesAccountAccount",
    summary="Delete all templates of an account",
    tag="Templates",
    action="destructive",
    group="template",
    returns=TemplatesFlushed,
    errors=(404,),
)
async def flush_templates(call: Call, query: FlushQuery) -> TemplatesFlushed:
    """Delete every template of one account; `force` must be true."""
    return await call.services.templates.flush(call.account, force=query.force)


async def _keep_to_account(call: Call) -> None:
    """Refuse a token of an account every template that is not this account's own, whether it exists or not."""
    if call.token.account is None:
        return
    if await call.services.templates.owner(call.path["template"]) != call.token.account:
        raise ForbiddenError("Unauthorized account")


OPERATIONS = (list_templates, create_template, get_template, update_template, delete_template, flush_templates)
