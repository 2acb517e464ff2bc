"""Where a mail server is and how to talk to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

#: "opportunistic" upgrades with STARTTLS when the server offers it and goes on in the clear when it does not.
Security = Literal["tls", "starttls", "opportunistic", "plain"]


class Server(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An IMAP or SMTP server.

    Attributes:
        security: "tls" from the first octet, "starttls" required, "opportunistic", or "plain".
        verify: check the certificate and its host name.
        ca_file: PEM file of certificate authorities to trust instead of the system's.
        min_version: lowest TLS version, e.g. "TLSv1.2".
    """

    host: str
    port: int
    security: Security = "tls"
    verify: bool = True
    ca_file: Path | None = None
    min_version: str | None = None


def decode_path(kind: type, value: Any) -> Any:
    """Make paths of strings: the `dec_hook` for decoding a `Server` with msgspec."""
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(f"a value of type {kind.__name__}")
