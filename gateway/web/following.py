"""What links in tracked mail lead to: the page that the sender meant, and a picture of one point."""

from __future__ import annotations

import base64
from typing import Annotated, Any
from urllib.parse import quote

from litestar import Request, Response, get
from litestar.params import FromQuery, QueryParameter

from gateway.services.callers import Caller
from gateway.web.injected import Services

Signed = Annotated[str, QueryParameter(name="data")]

#: A transparent GIF of one point.
_POINT = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}

#: What may stand in an address as it is (RFC 3986 section 2.2), and what is encoded already.
_ADDRESS = "/:?#[]@!$&'()*+,;=%~"

_LONGEST_AGENT = 512


@get("/open.gif")
async def show_point(
    request: Request[Any, Any, Any], services: Services, signed: Signed = "", sig: FromQuery[str] = ""
) -> Response[bytes]:
    """Show nothing, and tell that it was asked for."""
    await services.tracking.opened(signed, sig, caller(request))
    return Response(_POINT, media_type="image/gif", headers=_HEADERS)


@get("/redirect", status_code=302)
async def follow_link(
    request: Request[Any, Any, Any], services: Services, signed: Signed = "", sig: FromQuery[str] = ""
) -> Response[bytes]:
    """Send the browser where the sender meant, and tell so."""
    url = await services.tracking.followed(signed, sig, caller(request))
    return Response(
        b"", media_type="text/plain", status_code=302, headers={**_HEADERS, "Location": quote(url, _ADDRESS)}
    )


def caller(request: Request[Any, Any, Any]) -> Caller:
    """Return who follows a link in a mail."""
    client, agent = request.client, request.headers.get("user-agent")
    return Caller(remote_address=client.host if client else None, user_agent=agent[:_LONGEST_AGENT] if agent else None)
