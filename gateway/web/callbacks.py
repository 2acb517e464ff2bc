"""Where mail services call us: that something changed, and what happened to a subscription.

https://learn.microsoft.com/graph/change-notifications-delivery-webhooks
"""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, Response, post
from litestar.params import FromQuery, QueryParameter

from gateway.redis import UNREACHABLE
from gateway.services.push import LIFECYCLE_PATH, NOTIFICATION_PATH
from gateway.web.injected import Services

ValidationToken = Annotated[str | None, QueryParameter(name="validationToken")]

#: A token comes from outside: whatever it says, no browser takes it for a page.
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
_LONGEST_TOKEN = 4096

#: Octets of a call; a thousand changes have half of that.
_MAX_CALL = 1024 * 1024


@post([NOTIFICATION_PATH, LIFECYCLE_PATH], status_code=202, request_max_body_size=_MAX_CALL)
async def take_call(
    request: Request[Any, Any, Any],
    services: Services,
    account: FromQuery[str] = "",
    token: ValidationToken = None,
) -> Response[str]:
    """Take a call, or show the service that calls are taken here.

    Forgeries are answered like the others. Only what could not be remembered is not: the service calls again.
    """
    if token is not None:
        return Response(token[:_LONGEST_TOKEN], media_type="text/plain", status_code=200, headers=_HEADERS)
    try:
        await services.push.called(account, await request.body())
    except UNREACHABLE:
        return Response("", media_type="text/plain", status_code=503, headers=_HEADERS)
    return Response("", media_type="text/plain", status_code=202, headers=_HEADERS)
