"""Account payloads into what is stored: merge, split off secrets, check."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import UNSET

from gateway.errors import InvalidRequestError
from gateway.model.account import (
    AccountCreate,
    AccountSettings,
    AccountUpdate,
    ImapConfig,
    OAuth2Config,
    PasswordAuth,
    SmtpConfig,
)
from gateway.model.oauth2 import MASK
from gateway.provider import Grant
from gateway.smtp.proxies import masked_proxy, parse_proxy
from gateway.store.accounts import AccountConfig, AccountSecrets, StoredAccount, StoredOAuth2

ServerConfig = TypeVar("ServerConfig", ImapConfig, SmtpConfig)

#: Members that are stored as they came, and the value that stands for "not given".
_PLAIN: Mapping[str, Any] = {
    "name": "",
    "email": None,
    "expected_email": None,
    "subconnections": (),
    "webhooks": None,
    "webhooks_custom_headers": (),
    "copy": None,
    "logs": False,
    "smtp_ehlo_name": None,
    "imap_indexer": None,
    "locale": None,
    "tz": None,
}


def invalid(key: str, message: str) -> InvalidRequestError:
    """Return the error for one wrong member."""
    return InvalidRequestError("Invalid input", fields=[{"message": f'"{key}" {message}', "key": key}])


def merged_config(
    old: AccountConfig, request: AccountCreate | AccountUpdate, now: datetime
) -> tuple[AccountConfig, AccountSecrets]:
    """Return an account with the members of a request, and the secrets that the request brought.

    Raises:
        InvalidRequestError: members contradict each other or are missing.
    """
    changes: dict[str, Any] = {}
    for name, empty in _PLAIN.items():
        value = getattr(request, name, UNSET)
        if value is not UNSET:
            changes[name] = empty if value is None or value == "" else value
    if request.webhooks:
        changes["webhooks_edited"] = now
        if not old.webhooks:
            changes["webhooks_since"] = now
    proxy = request.proxy
    if not isinstance(proxy, msgspec.UnsetType):
        changes["proxy"] = masked_proxy(checked_proxy("proxy", proxy)) if proxy else None
    if request.path is not UNSET:
        changes["path"] = _paths(request.path)
    since = request.notify_from
    if since is UNSET and isinstance(request, AccountCreate):
        # The older name of the same member.
        since = request.sync_from
    if not isinstance(since, msgspec.UnsetType):
        changes["notify_from"] = parse_since(since, now)
    imap, imap_auth = _server(old.imap, request.imap, "imap")
    smtp, smtp_auth = _server(old.smtp, request.smtp, "smtp")
    secrets = AccountSecrets(
        imap_password=imap_auth.pass_ if imap_auth else None,
        imap_token=imap_auth.access_token if imap_auth else None,
        smtp_password=smtp_auth.pass_ if smtp_auth else None,
        smtp_token=smtp_auth.access_token if smtp_auth else None,
        # One that comes back as it was shown stays as it is.
        proxy=proxy or None if proxy is not UNSET and proxy != old.proxy else None,
    )
    changes |= {"imap": imap, "smtp": smtp, "oauth2": _oauth2(old.account, old.oauth2, request)}
    if isinstance(request, AccountCreate):
        changes |= _plugin(request)
    return msgspec.structs.replace(old, **changes), secrets


def merged_secrets(old: AccountSecrets, new: AccountSecrets, config: AccountConfig) -> AccountSecrets:
    """Return the secrets to keep: new ones over old ones, a mask keeps the old, none for a server that is gone."""

    def pick(name: str, server: ImapConfig | SmtpConfig | None) -> str | None:
        if server is None or not server.auth:
            return None
        value: str | None = getattr(new, name)
        kept: str | None = getattr(old, name)
        return kept if value is None or value == MASK else value

    return AccountSecrets(
        imap_password=pick("imap_password", config.imap),
        imap_token=pick("imap_token", config.imap),
        smtp_password=pick("smtp_password", config.smtp),
        smtp_token=pick("smtp_token", config.smtp),
        proxy=None if config.proxy is None else new.proxy or old.proxy,
    )


def given_grant(request: AccountSettings, now: datetime) -> Grant | None:
    """Return the grant that a payload brings, None when it brings no tokens."""
    oauth2 = request.oauth2
    if not isinstance(oauth2, OAuth2Config):
        return None
    access = oauth2.access_token if oauth2.access_token != MASK else None
    refresh = oauth2.refresh_token if oauth2.refresh_token != MASK else None
    if not access and not refresh:
        return None
    # Without a date nothing is known of the access token's life: a short one makes it be used, then renewed.
    expires = oauth2.expires or (now + timedelta(minutes=5) if access else now)
    return Grant(access_token=access or "", refresh_token=refresh, expires_at=expires.astimezone(UTC))


def keeps_refresh_token(request: AccountSettings) -> bool:
    """Tell whether a payload brings an access token for the stored refresh token: masked, or left out of a part."""
    oauth2 = request.oauth2
    if not isinstance(oauth2, OAuth2Config):
        return False
    return oauth2.refresh_token == MASK or (oauth2.partial and not oauth2.refresh_token)


def checked_proxy(key: str, url: str | None) -> str:
    """Return the URL of a proxy, empty for none.

    Raises:
        InvalidRequestError: there is no proxy of this kind; nothing of the URL is repeated.
    """
    if not url:
        return ""
    try:
        parse_proxy(url)
    except ValueError as error:
        raise invalid(key, str(error)) from None
    return url


def checked_address(key: str, address: str | None) -> None:
    """Make sure that an IP address is one.

    Raises:
        InvalidRequestError: it is none.
    """
    try:
        ipaddress.ip_address(address or "::")
    except ValueError:
        raise invalid(key, "must be an IP address") from None


def checked_zone(key: str, name: str) -> ZoneInfo:
    """Return a time zone by its IANA name.

    Raises:
        InvalidRequestError: there is none of this name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise invalid(key, "must be the name of a time zone, e.g. Europe/Berlin") from None


def parse_since(value: str | None, now: datetime) -> datetime | None:
    """Return the time that "now", an ISO 8601 date or a time means; None stays None.

    Raises:
        InvalidRequestError: it is none of these.
    """
    if value is None:
        return None
    if value == "now":
        return now
    try:
        found = datetime.fromisoformat(value)
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise invalid("notifyFrom", 'must be a time (ISO 8601) or "now"') from error


def nothing_to_connect(config: AccountConfig) -> bool:
    """Tell whether an account has no mailbox that could be opened."""
    if config.oauth2 is not None or config.provider is not None:
        return False
    return config.imap is None or bool(config.imap.disabled)


def connection_changed(old: StoredAccount, config: AccountConfig, before: AccountSecrets, new: AccountSecrets) -> bool:
    """Tell whether a change needs a new connection; an account in an error state always gets one."""
    was = old.config
    # A proxy with another password looks the same, and is among the secrets.
    same = (
        was.imap,
        was.smtp,
        was.oauth2,
        was.provider,
        was.settings,
        was.path,
        was.subconnections,
        was.logs,
        was.proxy,
        was.smtp_ehlo_name,
    ) == (
        config.imap,
        config.smtp,
        config.oauth2,
        config.provider,
        config.settings,
        config.path,
        config.subconnections,
        config.logs,
        config.proxy,
        config.smtp_ehlo_name,
    )
    if not same or old.state in ("authenticationError", "connectError", "disconnected", "unset"):
        return True
    return merged_secrets(before, new, config) != before


def _paths(value: Any) -> tuple[str, ...] | None:
    paths = (value,) if isinstance(value, str) else value
    return None if not paths or paths == ("*",) else tuple(paths)


def _server(
    old: ServerConfig | None, new: ServerConfig | bool | msgspec.UnsetType, key: str
) -> tuple[ServerConfig | None, PasswordAuth | None]:
    """Return the server to store, without its secrets, and the login that was given."""
    if isinstance(new, msgspec.UnsetType):
        return old, None
    if isinstance(new, bool):
        if new:
            raise invalid(key, "must be an object or false")
        return None, None
    if new.partial and old is not None:
        new = _overlaid(old, new)
    auth = new.auth
    if isinstance(auth, bool):
        auth = None
    if new.use_auth_server:
        raise invalid(f"{key}.useAuthServer", "is not supported by this gateway")
    if not (isinstance(new, ImapConfig) and new.disabled):
        for name in ("host", "port"):
            if not getattr(new, name):
                raise invalid(f"{key}.{name}", "is required")
        if isinstance(new, ImapConfig) and auth is None:
            raise invalid(f"{key}.auth", "is required")
    bare = msgspec.structs.replace(auth, pass_=None, access_token=None) if auth is not None else None
    return msgspec.structs.replace(new, auth=bare, partial=False), auth


def _overlaid(old: ServerConfig, new: ServerConfig) -> ServerConfig:
    """Return the stored server with the members that the new one gives."""
    given = {
        field.name: value
        for field in msgspec.structs.fields(new)
        if field.name != "partial" and (value := getattr(new, field.name)) != field.default
    }
    return msgspec.structs.replace(old, **given)


def _oauth2(account: str, old: StoredOAuth2 | None, request: AccountSettings) -> StoredOAuth2 | None:
    new = request.oauth2
    if isinstance(new, msgspec.UnsetType):
        return old
    if isinstance(new, bool):
        if new:
            raise invalid("oauth2", "must be an object or false")
        return None
    if new.use_auth_server:
        raise invalid("oauth2.useAuthServer", "is not supported by this gateway")
    app = new.provider or (old.app if new.partial and old is not None else None)
    if not app:
        raise invalid("oauth2.provider", "is required")
    if new.auth is None:
        if not new.partial or old is None:
            raise invalid("oauth2.auth", "is required")
        return msgspec.structs.replace(old, app=app)
    if new.auth.delegated_account and not new.auth.delegated_user:
        raise invalid("oauth2.auth.delegatedAccount", "is allowed only with delegatedUser")
    if new.auth.delegated_account == account:
        raise invalid("oauth2.auth.delegatedAccount", "must be another account")
    return StoredOAuth2(
        app=app,
        user=new.auth.user,
        shared=new.auth.delegated_user,
        delegated_account=new.auth.delegated_account,
    )


def _plugin(request: AccountCreate) -> dict[str, Any]:
    if isinstance(request.provider, msgspec.UnsetType):
        if not isinstance(request.settings, msgspec.UnsetType):
            raise invalid("settings", "is allowed only with provider")
        return {}
    settings = {} if isinstance(request.settings, msgspec.UnsetType) else request.settings
    return {"provider": request.provider, "settings": settings}
