"""Errors of the identity service as `gateway.errors`.

Two layers: the OAuth2 error code and the HTTP status decide, the AADSTS number explains. The number decides only where
Microsoft uses one error code for different things: "invalid_grant" also carries missing consent, throttling and codes
that were redeemed before, and "access_denied" and "invalid_request" mean anything. An unknown number never turns into
a refused sign-in by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any

import requests
import urllib3
from msal.exceptions import MsalError

from gateway.errors import (
    AccountError,
    AppRefusedError,
    ConnectError,
    ConsentRequiredError,
    ProviderError,
    RateLimitError,
    ReauthorizationError,
    Remedy,
    ServiceUnavailableError,
    TransientError,
)
from gateway.provider import OAuth2App
from gateway_microsoft.clouds import Cloud
from gateway_microsoft.explain import Kind, OAuthError, explanation_by_number, explanations, parse_error, remedy
from gateway_microsoft.transport import TokenRefusal

#: Seconds to wait when Microsoft limits requests without telling how long.
PAUSE = 30.0
#: Seconds to wait after AADSTS50196 (client loop detected).
LOOP_PAUSE = 3600.0
_LONGEST_PAUSE = 86_400.0

_NETWORK_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException, OSError)

#: Everything that MSAL, requests and urllib3 raise, the last four over an ID token that is not what it should be.
NATIVE_ERRORS = (
    *_NETWORK_ERRORS,
    MsalError,
    RuntimeError,
    ValueError,
    IndexError,
    AttributeError,
    TypeError,
)

_UNREADABLE = "the sign-in service answered with something that is not a token answer"

# What clients of the wire API call the faults of an app.
_APP_FLAGS = {
    "AADSTS7000222": "OUTLOOK_CLIENT_SECRET_EXPIRED_OR_NOT_VALID",
    "AADSTS7000215": "OUTLOOK_CLIENT_SECRET_INVALID",
    "AADSTS700016": "OUTLOOK_APP_ID_INVALID",
}

# Kinds of a number that win over the OAuth2 error code.
_NUMBER_DECIDES: frozenset[Kind] = frozenset({"backoff", "consent", "idempotency", "retry", "throttled"})


def native_error(error: BaseException, app: OAuth2App, cloud: Cloud, now: datetime) -> ProviderError:
    """Return the gateway's error for any of `NATIVE_ERRORS`; what caused it counts more than what it was wrapped in.

    Args:
        error: the exception; the caller raises the result ``from`` it.
        app: for which the request was made.
        cloud: where.
        now: aware UTC.
    """
    for each in _causes(error):
        if isinstance(each, TokenRefusal):
            return refusal_error(each, app, cloud, now)
        if isinstance(each, _NETWORK_ERRORS):
            return _connect_error(each)
    if isinstance(error, RuntimeError):
        # MSAL's way to say that the nonce of the ID token is another one.
        return misdirected()
    # An ID token that cannot be decoded.
    return unreadable()


def refusal_error(refusal: TokenRefusal, app: OAuth2App, cloud: Cloud, now: datetime) -> ProviderError:
    """Return the gateway's error for an answer of the token endpoint that holds no token.

    Args:
        refusal: the answer.
        app: for which the request was made.
        cloud: where.
        now: aware UTC; ``Retry-After`` may be a date.
    """
    pause = _pause(refusal.retry_after, now)
    error = None if refusal.body is None else parse_error(refusal.body)
    explained = None if error is None else remedy(error, app, cloud)
    native = str(refusal.status) if explained is None else explained.code
    if refusal.status == 429 or (refusal.status >= 500 and pause is not None):
        title = "the sign-in service limits the requests"
        return RateLimitError(title, retry_after=pause or PAUSE, native_code=native, remedy=explained)
    if refusal.status >= 500:
        title = "the sign-in service has a passing fault"
        return ServiceUnavailableError(title, native_code=native, remedy=explained)
    if error is None:
        return ServiceUnavailableError(_UNREADABLE, native_code=native)
    found = oauth_error(error, app, cloud, pause=pause)
    found.details["token_request"] = {"status": refusal.status, **_described(error, found)}
    return found


def oauth_error(error: OAuthError, app: OAuth2App, cloud: Cloud, *, pause: float | None = None) -> ProviderError:
    """Return the gateway's error for an OAuth2 error response.

    Args:
        error: the response, taken apart.
        app: for which the request was made.
        cloud: where.
        pause: seconds that Microsoft asked for.
    """
    explained = remedy(error, app, cloud)
    kind = decide(error)
    if kind == "backoff":
        return RateLimitError(explained.title, retry_after=LOOP_PAUSE, native_code=explained.code, remedy=explained)
    if kind == "throttled" or (kind == "retry" and pause is not None):
        pause = pause or PAUSE
        return RateLimitError(explained.title, retry_after=pause, native_code=explained.code, remedy=explained)
    return _BUILDERS[kind](explained)


def _described(error: OAuthError, found: ProviderError) -> dict[str, Any]:
    """Return what clients are shown of the answer, see `gateway.model.account.TokenRequestInfo`."""
    raw = found.remedy.raw if found.remedy is not None else None
    response = {"error": error.error, "error_description": raw}
    described: dict[str, Any] = {"response": {name: value for name, value in response.items() if value}}
    number = error.numbers[0] if error.numbers else ""
    if number in _APP_FLAGS:
        described["flag"] = {"code": _APP_FLAGS[number], "message": found.message}
    elif error.error == "invalid_grant" and isinstance(found, ReauthorizationError):
        code = "OUTLOOK_USER_PASSWORD_CHANGED" if number == "AADSTS50173" else "OUTLOOK_TOKEN_RENEWAL_FAILED"
        described["userFlag"] = {"code": code, "message": found.message}
    return described


def decide(error: OAuthError) -> Kind | None:
    """Return what kind of error it is; None when nothing is known about it."""
    by_number = explanation_by_number(error)
    by_error = explanations().get(error.error)
    if by_number is not None and by_number.kind in _NUMBER_DECIDES:
        return by_number.kind
    if error.suberror == "consent_required":
        return "consent"
    if by_error is not None and by_error.kind != "ambiguous":
        return by_error.kind
    if by_number is not None:
        return by_number.kind
    if error.error == "access_denied":
        # RFC 6749 section 4.1.2.1: the person declined; personal accounts come without a number.
        return "ambiguous" if error.numbers else "consent_declined"
    return None


def misdirected() -> ReauthorizationError:
    """Return the error for a redirect, or an ID token, that belongs to another sign-in."""
    row = explanations()["AADSTS501481"]
    explained = Remedy(code="misdirected", title=row.title, who=row.who, steps=row.steps)
    return ReauthorizationError(row.title, native_code=explained.code, remedy=explained)


def unreadable() -> ServiceUnavailableError:
    """Return the error for a successful answer that MSAL cannot make sense of."""
    return ServiceUnavailableError(_UNREADABLE)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and everything it was raised from or during, each once."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or following.__context__


def _connect_error(error: BaseException) -> ConnectError:
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError | TimeoutError):
        return ConnectError("the sign-in service did not answer in time", native_code="ETIMEDOUT")
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
        return ConnectError("the sign-in service's certificate is not trusted, or TLS failed", native_code="ETLS")
    return ConnectError("the sign-in service cannot be reached, or hung up", native_code=type(error).__name__)


def _reauthorization(explained: Remedy) -> ProviderError:
    return ReauthorizationError(explained.title, native_code=explained.code, remedy=explained)


def _redeemed(explained: Remedy) -> ProviderError:
    return ReauthorizationError(explained.title, code="CodeRedeemed", native_code=explained.code, remedy=explained)


def _app_refused(explained: Remedy) -> ProviderError:
    return AppRefusedError(explained.title, native_code=explained.code, remedy=explained)


def _consent(explained: Remedy) -> ProviderError:
    return ConsentRequiredError(explained.title, native_code=explained.code, remedy=explained)


def _unavailable(explained: Remedy) -> ProviderError:
    return ServiceUnavailableError(explained.title, native_code=explained.code, remedy=explained)


def _refused(explained: Remedy) -> ProviderError:
    return AccountError(explained.title, code="AccessDenied", native_code=explained.code, remedy=explained)


def _unknown(explained: Remedy) -> ProviderError:
    return TransientError(explained.title, native_code=explained.code, remedy=explained)


_BUILDERS: Mapping[Kind | None, Callable[[Remedy], ProviderError]] = {
    "admin": _reauthorization,
    "ambiguous": _refused,
    "bug": _reauthorization,
    "config": _app_refused,
    "consent": _consent,
    "consent_declined": _reauthorization,
    "idempotency": _redeemed,
    "reauth": _reauthorization,
    "retry": _unavailable,
    "stop": _reauthorization,
    "user": _reauthorization,
    None: _unknown,
}


def _pause(retry_after: str | None, now: datetime) -> float | None:
    """Return the seconds of a Retry-After header field (RFC 9110 section 10.2.3), at least one, at most a day."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after) if retry_after.strip().isdecimal() else _until(retry_after, now)
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 1.0), _LONGEST_PAUSE)


def _until(date: str, now: datetime) -> float:
    return (parsedate_to_datetime(date) - now).total_seconds()
