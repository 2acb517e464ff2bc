"""Outlook and Microsoft 365 mailboxes over IMAP and SMTP.

Thin on purpose: sessions come from `gateway_imap`, sign-in and explanations from `gateway_microsoft`; `provider` puts
them together and `quirks` holds what Exchange does differently.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway import hookimpl
from gateway.provider import Environment, Provider
from gateway_outlook_imap.provider import OutlookImapProvider

__all__ = ["OutlookImapProvider", "gateway_register_providers"]


@hookimpl
def gateway_register_providers(register: Callable[[Provider], None], environment: Environment) -> None:
    """Register the provider."""
    register(OutlookImapProvider(environment))
