"""Which permissions an app asks for (https://learn.microsoft.com/entra/identity-platform/scopes-oidc).

A scope is named after its resource (``https://graph.microsoft.com/Mail.Send``) and one request can be for one resource
only (AADSTS700022). A name without a resource means the app's own resource here, so that ``extraScopes`` and
``skipScopes`` read the same in every cloud.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.provider import OAuth2App
from gateway_microsoft.clouds import Cloud

#: The kind of app that signs in as itself instead of a user (RFC 6749 section 4.4).
APP_ONLY = "outlookService"

#: Scopes of OpenID Connect itself; they belong to no resource.
OIDC_SCOPES = frozenset({"openid", "profile", "email", "offline_access"})

_NAMES = {
    "imap": ("IMAP.AccessAsUser.All", "SMTP.Send"),
    "api": ("Mail.ReadWrite", "Mail.Send", "User.Read"),
}
_ALWAYS = ("offline_access", "openid", "profile")

# Two names of one resource, Exchange Online; IMAP apps need the second one for app-only tokens.
_SAME_RESOURCE = {"https://outlook.office365.com": "https://outlook.office.com"}


def resource(app: OAuth2App, cloud: Cloud) -> str:
    """Return the resource whose scopes an app asks for."""
    if app.base_scopes == "api":
        return cloud.graph
    if app.provider == APP_ONLY:
        return cloud.app_scope_host or cloud.scope_host
    return cloud.scope_host


def requested_scopes(app: OAuth2App, cloud: Cloud) -> tuple[str, ...]:
    """Return the scopes to ask for: extra ones first, then the base set, without the skipped ones.

    An app that signs in as itself asks for exactly ``<resource>/.default``: its permissions are those an administrator
    has granted.
    """
    own = resource(app, cloud)
    if app.provider == APP_ONLY:
        return (f"{own}/.default",)
    base = (*(f"{own}/{name}" for name in _NAMES[app.base_scopes]), *_ALWAYS)
    wanted = dict.fromkeys((*_qualified(app.extra_scopes, own), *base))
    skipped = {scope.casefold() for scope in app.skip_scopes}
    return tuple(s for s in wanted if s.casefold() not in skipped and _short(s).casefold() not in skipped)


def resource_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes that belong to a resource; MSAL adds those of OpenID Connect by itself."""
    return tuple(scope for scope in scopes if scope not in OIDC_SCOPES)


def resources_of(scopes: Iterable[str]) -> frozenset[str]:
    """Return the resources that scopes belong to; more than one cannot be asked for together."""
    prefixes = (scope.rpartition("/")[0].rstrip("/") for scope in resource_scopes(scopes))
    return frozenset(_SAME_RESOURCE.get(prefix, prefix) for prefix in prefixes)


def scope_problems(app: OAuth2App, cloud: Cloud) -> dict[str, str]:
    """Return what is wrong with an app's scopes, by API field name."""
    if app.base_scopes not in _NAMES:
        return {"baseScopes": 'Use "imap" (IMAP and SMTP) or "api" (Microsoft Graph).'}
    scopes = requested_scopes(app, cloud)
    if not resource_scopes(scopes):
        return {"skipScopes": "Nothing is left to ask for: every permission for mail is skipped."}
    if len(found := resources_of(scopes)) > 1:
        names = " and ".join(sorted(found))
        return {
            "extraScopes": f"Microsoft gives a token for one resource only, and these scopes belong to {names}."
            " Register a second app for the other one."
        }
    return {}


def _qualified(scopes: Iterable[str], own: str) -> Iterable[str]:
    for scope in scopes:
        yield scope if "://" in scope or scope in OIDC_SCOPES else f"{own}/{scope}"


def _short(scope: str) -> str:
    return scope.rpartition("/")[2]
