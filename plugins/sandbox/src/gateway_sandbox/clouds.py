"""The entry of the sandbox in the clouds file, by which the Microsoft providers find its servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from gateway.errors import ConfigurationError
from gateway_sandbox.directory import OUTLOOK

FILE_NAME = "clouds.json"


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """Where a running sandbox listens.

    Attributes:
        origin: of the sign-in pages, ``http://localhost:PORT``.
        imap_port: implicit TLS (RFC 8314).
        smtp_port: submission with STARTTLS (RFC 6409).
        ca_file: certificate of the authority that signed the IMAP and SMTP servers' certificate.
    """

    origin: str
    imap_port: int
    smtp_port: int
    ca_file: Path


def entry(endpoints: Endpoints) -> dict[str, Any]:
    """Return the clouds-file entry of a running sandbox."""
    return {
        "login": endpoints.origin,
        "graph": f"{endpoints.origin}/graph",
        "imap": {"host": "localhost", "port": endpoints.imap_port, "security": "tls"},
        "smtp": {"host": "localhost", "port": endpoints.smtp_port, "security": "starttls"},
        "scope_host": OUTLOOK,
        "ca_file": str(endpoints.ca_file),
        "instance_discovery": False,
    }


def write_entry(path: Path, name: str, value: dict[str, Any]) -> None:
    """Put one entry into the clouds file and leave the others as they are.

    Raises:
        ConfigurationError: the file is there and is not a JSON object.
    """
    entries: Any = {}
    if path.exists():
        try:
            entries = msgspec.json.decode(path.read_bytes())
        except msgspec.DecodeError as error:
            raise ConfigurationError(f"{path.name} is not JSON") from error
    if not isinstance(entries, dict):
        raise ConfigurationError(f"{path.name} must be a JSON object")
    entries[name] = value
    replacement = path.with_suffix(".tmp")
    replacement.write_bytes(msgspec.json.format(msgspec.json.encode(entries), indent=2) + b"\n")
    replacement.replace(path)
