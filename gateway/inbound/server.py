"""The process ``gateway inbound``: listen, and stop in good order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import dns.resolver
import structlog

from gateway.errors import ConfigurationError
from gateway.inbound.session import Connection, ReceptionConnections
from gateway.listening import check_address
from gateway.receiving import close_in_order, quiet_smtp_logs, server_certificate
from gateway.services.container import Services, build_services
from gateway.services.delivery_tests.lookup import open_resolver
from gateway.settings import Settings

log = structlog.get_logger(__name__)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Take messages of delivery tests until `stop` is set.

    Raises:
        ConfigurationError: there is no domain whose mail could be taken, an address cannot be used, or there is no
            name server to ask.
    """
    resolver = check(settings)
    services = build_services(settings)
    if not await services.start_unless(stop, settings):
        return
    try:
        async with listening(services, settings, resolver):
            log.info("inbound_listening", host=settings.inbound_host, port=settings.inbound_port)
            await stop.wait()
    finally:
        await services.aclose()


def check(settings: Settings) -> dns.resolver.Resolver:
    """Find out before anything starts whether messages could be taken like this; return whom to ask for names.

    Raises:
        ConfigurationError: they could not.
    """
    if settings.delivery_test_domain is None:
        raise ConfigurationError(
            "GATEWAY_DELIVERY_TEST_DOMAIN is not set: there is no domain whose mail could be taken"
        )
    server_certificate(settings)
    check_address(settings.inbound_host, settings.inbound_port)
    try:
        return open_resolver(settings.inbound_resolver)
    except dns.resolver.NoResolverConfiguration as error:
        raise ConfigurationError("this system names no name server; GATEWAY_INBOUND_RESOLVER does") from error


@contextlib.asynccontextmanager
async def listening(services: Services, settings: Settings, resolver: dns.resolver.Resolver) -> AsyncIterator[None]:
    """Take messages until the context is left; those that have come whole by then are looked at to the end."""
    quiet_smtp_logs()
    tls = server_certificate(settings)
    connections = ReceptionConnections(
        tests=services.delivery_tests, resolver=resolver, domain=settings.delivery_test_domain or ""
    )
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(connections, tls=tls), settings.inbound_host, settings.inbound_port
    )
    try:
        yield
    finally:
        server.close()
        await close_in_order(connections)
