"""TLS contexts of mail clients."""

from __future__ import annotations

import ssl
from functools import lru_cache
from pathlib import Path

from gateway.errors import ConfigurationError
from gateway.model.server import Server


def client_context(server: Server) -> ssl.SSLContext:
    """Return the TLS context to connect to `server` with.

    Contexts are shared: loading the system's authorities takes longer than a whole login.

    Raises:
        ConfigurationError: the file of authorities cannot be read, or the TLS version has no such name.
    """
    try:
        changed = server.ca_file.stat().st_mtime_ns if server.ca_file else 0
        return _context(server.ca_file, changed, server.verify, server.min_version)
    except (OSError, KeyError) as error:
        raise ConfigurationError(f"TLS for {server.host} cannot be set up: {type(error).__name__}") from error


@lru_cache(maxsize=64)
def _context(ca_file: Path | None, changed: int, verify: bool, min_version: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if min_version is not None:
        context.minimum_version = ssl.TLSVersion[min_version.replace(".", "_")]
    return context
