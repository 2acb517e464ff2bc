"""Open a session for an account: its provider, its settings, its credentials."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec

from gateway.errors import AccountNotReadyError, ConfigurationError, ResourceNotFoundError
from gateway.model.account import ImapConfig, SmtpConfig
from gateway.model.oauth2 import SERVICE_PROVIDERS
from gateway.model.server import Security, Server, decode_path
from gateway.plugins import Plugins
from gateway.provider import Account, Credentials, Numbers, OAuth2App, ProtocolLog, Provider, Session, SessionContext
from gateway.services.apps import AppService
from gateway.services.grants import AccountCredentials, GrantService
from gateway.services.protocol_logs import ProtocolLogs
from gateway.services.routing import RoutingService
from gateway.store.accounts import AccountConfig, AccountStore
from gateway.store.numbers import AccountNumbers
from gateway.store.store import Store

_SPECIAL_USE = {
    "sent_mail_path": "\\Sent",
    "drafts_mail_path": "\\Drafts",
    "junk_mail_path": "\\Junk",
    "trash_mail_path": "\\Trash",
    "archive_mail_path": "\\Archive",
}

#: The member of the account payload whose provider serves accounts with IMAP or SMTP servers of their own.
IMAP_KEY = "imap"


class SessionService:
    """Knows which provider serves an account and opens it."""

    def __init__(
        self,
        store: Store,
        accounts: AccountStore,
        apps: AppService,
        grants: GrantService,
        logs: ProtocolLogs,
        routing: RoutingService,
        plugins: Plugins,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._apps = apps
        self._grants = grants
        self._logs = logs
        self._routing = routing
        self._plugins = plugins

    async def open(self, account: str) -> AbstractAsyncContextManager[Session]:
        """Return the context of a session for an account.

        Raises:
            ResourceNotFoundError: there is no such account, app or plugin.
        """
        stored = await self._accounts.get(account)
        if stored is None:
            raise ResourceNotFoundError("no such account", code="AccountNotFound")
        return await self.open_config(stored.config, log=await self._logs.recorder(stored.config))

    async def open_config(
        self,
        config: AccountConfig,
        credentials: Credentials | None = None,
        numbers: Numbers | None = None,
        *,
        proxy: str | None = None,
        log: ProtocolLog | None = None,
    ) -> AbstractAsyncContextManager[Session]:
        """Return the context of a session for an account that need not be stored; then it brings its proxy."""
        app, provider = await self.provider(config)
        context = SessionContext(
            credentials=credentials or AccountCredentials(self._grants, config),
            numbers=numbers or AccountNumbers(self._store, config.account),
            app=app,
            routes=await self._routing.of_account(config, proxy),
            protocol_log=log,
        )
        return provider.open(contract_account(config, provider), context)

    async def provider(self, config: AccountConfig) -> tuple[OAuth2App | None, Provider]:
        """Return the provider that serves an account, and its OAuth2 app if it has one."""
        if config.oauth2 is not None:
            return await self._apps.open(config.oauth2.app)
        if config.provider is not None:
            found = self._plugins.providers.get(config.provider)
        else:
            found = self._plugins.for_settings(IMAP_KEY) if config.imap or config.smtp else None
        if found is None:
            raise AccountNotReadyError("nothing to connect to: the account has no servers", code="NotSyncing")
        return None, found


def contract_account(config: AccountConfig, provider: Provider) -> Account:
    """Return an account as providers see it."""
    oauth2 = config.oauth2
    imap_user = config.imap.auth.user if config.imap and config.imap.auth and config.imap.auth is not True else None
    user = oauth2.user if oauth2 is not None else imap_user or config.email or config.account
    special_use = {}
    if config.imap is not None:
        special_use = {tag: path for name, tag in _SPECIAL_USE.items() if (path := getattr(config.imap, name))}
    return Account(
        id=config.account,
        user=user,
        email=config.email or user,
        name=config.name,
        settings=provider_settings(config, provider),
        shared=oauth2.shared if oauth2 is not None else None,
        special_use=special_use,
    )


def provider_settings(config: AccountConfig, provider: Provider) -> Any:
    """Return the connection settings of an account in the provider's own type.

    Raises:
        ConfigurationError: what is stored does not fit the installed plugin.
    """
    if provider.settings_type is None:
        return None
    if config.provider is not None:
        wire: dict[str, Any] = config.settings or {}
    else:
        wire = {
            "imap": _server(config.imap) if config.imap and not config.imap.disabled else None,
            "smtp": _server(config.smtp) if config.smtp else None,
        }
    try:
        return msgspec.convert(wire, provider.settings_type, dec_hook=decode_path)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"settings of the account do not fit the provider {provider.name}: {error}") from error


def _server(config: ImapConfig | SmtpConfig) -> dict[str, Any]:
    tls = config.tls
    security: Security = "tls" if config.secure else "opportunistic"
    server = Server(
        host=config.host or "",
        port=config.port or 0,
        security=security,
        verify=tls.reject_unauthorized if tls is not None else True,
        min_version=tls.min_version if tls is not None else None,
    )
    return dict(msgspec.to_builtins(server))


def account_type(config: AccountConfig, app_provider: str | None) -> str:
    """Return the wire word for the kind of account."""
    if config.oauth2 is not None:
        if config.oauth2.delegated_account is not None:
            return "delegated"
        return app_provider or "oauth2"
    if config.provider is not None:
        return config.provider
    if config.imap is not None:
        return "imap"
    return "sending" if config.smtp is not None else "imap"


def is_service_account(app_provider: str | None) -> bool:
    """Tell whether accounts of such an app need no sign-in of a user."""
    return app_provider in SERVICE_PROVIDERS
