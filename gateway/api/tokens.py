"""API tokens."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gateway.api.call import Call
from gateway.api.operation import operation
from gateway.api.paging import Page, Paging
from gateway.model.base import Payload
from gateway.model.token import TokenCreate, TokenCreated, TokenDeleted, TokenList, TokenLog, TokenRecord

_TOKEN = "/v1/tokens/{token}"


class TokensQuery(Paging, frozen=True, kw_only=True):
    """Which tokens."""

    query: Annotated[str, Meta(max_length=1024, description="Part of an id or description")] | None = None
    account: Annotated[str, Meta(max_length=256, description="Only tokens bound to this account")] | None = None


class TokenLogQuery(Payload, frozen=True, kw_only=True):
    """Which part of the audit trail."""

    page: Page = 0
    page_size: Annotated[int, Meta(ge=1, le=200, description="Entries on a page")] = 20


@operation(
    "GET",
    "/v1/tokens",
    operation_id="getV1Tokens",
    summary="List tokens",
    tag="Access Tokens",
    action="read",
    group="admin",
    binding="query",
    returns=TokenList,
)
async def list_tokens(call: Call, query: TokensQuery) -> TokenList:
    """List tokens by their ids; values are kept nowhere."""
    return await call.services.tokens.list(
        page=query.page, page_size=query.page_size, account=query.account, query=query.query
    )


@operation(
    "POST",
    "/v1/tokens",
    operation_id="postV1Tokens",
    summary="Issue a token",
    tag="Access Tokens",
    action="write",
    group="admin",
    returns=TokenCreated,
    errors=(404,),
    # Its metadata alone may fill an ordinary body.
    takes_mail=True,
)
async def create_token(call: Call, body: TokenCreate) -> TokenCreated:
    """Issue a token that is bound to an account or narrowed by `permissions`. Its value is shown this once."""
    return await call.services.tokens.issue(body)


@operation(
    "GET",
    _TOKEN,
    operation_id="getV1TokensToken",
    summary="Read a token",
    tag="Access Tokens",
    action="read",
    group="admin",
    returns=TokenRecord,
    errors=(404,),
)
async def get_token(call: Call) -> TokenRecord:
    """Read one token by its id."""
    return await call.services.tokens.get(call.path["token"])


@operation(
    "DELETE",
    _TOKEN,
    operation_id="deleteV1TokensToken",
    summary="Revoke a token",
    tag="Access Tokens",
    action="destructive",
    group="admin",
    returns=TokenDeleted,
)
async def delete_token(call: Call) -> TokenDeleted:
    """Revoke a token, named by its id or by its value."""
    return await call.services.tokens.delete(call.path["token"])


@operation(
    "GET",
    f"{_TOKEN}/log",
    operation_id="getV1TokensTokenLog",
    summary="Read a token's audit trail",
    tag="Access Tokens",
    action="read",
    group="admin",
    returns=TokenLog,
    errors=(404,),
)
async def get_token_log(call: Call, query: TokenLogQuery) -> TokenLog:
    """Read the audit trail of a token. None is kept yet, so it is empty."""
    return await call.services.tokens.log(call.path["token"], page=query.page, page_size=query.page_size)


OPERATIONS = (list_tokens, create_token, get_token, delete_token, get_token_log)
