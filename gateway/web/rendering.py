"""Templates to responses, always with the headers that keep a browser from doing more than showing the page."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from litestar import Request, Response
from litestar.datastructures import Cookie
from litestar.enums import MediaType

from gateway.web import addresses, seals, words
from gateway.web.visit import BRAND, Visit, visit_of

STATIC_DIR = Path(__file__).parent / "static"

_POLICY = "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"

#: The operator's header may show a logo from elsewhere; nothing else is let in.
_POLICY_WITH_HEADER = f"{_POLICY}; img-src 'self' https: data:"

#: ``Referrer-Policy: same-origin`` keeps codes and signatures in our addresses from other sites and, unlike
#: ``no-referrer``, leaves the ``Origin`` header of our own forms intact (Fetch, "append a request Origin header").
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}


def page(request: Request[Any, Any, Any], template: str, *, status: int = 200, **context: Any) -> Response[str]:
    """Render a template for whoever is looking."""
    visit = visit_of(request) or Visit(form_token="")
    content = _ENVIRONMENT.get_template(template).render(visit=visit, path=request.url.path, **context)
    headers = {**_HEADERS, "Content-Security-Policy": _POLICY_WITH_HEADER if visit.header else _POLICY}
    response = Response(content, media_type=MediaType.HTML, status_code=status, headers=headers)
    if visit.new_visitor is not None:
        response.set_cookie(
            Cookie(key=seals.VISITOR_COOKIE, value=visit.new_visitor, httponly=True, secure=visit.secure)
        )
    return response


def fragment(template: str, **context: Any) -> str:
    """Render a part of a page, for a script that puts it in place."""
    return _ENVIRONMENT.get_template(template).render(**context)


def data(content: Any, *, status: int = 200) -> Response[Any]:
    """Answer a script of ours."""
    headers = {**_HEADERS, "Content-Security-Policy": _POLICY}
    return Response(content, media_type=MediaType.JSON, status_code=status, headers=headers)


def see_other(location: str) -> Response[str]:
    """Send the browser on with a GET (RFC 9110 section 15.4.4)."""
    headers = {**_HEADERS, "Content-Security-Policy": _POLICY, "Location": location}
    return Response("", media_type=MediaType.TEXT, status_code=303, headers=headers)


def _asset(name: str) -> str:
    return f"/static/{name}?v={_STATIC_VERSION}"


def _when(value: datetime | None) -> str:
    return "" if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _static_version() -> str:
    digest = hashlib.sha256()
    for file in sorted(path for path in STATIC_DIR.iterdir() if path.is_file()):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:10]


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["when"] = _when
    environment.filters["sentence"] = words.sentence
    environment.tests["web_url"] = addresses.is_web_url
    environment.globals.update(
        asset=_asset,
        account_path=addresses.account_path,
        app_path=addresses.app_path,
        words=words,
        product=BRAND,
        FORM_FIELD=seals.FORM_FIELD,
    )
    return environment


_STATIC_VERSION = _static_version()
_ENVIRONMENT = _environment()
