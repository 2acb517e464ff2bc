"""Files that are the same for everybody."""

from __future__ import annotations

from litestar import Response, Router, get
from litestar.datastructures import CacheControlHeader
from litestar.enums import MediaType
from litestar.static_files import create_static_files_router

from gateway.web.rendering import STATIC_DIR


@get("/", include_in_schema=False)
async def show_front() -> Response[str]:
    """Lead from the bare address to the dashboard."""
    return Response("", media_type=MediaType.TEXT, status_code=302, headers={"Location": "/admin"})


@get("/robots.txt", include_in_schema=False)
async def robots() -> Response[str]:
    """Keep crawlers out (RFC 9309)."""
    return Response("User-agent: *\nDisallow: /\n", media_type=MediaType.TEXT)


@get("/favicon.ico", include_in_schema=False)
async def favicon() -> Response[bytes]:
    """Answer browsers that ask for an icon without having read a page."""
    icon = (STATIC_DIR / "favicon.svg").read_bytes()
    return Response(icon, media_type="image/svg+xml", headers={"Cache-Control": "public, max-age=86400"})


def static_files() -> Router:
    """Return the route of style sheet, scripts and pictures; their addresses change with their content."""
    return create_static_files_router(
        path="/static", directories=[STATIC_DIR], cache_control=CacheControlHeader(public=True, max_age=86400)
    )
