"""``/openapi.json`` (``/swagger.json``), and ``/docs`` to read it and try it. Nothing is loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import msgspec
from litestar import get
from litestar.datastructures import CacheControlHeader
from litestar.handlers import HTTPRouteHandler
from litestar.router import Router
from litestar.static_files import create_static_files_router
from litestar.types import ASGIApp

from gateway.api.openapi import openapi_document
from gateway.api.operation import Operation
from gateway.api.replies import Reply

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Email gateway API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<link rel="stylesheet" href="/docs/reference.css">
</head>
<body>
<div id="reference"></div>
<noscript>This page needs JavaScript; what it shows is <a href="/openapi.json">here</a>.</noscript>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/reference.js"></script>
</body>
</html>
"""

# On a telephone the library squeezes what stands beside a tag's name into a column of letters.
_STYLE = """@media (max-width: 640px) {
  .swagger-ui .opblock-tag { flex-wrap: wrap; }
  .swagger-ui .opblock-tag small { order: 1; flex: 1 0 100%; padding: 4px 0 0; }
  .swagger-ui .opblock-tag > a { flex: 1; }
  .swagger-ui .filter .operation-filter-input { width: 100%; }
}
"""

# No validator: it would be asked at the library's own site.
_SCRIPT = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  docExpansion: "none",
  filter: true,
  persistAuthorization: false,
  validatorUrl: null,
});
"""


def docs_routes(operations: Sequence[Operation], *, server_url: str = "/") -> list[HTTPRouteHandler | Router]:
    """Return the routes of document and reference page.

    Args:
        server_url: where the API is, as clients see it.
    """

    @cache
    def document() -> bytes:
        # Made when it is asked for: few processes ever are, and it takes a twentieth of the start.
        return msgspec.json.encode(openapi_document(operations, server_url=server_url))

    # The second is where clients of the wire API look.
    @get(["/openapi.json", "/swagger.json"], include_in_schema=False)
    async def show_document() -> ASGIApp:
        return Reply(document(), headers={"cache-control": "no-cache"})

    assets = create_static_files_router(
        path="/docs/assets",
        directories=[_swagger_ui()],
        cache_control=CacheControlHeader(public=True, max_age=86400),
        include_in_schema=False,
    )
    return [show_document, show_reference, show_script, show_style, assets]


@get("/docs", include_in_schema=False)
async def show_reference() -> ASGIApp:
    """Show the reference page."""
    headers = {"content-security-policy": _POLICY, "x-content-type-options": "nosniff", "cache-control": "no-cache"}
    return Reply(_PAGE.encode(), media_type="text/html; charset=utf-8", headers=headers)


@get("/docs/reference.js", include_in_schema=False)
async def show_script() -> ASGIApp:
    """Show what starts the reference page; a page's own script would need a weaker policy."""
    return Reply(_SCRIPT.encode(), media_type="text/javascript; charset=utf-8", headers={"cache-control": "no-cache"})


@get("/docs/reference.css", include_in_schema=False)
async def show_style() -> ASGIApp:
    """Show what the library's own sheet lacks."""
    return Reply(_STYLE.encode(), media_type="text/css; charset=utf-8", headers={"cache-control": "no-cache"})


def _swagger_ui() -> Path:
    # Found, not imported: the package is here for its files alone, and imports what only its own handlers need.
    found = find_spec("swagger_ui")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("the dependency swagger-ui-py is not installed", name="swagger_ui")
    return Path(found.origin).parent / "static"
