"""A certificate authority for the length of a test run."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

import trustme


class Certificates(NamedTuple):
    """PEM files: the authority, and a server certificate for localhost and the loopback addresses."""

    authority: Path
    chain: Path
    key: Path

    def client_context(self) -> ssl.SSLContext:
        """A context that trusts this authority alone."""
        return ssl.create_default_context(cafile=str(self.authority))

    def server_context(self) -> ssl.SSLContext:
        """A context that presents the server certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.chain, self.key)
        return context


def issue_certificates(directory: Path) -> Certificates:
    """Write a new authority and a server certificate to `directory`."""
    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1", "127.0.0.2")
    files = Certificates(directory / "ca.pem", directory / "server.pem", directory / "server.key")
    authority.cert_pem.write_to_path(str(files.authority))
    for position, pem in enumerate(server.cert_chain_pems):
        pem.write_to_path(str(files.chain), append=position > 0)
    server.private_key_pem.write_to_path(str(files.key))
    # Servers that gave up root read it too; the key is worth nothing outside this directory's short life.
    files.key.chmod(0o644)
    return files
