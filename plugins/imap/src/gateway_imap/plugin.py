"""What the gateway finds by the entry point ``imap``."""

from __future__ import annotations

from collections.abc import Callable

from gateway import hookimpl
from gateway.provider import Environment, Provider
from gateway_imap.provider import ImapProvider


@hookimpl
def gateway_register_providers(register: Callable[[Provider], None], environment: Environment) -> None:
    """Register the provider."""
    register(ImapProvider())
