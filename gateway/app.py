"""The API process: services, routes, and the server that runs them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import structlog
from granian.constants import Interfaces
from granian.server.embed import Server
from litestar import Litestar

from gateway.api.endpoint import exception_handlers
from gateway.api.paths import keep_encoded_slashes
from gateway.api.routes import api_routes
from gateway.api.shortcut import with_shortcut
from gateway.listening import check_address
from gateway.redis import UNREACHABLE
from gateway.services.container import Services, build_services
from gateway.settings import Settings
from gateway.web import web_routes

log = structlog.get_logger(__name__)


def create_app(settings: Settings, services: Services | None = None, *, started: bool = False) -> Litestar:
    """Return the ASGI application: API, hosted pages, documentation.

    Args:
        settings: of this process.
        services: what to use instead of services built from the settings; closed when the application ends.
        started: the services are started already.

    Raises:
        ConfigurationError: the installation cannot work like this.
    """
    wired = services or build_services(settings)

    @contextlib.asynccontextmanager
    async def running(_: Litestar) -> AsyncIterator[None]:
        if not started:
            await wired.start(settings)
        try:
            yield
        finally:
            await wired.aclose()

    return Litestar(
        route_handlers=[
            *api_routes(wired, mail_body_limit=settings.max_body_size),
            *web_routes(wired, clock=wired.clock),
        ],
        lifespan=[running],
        openapi_config=None,
        # The command line sets logs up, and lets libraries speak only of warnings.
        logging_config=None,
        exception_handlers=exception_handlers(UNREACHABLE),
    )


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then finish what is under way.

    Raises:
        ConfigurationError: the address is taken or cannot be used.
    """
    check_address(settings.host, settings.port)
    services = build_services(settings)
    if not await services.start_unless(stop, settings):
        return
    server = Server(
        keep_encoded_slashes(with_shortcut(create_app(settings, services, started=True), services, UNREACHABLE)),
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_enabled=False,
    )
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    # Streams of events have no end of their own.
    services.feed.close()
    if not serving.done():
        # The library's method is not annotated.
        server.stop()  # type: ignore[no-untyped-call]
    await serving
