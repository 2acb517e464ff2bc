"""A shorter way to the one operation that is asked for most and that Redis alone can answer.

Routing, and what a framework does around it, costs several times what a listing from the index does. The call itself
is the same: `gateway.api.endpoint.answer` with the operation's own controller.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from gateway.api.endpoint import DEFAULT_TIMEOUT, answer, error_reply
from gateway.api.messages import list_messages
from gateway.api.operation import PATH_PARAMETER
from gateway.api.services import Services

_PATH = re.compile(PATH_PARAMETER.sub(r"(?P<\1>[^/]+)", list_messages.path))


def with_shortcut(app: ASGIApp, services: Services, unreachable: Sequence[type[Exception]]) -> ASGIApp:
    """Wrap the application so that listings do not go through it.

    Args:
        app: answers everything else.
        services: what the operation works with.
        unreachable: what is raised when the gateway's own state cannot be reached.
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] != ScopeType.HTTP
            or scope["method"] != "GET"
            or (match := _PATH.fullmatch(scope["path"])) is None
        ):
            await app(scope, receive, send)
            return
        scope["path_params"] = match.groupdict()
        scope["state"] = {}
        try:
            reply = await answer(list_messages, services, scope, _no_body, DEFAULT_TIMEOUT)
        except Exception as error:  # noqa: BLE001 (as the framework does: whatever it was, the caller gets an answer)
            reply = error_reply(scope, error, list_messages.operation_id, unreachable)
        await reply(scope, receive, send)

    return wrapped


async def _no_body() -> bytes:
    return b""
