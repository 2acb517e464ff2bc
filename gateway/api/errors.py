"""Turns errors into HTTP: the one place that knows which error has which status.

The body is the compatible one (`statusCode`, `error`, `message`, `code`, and the error's details in camelCase), with
the members of RFC 9457 beside them. Errors nobody meant to raise become a 500 that says nothing of them.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar.exceptions import HTTPException

from gateway import errors

log = structlog.get_logger(__name__)

PROBLEM = "application/problem+json"
#: Problem types (RFC 9457 section 3.1.1) are named, not addressed.
_TYPE = "urn:email-gateway:error:"


class UnauthorizedError(errors.RequestError):
    """There is no token, or it is not a valid one."""

    code = "Unauthorized"


class ForbiddenError(errors.RequestError):
    """The token is valid and does not allow this."""

    code = "Forbidden"


#: Every error has its own line; a test keeps it so.
STATUS: Mapping[type[errors.GatewayError], int] = {
    UnauthorizedError: 401,
    ForbiddenError: 403,
    errors.GatewayError: 500,
    errors.ConfigurationError: 500,
    errors.RequestError: 400,
    errors.InvalidRequestError: 400,
    errors.ResourceNotFoundError: 404,
    errors.ConflictError: 409,
    errors.DisabledError: 403,
    errors.MissingSettingError: 400,
    errors.AccountNotReadyError: 503,
    errors.DeadlineError: 504,
    errors.WorkerLostError: 503,
    errors.FencedError: 503,
    errors.ProviderError: 502,
    errors.TransientError: 503,
    errors.ConnectError: 503,
    errors.RateLimitError: 429,
    errors.ServiceUnavailableError: 503,
    errors.AccountError: 503,
    errors.ReauthorizationError: 503,
    errors.ConsentRequiredError: 503,
    errors.AppRefusedError: 503,
    errors.MailboxUnavailableError: 503,
    errors.PermanentError: 400,
    errors.NotFoundError: 404,
    errors.MailboxNotFoundError: 404,
    errors.UnsupportedOperationError: 400,
    errors.CursorExpiredError: 400,
    errors.MailboxResetError: 400,
    errors.InvalidIdentifierError: 400,
    errors.MessageTooLargeError: 413,
    errors.MessageRefusedError: 422,
    errors.OutcomeUnknownError: 502,
}

#: Codes to which the wire API gives a status of their own, whatever the error.
STATUS_BY_CODE: Mapping[str, int] = {
    "AccountAlreadyExists": 400,
    "AccessDenied": 403,
    "IdempotencyKeyReused": 422,
    "MissingServerExtension": 422,
    "OauthRenewError": 403,
    "RangeNotSatisfiable": 416,
    "TemplateRenderFailed": 422,
    "UnsupportedMediaType": 415,
}

_HTTP_CODES = {404: "NotFound", 405: "MethodNotAllowed", 413: "RequestTooLarge"}
_HTTP_MESSAGES = {
    404: "There is no such path",
    405: "This path does not take this method",
    413: "The request body is too large",
}
_RESERVED = frozenset({"statusCode", "error", "message", "code", "type", "title", "status", "detail", "requestId"})


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as HTTP shows it."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


def failure(error: Exception, request_id: str) -> Failure:
    """Return what a client is told about an error."""
    if isinstance(error, errors.GatewayError):
        status = status_of(error)
        details = {_camel(name): value for name, value in error.record().details.items()}
        return _failure(status, error.message, error.error_code, request_id, details, _headers(error, status))
    if isinstance(error, HTTPException) and error.status_code < 500:
        status = error.status_code
        headers = {name.lower(): value for name, value in (error.headers or {}).items()}
        message = _HTTP_MESSAGES.get(status, "The request cannot be understood")
        return _failure(status, message, _HTTP_CODES.get(status, "InvalidRequest"), request_id, {}, headers)
    return _failure(500, "An internal server error occurred", "InternalError", request_id, {}, {})


def status_of(error: errors.GatewayError) -> int:
    """Return the status of an error; one of an unlisted type has that of its nearest listed ancestor."""
    by_code = STATUS_BY_CODE.get(error.error_code)
    return by_code or next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def _failure(
    status: int, message: str, code: str, request_id: str, details: Mapping[str, Any], headers: dict[str, str]
) -> Failure:
    phrase = HTTPStatus(status).phrase
    body: dict[str, Any] = {"statusCode": status, "error": phrase, "message": message, "code": code}
    body.update((name, value) for name, value in details.items() if name not in _RESERVED)
    if "retryAfter" in details:
        body["ttl"] = _whole_seconds(details["retryAfter"])
    body.update(type=_TYPE + code, title=phrase, status=status, detail=message, requestId=request_id)
    return Failure(status, body, headers)


def _headers(error: errors.GatewayError, status: int) -> dict[str, str]:
    headers: dict[str, str] = {}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    retry_after = error.details.get("retry_after")
    if retry_after is not None:
        headers["retry-after"] = headers["x-ratelimit-reset"] = str(_whole_seconds(retry_after))
    if "limit" in error.details:
        headers["x-ratelimit-limit"] = str(error.details["limit"])
    return headers


def _whole_seconds(value: Any) -> int:
    return max(1, math.ceil(value)) if isinstance(value, int | float) and math.isfinite(value) else 1


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def encode_failure(found: Failure, accept: str) -> tuple[bytes, str]:
    """Return body and media type: RFC 9457's when the client accepts it, else plain JSON."""
    body = msgspec.json.encode(found.body, enc_hook=str)
    return body, PROBLEM if PROBLEM in accept.lower() else "application/json"


def log_failure(error: Exception, found: Failure, request_id: str, operation: str | None) -> None:
    """Log an error once; of one that nobody meant to raise, where it arose but not its text, which may be secret."""
    fields = {"request_id": request_id, "operation": operation, "status": found.status, "code": found.body["code"]}
    if found.body["code"] != "InternalError":
        (log.warning if found.status >= 500 else log.info)("request_failed", **fields)
        return
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    log.error("request_crashed", **fields, error=type(error).__name__, frames=frames[-12:])
