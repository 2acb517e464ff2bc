"""The certificate of the IMAP and SMTP servers, signed by an authority of this data directory's own."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import trustme

_CA_FILE = "ca.pem"
_SERVER_FILE = "server.pem"


def server_context(directory: Path) -> ssl.SSLContext:
    """Return the servers' TLS context; the certificate is made at the first start."""
    server_file = directory / _SERVER_FILE
    if not (server_file.exists() and ca_file(directory).exists()):
        _make(directory)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(server_file)
    return context


def ca_file(directory: Path) -> Path:
    """Return where the authority's certificate is."""
    return directory / _CA_FILE


def _make(directory: Path) -> None:
    authority = trustme.CA(organization_name="Email gateway sandbox")
    certificate = authority.issue_cert("localhost", "127.0.0.1", "::1")
    authority.cert_pem.write_to_path(str(ca_file(directory)))
    descriptor = os.open(directory / _SERVER_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(certificate.private_key_and_cert_chain_pem.bytes())
