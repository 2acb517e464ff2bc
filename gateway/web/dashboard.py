"""The first page: how the accounts are, and what to do next."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.params import QueryParameter

from gateway.errors import ResourceNotFoundError
from gateway.web.injected import Now, Services
from gateway.web.login import enter
from gateway.web.rendering import page
from gateway.web.visit import LOGIN_PARAMETER


@get("/admin")
async def show_dashboard(
    request: Request[Any, Any, Any],
    services: Services,
    clock: Now,
    token: Annotated[str | None, QueryParameter(name=LOGIN_PARAMETER)] = None,
) -> Response[str]:
    """Show the dashboard; a token in the address is exchanged for a session and leaves the address."""
    if token is not None:
        return await enter(request, services, clock, token, "/admin")
    apps = await services.apps.list(0, 1)
    service_url = await services.runtime_settings.get("serviceUrl")
    return page(
        request,
        "dashboard.html",
        states=await services.overview.states(),
        apps=apps.total,
        service_url=service_url or str(request.base_url).rstrip("/"),
    )


@get("/{rest:path}")
async def show_nothing() -> Response[str]:
    """Answer for addresses below ``/admin`` that lead nowhere: as a page, which the API's own answer is not.

    Raises:
        ResourceNotFoundError: always.
    """
    raise ResourceNotFoundError("Nothing is at this address")
