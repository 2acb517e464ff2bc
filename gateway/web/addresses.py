"""Addresses of pages, ours and other people's: what may be linked to and redirected to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

_PLAIN_ID = re.compile(r"[A-Za-z0-9._@+-]+")


def is_web_url(url: str) -> bool:
    """Tell whether a URL is absolute http or https, in a form that every browser reads the same way."""
    if not url.isprintable() or " " in url or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc and port_is_valid


def with_parameters(url: str, parameters: Mapping[str, str]) -> str:
    """Return the URL with query parameters added; those of the same name are replaced, others are kept."""
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in parameters]
    return urlunsplit(parts._replace(query=urlencode([*kept, *parameters.items()])))


def admin_path(path: str) -> str:
    """Return a path to go to after logging in, the dashboard unless it is one of the admin pages."""
    plain = path.isprintable() and "\\" not in path and "//" not in path.partition("?")[0]
    inside = path == "/admin" or path.startswith(("/admin/", "/admin?"))
    return path if plain and inside and not path.startswith("/admin/login") else "/admin"


def account_path(account: str) -> str:
    """Return the address of an account's admin page.

    Clients choose ids; one that servers or browsers would rewrite as a part of a path goes into the query instead.
    """
    if _PLAIN_ID.fullmatch(account) and account.strip("."):
        return f"/admin/accounts/{account}"
    return f"/admin/account?id={quote(account, safe='')}"


def app_path(app: str) -> str:
    """Return the path of an OAuth2 app's admin page."""
    return f"/admin/config/oauth/{quote(app, safe='')}"


def is_own_origin(origin: str, host: str, service_url: str | None) -> bool:
    """Tell whether an ``Origin`` header (RFC 6454 section 7) names this gateway."""
    parts = urlsplit(origin)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        return False
    own = urlsplit(service_url) if service_url else None
    return parts.netloc == host.lower() or (
        own is not None and (parts.scheme, parts.netloc) == (own.scheme, own.netloc)
    )
