"""Errors of the sign-in service, in the shape Microsoft Entra gives them.

Codes and texts: https://learn.microsoft.com/entra/identity-platform/reference-error-codes
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import msgspec


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What an AADSTS code looks like: OAuth2 error code (RFC 6749 section 5.2), text, sub-error, HTTP status."""

    error: str
    text: str
    suberror: str | None = None
    status: int = 400


_ANSWERS = {
    50011: Answer(
        error="invalid_request",
        text="The redirect URI '{uri}' specified in the request does not match the redirect URIs configured for the"
        " application '{client_id}'. Make sure the redirect URI sent in the request matches one added to your"
        " application in the Azure portal.",
    ),
    50034: Answer(
        error="access_denied",
        text="The user account does not exist in the {tenant} directory. To sign into this application, the account"
        " must be added to the directory.",
    ),
    50058: Answer(
        error="login_required",
        text="Session information is not sufficient for single-sign-on. A silent sign-in request was sent but no user"
        " is signed in.",
    ),
    50173: Answer(
        error="invalid_grant",
        text="The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have"
        " changed or reset their password.",
        suberror="bad_token",
    ),
    54005: Answer(
        error="invalid_grant",
        text="OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing"
        " refresh token.",
    ),
    65001: Answer(
        error="invalid_grant",
        text="The user or administrator has not consented to use the application with ID '{client_id}' named"
        " '{app_name}'. Send an interactive authorization request for this user and resource.",
        suberror="consent_required",
    ),
    65004: Answer(error="access_denied", text="User declined to consent to access the app."),
    70000: Answer(error="invalid_grant", text="The provided grant is invalid or malformed."),
    70003: Answer(error="unsupported_grant_type", text="The app requested an unsupported grant type '{grant_type}'."),
    70005: Answer(error="unsupported_response_type", text="The app requested a response type it is not enabled for."),
    70008: Answer(
        error="invalid_grant",
        text="The provided authorization code or refresh token has expired due to inactivity. Send a new interactive"
        " authorization request for this user and resource.",
        suberror="token_expired",
    ),
    70011: Answer(
        error="invalid_scope",
        text="The provided request must include a 'scope' input parameter. The provided value for the input parameter"
        " 'scope' is not valid. The scope {scope} is not valid.",
    ),
    90002: Answer(
        error="invalid_request",
        text="Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the"
        " correct cloud.",
    ),
    90012: Answer(
        error="temporarily_unavailable",
        text="A transient error has occurred. Please try again.",
        status=503,
    ),
    90055: Answer(
        error="temporarily_unavailable",
        text="Tenant throttled. There are too many incoming requests.",
        status=429,
    ),
    90094: Answer(
        error="access_denied",
        text="The grant requires admin permission. An administrator of {tenant} has to approve '{app_name}' first.",
    ),
    500112: Answer(
        error="invalid_grant",
        text="The reply address '{uri}' does not match the reply address provided when requesting Authorization code.",
    ),
    501481: Answer(
        error="invalid_grant",
        text="The Code_Verifier does not match the code_challenge supplied in the authorization request.",
    ),
    700005: Answer(
        error="invalid_grant",
        text="Provided Authorization Code is intended to use against other tenant, thus rejected.",
    ),
    700016: Answer(
        error="unauthorized_client",
        text="Application with identifier '{client_id}' was not found in the directory '{tenant}'. This can happen if"
        " the application has not been installed by the administrator of the tenant or consented to by any user in the"
        " tenant. You may have sent your authentication request to the wrong tenant.",
    ),
    700022: Answer(
        error="invalid_scope",
        text="Provided value for the input parameter scope is not valid because it contains more than one resource."
        " Scope {scope} is not valid.",
    ),
    900144: Answer(
        error="invalid_request",
        text="The request body must contain the following parameter: '{parameter}'.",
    ),
    1002012: Answer(
        error="invalid_scope",
        text="The provided value for scope {scope} is not valid. Client credential flows must have a scope value with"
        " /.default suffixed to the resource identifier (application ID URI).",
    ),
    7000215: Answer(
        error="invalid_client",
        text="Invalid client secret provided. Ensure the secret being sent in the request is the client secret value,"
        " not the client secret ID, for a secret added to app '{client_id}'.",
        status=401,
    ),
    7000218: Answer(
        error="invalid_client",
        text="The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        status=401,
    ),
    7000222: Answer(
        error="invalid_client",
        text="The provided client secret keys for app '{client_id}' are expired. Create new keys for your app.",
        status=401,
    ),
}


class AadstsError(Exception):
    """A refusal of the sign-in service.

    Attributes:
        retry_after: seconds the client is told to wait, if it is.
    """

    def __init__(self, code: int, *, retry_after: float | None = None, **words: str) -> None:
        self.code = code
        self.answer = _ANSWERS[code]
        self.retry_after = retry_after
        self._text = self.answer.text.format(**words)
        super().__init__(f"AADSTS{code}")

    def body(self, now: datetime, correlation_id: str | None) -> dict[str, Any]:
        """Return the members of the JSON answer of the token endpoint."""
        timestamp = now.strftime("%Y-%m-%d %H:%M:%SZ")
        trace_id = str(uuid.uuid4())
        correlation_id = correlation_id or str(uuid.uuid4())
        body: dict[str, Any] = {
            "error": self.answer.error,
            "error_description": f"AADSTS{self.code}: {self._text} Trace ID: {trace_id}\r\n"
            f"Correlation ID: {correlation_id}\r\nTimestamp: {timestamp}",
            "error_codes": [self.code],
            "timestamp": timestamp,
            "trace_id": trace_id,
            "correlation_id": correlation_id,
            "error_uri": f"https://login.microsoftonline.com/error?code={self.code}",
        }
        if self.answer.suberror is not None:
            body["suberror"] = self.answer.suberror
        return body
