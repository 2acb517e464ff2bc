"""What an ID token says about who signed in (https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference).

The token comes straight from the token endpoint over TLS, so its signature need not be checked (OpenID Connect Core
section 3.1.3.7, point 6). MSAL compares the nonce and nothing else since 1.38; audience and lifetime are checked here.
The issuer is not: it names the tenant of the person, which any of them may be, and in some clouds another host.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.provider import SignedInUser

# Clocks of two machines may differ by this much.
_SKEW = timedelta(minutes=5)


def signed_in_user(claims: Mapping[str, Any]) -> SignedInUser | None:
    """Return who signed in; None when the claims name nobody.

    An address in the claim "email" counts as vouched for unless Microsoft says, with the optional claim "xms_edov",
    that the owner of its domain was not verified
    (https://learn.microsoft.com/entra/identity-platform/migrate-off-email-claim-authorization).
    """
    name = _text(claims, "name")
    email = _text(claims, "email").lower()
    user = _text(claims, "preferred_username") or _text(claims, "upn") or email
    if not user:
        return None
    unverified = claims.get("xms_edov") in (False, 0, "0", "false")
    vouched = [] if unverified or "@" not in email else [email]
    if "@" in user:
        vouched.append(user.lower())
    return SignedInUser(user=user, email=(vouched or [user])[0], name=name, emails=tuple(dict.fromkeys(vouched)))


def misdirected(claims: Mapping[str, Any], client_id: str, now: datetime) -> bool:
    """Tell whether an ID token is for another app, or has expired."""
    audience = claims.get("aud")
    if client_id.lower() not in (
        str(each).lower() for each in (audience if isinstance(audience, list) else [audience])
    ):
        return True
    expires = claims.get("exp")
    return isinstance(expires, int | float) and datetime.fromtimestamp(expires, UTC) + _SKEW < now


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value.strip() if isinstance(value, str) else ""
