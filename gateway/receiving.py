"""What the SMTP servers share: their certificate, their connections, and how they stop."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from dataclasses import dataclass, field

from aiosmtpd.smtp import SMTP

from gateway.errors import ConfigurationError
from gateway.settings import Settings

#: The settings of the certificate.
CERTIFICATE = "GATEWAY_SMTP_CERT_FILE and GATEWAY_SMTP_KEY_FILE"

#: Seconds that a message which is being dealt with has when the process is to stop.
_PATIENCE = 10.0


@dataclass(slots=True)
class Connections:
    """The connections of one server.

    Attributes:
        open: all of them.
        busy: those whose message is being dealt with.
    """

    open: set[CountedConnection] = field(default_factory=set)
    busy: set[CountedConnection] = field(default_factory=set)


class CountedConnection(SMTP):
    """A connection that is known as long as it is open, and that can be ended."""

    connections: Connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection; this is called once more when TLS begins on it."""
        super().connection_made(transport)
        self.connections.open.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget it."""
        self.connections.open.discard(self)
        super().connection_lost(error)

    def end(self) -> None:
        """Close the connection; what was written goes out before."""
        if self.transport is not None:
            self.transport.close()


def server_certificate(settings: Settings) -> ssl.SSLContext | None:
    """Return the certificate of the SMTP servers, None if there is none.

    Raises:
        ConfigurationError: it cannot be used.
    """
    if settings.smtp_cert_file is None or settings.smtp_key_file is None:
        if settings.smtp_cert_file is not settings.smtp_key_file:
            raise ConfigurationError(f"{CERTIFICATE} go together")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.smtp_cert_file, settings.smtp_key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"GATEWAY_SMTP_CERT_FILE cannot be used: {error.strerror}") from error
    return context


def quiet_smtp_logs() -> None:
    """Keep aiosmtpd from logging: it repeats what clients say."""
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)


async def close_in_order(connections: Connections) -> None:
    """Let messages be dealt with that have come whole, and close everything else."""
    deadline = time.monotonic() + _PATIENCE
    while connections.open:
        late = time.monotonic() > deadline
        for connection in list(connections.open - (set() if late else connections.busy)):
            connection.end()
        if late:
            return
        await asyncio.sleep(0.02)
