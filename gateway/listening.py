"""What servers share: whether they can listen where they should, with which certificate, and how SMTP servers stop."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import time
from collections.abc import Collection
from typing import Protocol

from gateway.errors import ConfigurationError
from gateway.settings import Settings

#: The settings of the certificate.
CERTIFICATE = "GATEWAY_SMTP_CERT_FILE and GATEWAY_SMTP_KEY_FILE"

#: Seconds that a message which is being dealt with has when the process is to stop.
_PATIENCE = 10.0


class Ending(Protocol):
    """A connection that can be closed."""

    def end(self) -> None:
        """Close it; what was written goes out before."""
        ...


class Connections(Protocol):
    """The connections of one server."""

    @property
    def open(self) -> Collection[Ending]:
        """All of them."""
        ...

    @property
    def busy(self) -> Collection[Ending]:
        """Those whose message is being dealt with."""
        ...


def check_address(host: str, port: int) -> None:
    """Find out before anything starts what the server itself would only log.

    Raises:
        ConfigurationError: the address is taken or is not one of this machine.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family, reuse_port=False):
            pass
    except OSError as error:
        # Its own text repeats the address in the form of a Python value; a resolver's numbers are negative.
        reason = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else "no such host"
        raise ConfigurationError(f"cannot listen on {host}:{port}: {reason}") from error


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
        busy = () if late else connections.busy
        for connection in [one for one in connections.open if one not in busy]:
            connection.end()
        if late:
            return
        await asyncio.sleep(0.02)
