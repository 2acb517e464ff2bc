"""The process ``gateway smtp``: listen, and stop in good order."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from collections.abc import AsyncIterator

import structlog

from gateway.errors import ConfigurationError
from gateway.listening import check_address
from gateway.msa.session import Connection, SubmissionConnections
from gateway.receiving import CERTIFICATE, close_in_order, quiet_smtp_logs, server_certificate
from gateway.services.container import Services, build_services
from gateway.settings import Settings

log = structlog.get_logger(__name__)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Take messages until `stop` is set.

    Raises:
        ConfigurationError: an address cannot be used, or passwords would go over a network in the clear.
    """
    check(settings)
    services = build_services(settings)
    if not await services.start_unless(stop, settings):
        return
    try:
        async with listening(services, settings):
            log.info("smtp_listening", host=settings.smtp_host, ports=[port for port, _ in _ports(settings)])
            await stop.wait()
    finally:
        await services.aclose()


def check(settings: Settings) -> None:
    """Find out before anything starts whether messages could be taken like this.

    Raises:
        ConfigurationError: an address cannot be used, or passwords would go over a network in the clear.
    """
    if server_certificate(settings) is None:
        if not _is_loopback(settings.smtp_host):
            raise ConfigurationError(f"{CERTIFICATE} are needed to listen on other addresses than loopback")
        if settings.smtp_tls_port:
            raise ConfigurationError(f"GATEWAY_SMTP_TLS_PORT needs {CERTIFICATE}")
    for port, _ in _ports(settings):
        check_address(settings.smtp_host, port)


@contextlib.asynccontextmanager
async def listening(services: Services, settings: Settings) -> AsyncIterator[None]:
    """Take messages until the context is left; those that have come whole by then are stored."""
    quiet_smtp_logs()
    tls, connections = server_certificate(settings), SubmissionConnections(services=services)
    servers = [await _listen(settings, connections, port, implicit, tls) for port, implicit in _ports(settings)]
    try:
        yield
    finally:
        for server in servers:
            server.close()
        await close_in_order(connections)


def _ports(settings: Settings) -> list[tuple[int, bool]]:
    """Return where to listen, and whether TLS begins at once."""
    return [pair for pair in ((settings.smtp_port, False), (settings.smtp_tls_port, True)) if pair[0]]


async def _listen(
    settings: Settings, connections: SubmissionConnections, port: int, implicit: bool, tls: ssl.SSLContext | None
) -> asyncio.Server:
    def connect() -> Connection:
        return Connection(connections, tls=tls, implicit=implicit, size=settings.smtp_max_size)

    loop = asyncio.get_running_loop()
    return await loop.create_server(connect, settings.smtp_host, port, ssl=tls if implicit else None)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
