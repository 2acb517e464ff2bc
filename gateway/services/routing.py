"""Which way connections to mail servers take: proxies, local addresses, and the name that servers are greeted with."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import partial
from typing import Any
from zlib import crc32

from gateway.http.egress import refusal
from gateway.model.submission import OutboxEntry
from gateway.provider import Route, Service
from gateway.services.runtime_settings import RuntimeSettingsService
from gateway.settings import Egress
from gateway.store.accounts import AccountConfig, AccountStore
from gateway.store.outbox import OutboxMessage

# Fields of RFC 2971 section 3.3 by the settings that hold them.
_CLIENT = {
    "imapClientName": "name",
    "imapClientVersion": "version",
    "imapClientVendor": "vendor",
    "imapClientSupportUrl": "support-url",
}
_SETTINGS = (
    *("proxyEnabled", "proxyUrl", "smtpEhloName", "imapStrategy", "smtpStrategy", "localAddresses"),
    *_CLIENT,
)


class RoutingService:
    """Finds the way: what a submission asks for goes before the account's own, and that before the settings."""

    def __init__(self, accounts: AccountStore, settings: RuntimeSettingsService, egress: Egress) -> None:
        self._accounts = accounts
        self._settings = settings
        # One object, so that equal routes are equal.
        self._refusal = partial(refusal, egress=egress)

    async def of_account(self, config: AccountConfig, proxy: str | None = None) -> dict[Service, Route]:
        """Return the ways of an account's own connections.

        Args:
            config: the account; its proxy is stored with its secrets.
            proxy: the proxy of an account that is not stored.
        """
        settings = await self._settings.many(_SETTINGS)
        if proxy is None and config.proxy is not None:
            proxy = (await self._accounts.secrets(config.account)).proxy
        return {
            "imap": self._route(settings, "imapStrategy", config, proxy),
            "smtp": self._route(settings, "smtpStrategy", config, proxy),
        }

    async def of_entry(self, entry: OutboxEntry, message: OutboxMessage) -> Route | None:
        """Return the way that one message takes; None for that of its account's own connection."""
        if entry.gateway is None and message.proxy is None and entry.local_address is None:
            return None
        stored = await self._accounts.get(entry.account)
        if stored is None:
            return None
        route = (await self.of_account(stored.config, message.proxy))["smtp"]
        if entry.local_address is None:
            return route
        return Route(
            proxy=route.proxy,
            local_address=entry.local_address,
            ehlo_name=route.ehlo_name,
            refusal=self._refusal,
        )

    def _route(self, settings: Mapping[str, Any], strategy: str, config: AccountConfig, proxy: str | None) -> Route:
        if proxy is None and settings["proxyEnabled"]:
            proxy = settings["proxyUrl"]
        return Route(
            proxy=proxy or None,
            local_address=_local_address(settings[strategy], settings["localAddresses"] or [], config.account),
            ehlo_name=config.smtp_ehlo_name or settings["smtpEhloName"] or None,
            client=tuple((field, settings[name]) for name, field in _CLIENT.items() if settings[name]),
            refusal=self._refusal,
        )


def _local_address(strategy: str | None, addresses: list[str], account: str) -> str | None:
    """Return the address to connect from: always the same one of an account where it is dedicated."""
    if not addresses or strategy not in ("dedicated", "random"):
        return None
    if strategy == "random":
        return random.choice(addresses)
    return addresses[crc32(account.encode()) % len(addresses)]
