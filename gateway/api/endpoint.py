"""Makes Litestar route handlers of operations."""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
from litestar import Request, Response
from litestar.enums import HttpMethod
from litestar.exceptions import HTTPException, InternalServerException
from litestar.handlers import HTTPRouteHandler, route
from litestar.types import ASGIApp, ExceptionHandlersMap, HTTPScope

from gateway.api.call import ANONYMOUS, Call, Download, EventStream, Text
from gateway.api.errors import encode_failure, failure, log_failure
from gateway.api.event_stream import EventStreamReply
from gateway.api.guards import Admission, admit
from gateway.api.operation import BODY_LIMIT, PATH_PARAMETER, Operation
from gateway.api.paths import check_path, decode_path
from gateway.api.replies import DownloadReply, Reply
from gateway.api.requests import NoQuery, decode_body, decode_query, parse_query, read_headers, read_timeout
from gateway.api.services import Services
from gateway.errors import RequestError, ServiceUnavailableError
from gateway.settings import MAIL_BODY_LIMIT

AnyRequest: TypeAlias = Request[Any, Any, Any]
ReadBody: TypeAlias = Callable[[], Awaitable[bytes]]

#: Seconds a call waits for a worker when the caller does not say.
DEFAULT_TIMEOUT = 10.0

_REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_encoder = msgspec.json.Encoder()


def route_handlers(
    operations: Sequence[Operation],
    services: Services,
    *,
    default_timeout: float = DEFAULT_TIMEOUT,
    mail_body_limit: int = MAIL_BODY_LIMIT,
) -> list[HTTPRouteHandler]:
    """Return a Litestar route handler for each operation.

    Args:
        default_timeout: seconds a call waits when the caller does not say.
        mail_body_limit: octets of a request body that carries mail.
    """
    return [_route_handler(operation, services, default_timeout, mail_body_limit) for operation in operations]


def _route_handler(
    operation: Operation, services: Services, default_timeout: float, mail_body_limit: int
) -> HTTPRouteHandler:
    async def endpoint(request: AnyRequest) -> ASGIApp:
        return await answer(operation, services, request.scope, request.body, default_timeout)

    methods = [HttpMethod(operation.method)] + ([HttpMethod.HEAD] if operation.method == "GET" else [])
    return route(
        PATH_PARAMETER.sub(r"{\1:str}", operation.path),
        http_method=methods,
        name=operation.operation_id,
        status_code=200,
        include_in_schema=False,
        request_max_body_size=mail_body_limit if operation.takes_mail else BODY_LIMIT,
        opt={"operation": operation.operation_id},
    )(endpoint)


async def answer(
    operation: Operation, services: Services, scope: HTTPScope, read_body: ReadBody, default_timeout: float
) -> ASGIApp:
    """Do one call: authenticate, read the request, run the controller, encode what it returns.

    Args:
        operation: what is asked for.
        services: what it works with.
        scope: the request, its path parameters in ``path_params``.
        read_body: returns the body, for operations that take one.
        default_timeout: seconds to wait when the caller does not say.
    """
    headers = read_headers(scope)
    members = parse_query(scope["query_string"])
    path = decode_path(scope["path_params"])
    client = scope["client"]
    remote_address = client[0] if client else None
    admission = Admission(token=ANONYMOUS)
    if operation.scope is not None:
        admission = await admit(
            operation, services.tokens, headers=headers, query=members, path=path, remote_address=remote_address
        )
    check_path(path)
    call = Call(
        services=services,
        path=path,
        token=admission.token,
        timeout=read_timeout(headers, default_timeout),
        request_id=request_id(scope, headers),
        headers=headers,
        remote_address=remote_address,
    )
    accepted: dict[str, Any] = {}
    query = decode_query(members, operation.query or NoQuery)
    if operation.query is not None:
        accepted["query"] = query
    if operation.body is not None:
        accepted["body"] = decode_body(await _body(read_body), headers.get("content-type"), operation.body)
    return _reply(await operation.controller(call, **accepted), call, admission)


async def _body(read_body: ReadBody) -> bytes:
    try:
        return await read_body()
    except InternalServerException as error:
        # Litestar's word for a client that went away, or lost its way in its own chunks.
        raise RequestError("The request body is not complete", code="IncompleteBody") from error


def _reply(found: Any, call: Call, admission: Admission) -> ASGIApp:
    headers = {"x-request-id": call.request_id, "cache-control": "no-store"}
    if admission.allowance is not None:
        headers["x-ratelimit-limit"] = str(admission.allowance.limit)
        headers["x-ratelimit-remaining"] = str(admission.allowance.remaining)
        headers["x-ratelimit-reset"] = str(max(0, round(admission.allowance.reset)))
    if isinstance(found, Download):
        return DownloadReply(found, headers)
    if isinstance(found, EventStream):
        return EventStreamReply(found, headers)
    if isinstance(found, Text):
        return Reply(found.content, media_type=found.media_type, headers=headers)
    return Reply(found if isinstance(found, bytes) else _encoder.encode(found), headers=headers)


def request_id(scope: HTTPScope, headers: Mapping[str, str]) -> str:
    """Return the id that ties a request to its log entries: the client's if it sent a proper one, else a new one."""
    state = scope["state"]
    found = state.get("request_id")
    if found is None:
        sent = headers.get("x-request-id", "")
        # Unique is enough: asking the kernel for secret octets takes a twentieth of the time of a listing.
        found = state["request_id"] = sent if _REQUEST_ID.fullmatch(sent) else f"{random.getrandbits(64):016x}"
    return str(found)


def exception_handlers(unreachable: Sequence[type[Exception]] = ()) -> ExceptionHandlersMap:
    """Return the handlers through which every error of the API becomes HTTP.

    Args:
        unreachable: what is raised when the gateway's own state cannot be reached.
    """

    def reply(request: AnyRequest, error: Exception) -> Any:
        handler = request.scope.get("route_handler")
        operation_id = handler.opt.get("operation") if handler is not None else None
        return _ErrorResponse(error_reply(request.scope, error, operation_id, unreachable))

    return {HTTPException: reply, Exception: reply, **dict.fromkeys(unreachable, reply)}


def error_reply(
    scope: HTTPScope, error: Exception, operation_id: str | None, unreachable: Sequence[type[Exception]] = ()
) -> Reply:
    """Return an error as HTTP, and log it."""
    if isinstance(error, tuple(unreachable)):
        error = ServiceUnavailableError("The gateway cannot reach its state", code="Unhealthy")
    headers = read_headers(scope)
    id = request_id(scope, headers)
    found = failure(error, id)
    log_failure(error, found, id, operation_id)
    body, media_type = encode_failure(found, headers.get("accept", ""))
    sent = {**found.headers, "x-request-id": id, "cache-control": "no-store"}
    return Reply(body, status=found.status, media_type=media_type, headers=sent)


class _ErrorResponse(Response[bytes]):
    """Carries a ready reply through Litestar, which would refuse to answer HEAD with an error."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.body, status_code=reply.status)
        self._reply = reply

    def to_asgi_response(self, *args: Any, **kwargs: Any) -> Any:
        """Return the reply, whatever Litestar would add to it."""
        return self._reply
