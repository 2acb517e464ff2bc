"""What is wrong with an app's fields, found before Microsoft refuses it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from urllib.parse import urlsplit

from gateway.provider import OAuth2App
from gateway_microsoft.clouds import Cloud, is_loopback
from gateway_microsoft.scopes import APP_ONLY, scope_problems

#: Authorities that stand for more than one tenant.
SHARED_AUTHORITIES = ("common", "organizations", "consumers")

_DOMAIN = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]", re.IGNORECASE)


def app_problems(app: OAuth2App, clouds: Mapping[str, Cloud]) -> Mapping[str, str]:
    """Return what is wrong with an app: API field name -> sentence; empty when it can work."""
    cloud = clouds.get(app.cloud)
    found = {
        "clientId": _client_id_problem(app.client_id),
        "clientSecret": _secret_problem(app.client_secret),
        "authority": _authority_problem(app),
        "redirectUrl": None if app.provider == APP_ONLY else _redirect_problem(app.redirect_url, cloud),
    }
    problems = {field: problem for field, problem in found.items() if problem is not None}
    if cloud is None:
        problems["cloud"] = f"There is no such cloud; known are {', '.join(clouds)}."
        return problems
    return {**problems, **scope_problems(app, cloud)}


def _client_id_problem(client_id: str) -> str | None:
    if _is_uuid(client_id):
        return None
    return "Paste the Application (client) ID from the app registration's overview page."


def _secret_problem(secret: str) -> str | None:
    if not secret:
        return "Create a secret under Certificates & secrets and paste its Value."
    if _is_uuid(secret):
        return "This looks like the Secret ID. Paste the Value of the secret, which is shown only once."
    return None


def _authority_problem(app: OAuth2App) -> str | None:
    if app.authority in SHARED_AUTHORITIES:
        if app.provider == APP_ONLY:
            return "An app that signs in as itself needs the tenant ID (Directory ID) of its organisation."
        if app.authority == "consumers" and app.cloud in ("gcc-high", "dod", "china"):
            return "Personal accounts exist in the global cloud only."
        return None
    if _is_uuid(app.authority) or _DOMAIN.fullmatch(app.authority):
        return None
    return "Use common, organizations, consumers or a tenant ID."


def _redirect_problem(url: str, cloud: Cloud | None) -> str | None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not host:
        return "This must be an https URL that ends in /oauth (http is for localhost only)."
    if not parts.path.endswith("/oauth") or parts.query or parts.fragment:
        return "The path must end in /oauth, with nothing behind it."
    if cloud is not None and is_loopback(urlsplit(cloud.login).hostname or ""):
        # A pretend Microsoft on this machine sends browsers back to wherever they came from.
        return None
    if parts.scheme == "http" and is_loopback(host) and host != "localhost":
        # https://learn.microsoft.com/entra/identity-platform/reply-url#localhost-exceptions
        instead = f"write localhost instead of {host}, here and in GATEWAY_SERVICE_URL"
        return f"Microsoft accepts http for localhost only; {instead}."
    if parts.scheme == "http" and not is_loopback(host):
        return "Microsoft requires https, except for localhost."
    return None


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
