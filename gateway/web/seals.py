"""Values that the browser keeps for us: signed with the service secret, each kind with a key of its own."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

from gateway.errors import MissingSettingError

SESSION_COOKIE = "gateway_session"
SESSION_LIFETIME = timedelta(hours=12)

#: Anonymous pages bind their form tokens to this cookie.
VISITOR_COOKIE = "gateway_visitor"

#: Name of the hidden field with the form token.
FORM_FIELD = "form_token"

#: How long somebody may take at the identity provider, in seconds: as long as the pending sign-in lives.
SIGN_IN_LIFETIME = 24 * 3600


def seal_session(secret: bytes, token_id: str, expires: datetime) -> str:
    """Return the session cookie: whose session it is and when it ends, signed."""
    payload = f"{token_id}.{int(expires.timestamp())}"
    return f"{payload}.{_mac(secret, 'session', payload)}"


def open_session(secret: bytes, value: str, now: datetime) -> str | None:
    """Return the token id in a session cookie; None when it is forged or over."""
    payload, _, seal = value.rpartition(".")
    if not payload or not _same(seal, _mac(secret, "session", payload)):
        return None
    token_id, _, expires = payload.rpartition(".")
    return token_id if datetime.fromtimestamp(int(expires), UTC) > now else None


def form_token(secret: bytes, binding: str) -> str:
    """Return the token that proves a form was loaded by the browser that holds `binding` in a cookie."""
    return _mac(secret, "form", binding)


def is_form_token(secret: bytes, binding: str, value: str) -> bool:
    """Tell whether a submitted token belongs to the browser, in constant time."""
    return bool(binding) and _same(value, form_token(secret, binding))


def sign_in_cookie(state: str) -> str:
    """Return the name of the cookie that binds one sign-in to the browser it began in.

    The name depends on the state (RFC 6749 section 10.12), so that sign-ins in several tabs do not disturb each other.
    """
    return f"gateway_sign_in_{hashlib.sha256(state.encode()).hexdigest()[:24]}"


def _mac(secret: bytes, purpose: str, text: str) -> str:
    if not secret:
        raise MissingSettingError("the setting serviceSecret is empty")
    digest = hmac.digest(secret, f"gateway.web.{purpose}\0{text}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(errors="replace"), other.encode(errors="replace"))
