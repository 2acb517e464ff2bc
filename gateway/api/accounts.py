"""Accounts: create, look up, change, reconnect, delete, verify."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.api.call import Call
from gateway.api.operation import operation
from gateway.api.paging import Paging
from gateway.api.requests import read_timeout
from gateway.errors import GatewayError
from gateway.model.account import (
    AccountCreate,
    AccountCreated,
    AccountDeleted,
    AccountDetail,
    AccountList,
    AccountReference,
    AccountState,
    AccountUpdate,
    FlushRequest,
    FlushResult,
    FormLink,
    FormRequest,
    OAuth2Config,
    OAuthTokenInfo,
    QuotaInfo,
    ReconnectRequest,
    ReconnectResult,
    SyncRequest,
    SyncResult,
)
from gateway.model.base import Payload
from gateway.model.signature import SignatureList
from gateway.model.verification import VerifyAccount, VerifyResult
from gateway.queue import operations
from gateway.services.verification import TIMEOUT as VERIFICATION_TIMEOUT

_ACCOUNT = "/v1/account/{account}"


class AccountsQuery(Paging, frozen=True, kw_only=True):
    """Which accounts."""

    state: AccountState | None = None
    query: Annotated[str, Meta(max_length=1024, description="Part of an id, name or address, in any case")] | None = (
        None
    )


class AccountQuery(Payload, frozen=True, kw_only=True):
    """What to tell besides what is stored."""

    quota: Annotated[bool, Meta(description="Ask the mail server for the quota")] = False


class DeleteAccountQuery(Payload, frozen=True, kw_only=True):
    """How to delete."""

    revoke: Annotated[bool, Meta(description="Also withdraw the grant at the provider, where that is possible")] = False


@operation(
    "POST",
    "/v1/account",
    operation_id="postV1Account",
    summary="Register an account",
    tag="Account",
    action="write",
    group="admin",
    returns=AccountCreated,
)
async def create_account(call: Call, body: AccountCreate) -> AccountCreated:
    """Create an account, or update the one with this id. Credentials are tried in the background: watch its state.

    With `oauth2.authorize` nothing is created yet: the answer holds the provider's sign-in link.
    """
    if isinstance(body.oauth2, OAuth2Config) and body.oauth2.authorize:
        return await call.services.sign_in.authorize(body)
    return await call.services.accounts.create(body)


@operation(
    "GET",
    "/v1/accounts",
    operation_id="getV1Accounts",
    summary="List accounts",
    tag="Account",
    action="read",
    group="account",
    returns=AccountList,
)
async def list_accounts(call: Call, query: AccountsQuery) -> AccountList:
    """List accounts with their states and last errors, ordered by id."""
    return await call.services.accounts.list(
        page=query.page, page_size=query.page_size, state=query.state, query=query.query
    )


@operation(
    "GET",
    _ACCOUNT,
    operation_id="getV1AccountAccount",
    summary="Read an account",
    tag="Account",
    action="read",
    group="account",
    returns=AccountDetail,
    errors=(404,),
)
async def get_account(call: Call, query: AccountQuery) -> AccountDetail:
    """Read one account; secrets are masked."""
    detail = await call.services.accounts.get(call.account)
    if not query.quota:
        return detail
    return msgspec.structs.replace(detail, quota=await _quota(call))


async def _quota(call: Call) -> QuotaInfo | bool:
    try:
        await call.services.accounts.require_operational(call.account)
        answer = await call.services.jobs.call(
            operations.ACCOUNT_QUOTA, call.account, operations.NoArguments(), timeout=call.timeout
        )
    except GatewayError:
        # What is stored is told in any case; the quota is an addition.
        return False
    found = msgspec.json.decode(answer, type=QuotaInfo | None)
    return found if found is not None else False


@operation(
    "PUT",
    _ACCOUNT,
    operation_id="putV1AccountAccount",
    summary="Update an account",
    tag="Account",
    action="write",
    group="admin",
    returns=AccountReference,
    errors=(404,),
)
async def update_account(call: Call, body: AccountUpdate) -> AccountReference:
    """Change an account; members that are absent stay. `imap`, `smtp` and `oauth2` are replaced unless `partial`."""
    return await call.services.accounts.update(call.account, body)


@operation(
    "DELETE",
    _ACCOUNT,
    operation_id="deleteV1AccountAccount",
    summary="Delete an account",
    tag="Account",
    action="destructive",
    group="account",
    returns=AccountDeleted,
    errors=(404,),
)
async def delete_account(call: Call, query: DeleteAccountQuery) -> AccountDeleted:
    """Delete an account with its tokens, its queued mail and everything else that belongs to it."""
    return await call.services.accounts.delete(call.account, revoke=query.revoke)


@operation(
    "PUT",
    f"{_ACCOUNT}/reconnect",
    operation_id="putV1AccountAccountReconnect",
    summary="Reconnect an account",
    tag="Account",
    action="write",
    group="account",
    returns=ReconnectResult,
    errors=(404,),
)
async def reconnect_account(call: Call, body: ReconnectRequest) -> ReconnectResult:
    """Close the account's connections and build them anew, in the background."""
    await call.services.accounts.recent_state(call.account)
    if body.reconnect:
        await call.services.accounts.reconnect(call.account)
    return ReconnectResult(reconnect=body.reconnect)


@operation(
    "PUT",
    f"{_ACCOUNT}/sync",
    operation_id="putV1AccountAccountSync",
    summary="Sync an account now",
    tag="Account",
    action="write",
    group="account",
    returns=SyncResult,
    errors=(404, 503),
)
async def sync_account(call: Call, body: SyncRequest) -> SyncResult:
    """Look at the account's mailboxes now, in the background."""
    await call.services.accounts.require_operational(call.account)
    if body.sync:
        await call.services.dispatcher.sync(call.account)
    return SyncResult(sync=body.sync)


@operation(
    "PUT",
    f"{_ACCOUNT}/flush",
    operation_id="putV1AccountAccountFlush",
    summary="Rebuild an account's index",
    tag="Account",
    action="destructive",
    group="account",
    returns=FlushResult,
    errors=(404,),
)
async def flush_account(call: Call, body: FlushRequest) -> FlushResult:
    """Forget what is known of the account's mail and connect anew. Message ids stay valid."""
    await call.services.accounts.recent_state(call.account)
    if body.flush:
        await call.services.accounts.flush(call.account, body)
    return FlushResult(flush=body.flush)


@operation(
    "GET",
    f"{_ACCOUNT}/oauth-token",
    operation_id="getV1AccountAccountOauthtoken",
    summary="Get an access token",
    tag="Account",
    action="read",
    group="admin",
    returns=OAuthTokenInfo,
    errors=(404, 503),
)
async def get_oauth_token(call: Call) -> OAuthTokenInfo:
    """Hand out a valid OAuth2 access token. Off unless the setting `enableOAuthTokensApi` is on."""
    return await call.services.accounts.oauth_token(call.account)


@operation(
    "GET",
    f"{_ACCOUNT}/server-signatures",
    operation_id="getV1AccountAccountServersignatures",
    summary="List the provider's signatures",
    tag="Account",
    action="read",
    group="account",
    returns=SignatureList,
    errors=(404, 503),
)
async def list_signatures(call: Call) -> bytes:
    """Read the signatures that the provider keeps, where it keeps any."""
    await call.services.accounts.require_operational(call.account)
    return await call.services.jobs.call(
        operations.ACCOUNT_SIGNATURES, call.account, operations.NoArguments(), timeout=call.timeout
    )


@operation(
    "POST",
    "/v1/verifyAccount",
    operation_id="postV1Verifyaccount",
    summary="Test servers and logins",
    tag="Account",
    action="read",
    group="admin",
    returns=VerifyResult,
    errors=(504,),
)
async def verify_account(call: Call, body: VerifyAccount) -> VerifyResult:
    """Test IMAP and SMTP servers without storing anything."""
    return await call.services.verification.verify(body, read_timeout(call.headers, VERIFICATION_TIMEOUT))


@operation(
    "POST",
    "/v1/authentication/form",
    operation_id="postV1AuthenticationForm",
    summary="Make a link to the hosted form",
    tag="Account",
    action="write",
    group="admin",
    returns=FormLink,
)
async def create_form_link(call: Call, body: FormRequest) -> FormLink:
    """Make a signed link to the hosted sign-in form. It works once, and for just under a day."""
    return await call.services.sign_in.form_link(body)


OPERATIONS = (
    create_account,
    list_accounts,
    get_account,
    update_account,
    delete_account,
    reconnect_account,
    sync_account,
    flush_account,
    get_oauth_token,
    list_signatures,
    verify_account,
    create_form_link,
)
