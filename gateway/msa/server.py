"""The process ``gateway smtp``: listen, and stop in good order."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import ssl
import time
from collections.abc import AsyncIterator

import structlog

from gateway.errors import ConfigurationError
from gateway.listening import check_address
from gateway.msa.session import Connection, Connections
from gateway.services.container import Services, build_services
from gateway.settings import Settings

log = structlog.get_logger(__name__)

_CERTIFICATE = "GATEWAY_SMTP_CERT_FILE and GATEWAY_SMTP_KEY_FILE"

#: Seconds that a message which is being stored has when the process is to stop.
_PATIENCE = 10.0


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
    if _certificate(settings) is None:
        if not _is_loopback(settings.smtp_host):
            raise ConfigurationError(f"{_CERTIFICATE} are needed to listen on other addresses than loopback")
        if settings.smtp_tls_port:
            raise ConfigurationError(f"GATEWAY_SMTP_TLS_PORT needs {_CERTIFICATE}")
    for port, _ in _ports(settings):
        check_address(settings.smtp_host, port)


@contextlib.asynccontextmanager
async def listening(services: Services, settings: Settings) -> AsyncIterator[None]:
    """Take messages until the context is left; those that have come whole by then are stored."""
    # Its messages repeat what clients say.
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    tls, connections = _certificate(settings), Connections(services)
    servers = [await _listen(settings, connections, port, implicit, tls) for port, implicit in _ports(settings)]
    try:
        yield
    finally:
        for server in servers:
            server.close()
        await _close(connections)


def _ports(settings: Settings) -> list[tuple[int, bool]]:
    """Return where to listen, and whether TLS begins at once."""
    return [pair for pair in ((settings.smtp_port, False), (settings.smtp_tls_port, True)) if pair[0]]


async def _listen(
    settings: Settings, connections: Connections, port: int, implicit: bool, tls: ssl.SSLContext | None
) -> asyncio.Server:
    def connect() -> Connection:
        return Connection(connections, tls=tls, implicit=implicit, size=settings.smtp_max_size)

    loop = asyncio.get_running_loop()
    return await loop.create_server(connect, settings.smtp_host, port, ssl=tls if implicit else None)


async def _close(connections: Connections) -> None:
    """Let messages be stored that have come whole, and close everything else."""
    deadline = time.monotonic() + _PATIENCE
    while connections.open:
        late = time.monotonic() > deadline
        for connection in list(connections.open - (set() if late else connections.busy)):
            connection.end()
        if late:
            return
        await asyncio.sleep(0.02)


def _certificate(settings: Settings) -> ssl.SSLContext | None:
    if settings.smtp_cert_file is None or settings.smtp_key_file is None:
        if settings.smtp_cert_file is not settings.smtp_key_file:
            raise ConfigurationError(f"{_CERTIFICATE} go together")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.smtp_cert_file, settings.smtp_key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"GATEWAY_SMTP_CERT_FILE cannot be used: {error.strerror}") from error
    return context


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
