"""OAuth2 apps: register, look up, change, diagnose."""

from __future__ import annotations

from gateway.api.call import Call
from gateway.api.operation import operation
from gateway.api.paging import Paging
from gateway.model.oauth2 import (
    AppCreate,
    AppCreated,
    AppDeleted,
    AppDetail,
    AppList,
    AppUpdate,
    AppUpdated,
    VerifyApp,
    VerifyAppResult,
)
from gateway.queue import operations

_APP = "/v1/oauth2/{app}"


@operation(
    "GET",
    "/v1/oauth2",
    operation_id="getV1Oauth2",
    summary="List OAuth2 apps",
    tag="OAuth2 Applications",
    action="read",
    group="admin",
    returns=AppList,
)
async def list_apps(call: Call, query: Paging) -> AppList:
    """List OAuth2 apps; secrets are masked."""
    return await call.services.apps.list(query.page, query.page_size)


@operation(
    "POST",
    "/v1/oauth2",
    operation_id="postV1Oauth2",
    summary="Register an OAuth2 app",
    tag="OAuth2 Applications",
    action="write",
    group="admin",
    returns=AppCreated,
)
async def create_app(call: Call, body: AppCreate) -> AppCreated:
    """Register an OAuth2 app. Which members are needed depends on its provider."""
    return await call.services.apps.create(body)


@operation(
    "GET",
    _APP,
    operation_id="getV1Oauth2App",
    summary="Read an OAuth2 app",
    tag="OAuth2 Applications",
    action="read",
    group="admin",
    returns=AppDetail,
    errors=(404,),
)
async def get_app(call: Call) -> AppDetail:
    """Read one OAuth2 app with the number of its accounts; secrets are masked."""
    return await call.services.apps.get(call.path["app"])


@operation(
    "PUT",
    _APP,
    operation_id="putV1Oauth2App",
    summary="Update an OAuth2 app",
    tag="OAuth2 Applications",
    action="write",
    group="admin",
    returns=AppUpdated,
    errors=(404,),
)
async def update_app(call: Call, body: AppUpdate) -> AppUpdated:
    """Change an OAuth2 app; `provider` and `baseScopes` cannot change. Its waiting accounts try again."""
    return await call.services.apps.update(call.path["app"], body)


@operation(
    "DELETE",
    _APP,
    operation_id="deleteV1Oauth2App",
    summary="Delete an OAuth2 app",
    tag="OAuth2 Applications",
    action="destructive",
    group="admin",
    returns=AppDeleted,
    errors=(404,),
)
async def delete_app(call: Call) -> AppDeleted:
    """Delete an OAuth2 app. Its accounts stay, and cannot renew their tokens any more."""
    return await call.services.apps.delete(call.path["app"])


@operation(
    "POST",
    f"{_APP}/verify",
    operation_id="postV1Oauth2AppVerify",
    summary="Diagnose an OAuth2 app",
    tag="OAuth2 Applications",
    action="read",
    group="admin",
    returns=VerifyAppResult,
    errors=(404,),
)
async def verify_app(call: Call, body: VerifyApp) -> bytes:
    """Try an OAuth2 app step by step. Answers 200 also when a step fails."""
    await call.services.apps.stored(call.path["app"])
    arguments = operations.VerifyOAuth2(
        app=call.path["app"], account=body.account or "", test_connection=body.test_connection
    )
    return await call.services.jobs.call(operations.OAUTH_VERIFY, "", arguments, timeout=max(call.timeout, 30.0))


@operation(
    "GET",
    "/v1/pubsub/status",
    operation_id="getV1PubsubStatus",
    summary="List Pub/Sub apps",
    tag="OAuth2 Applications",
    action="read",
    group="diagnostics",
    returns=AppList,
)
async def list_pub_sub_apps(call: Call, query: Paging) -> AppList:
    """List the OAuth2 apps with the base scopes `pubsub`, by which Google tells of new mail.

    It needs a plugin that registers such apps; of those that come with the gateway none does, so the list is empty.
    """
    return await call.services.apps.list_pub_sub(query.page, query.page_size)


OPERATIONS = (list_apps, create_app, get_app, update_app, delete_app, verify_app, list_pub_sub_apps)
