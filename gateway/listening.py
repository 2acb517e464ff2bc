"""Whether a process can listen where it should."""

from __future__ import annotations

import os
import socket

from gateway.errors import ConfigurationError


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
