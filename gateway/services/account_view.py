"""What clients are shown of an account; secrets are masked."""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import UNSET

from gateway.model.account import (
    AccountDetail,
    AccountEntry,
    AuthInfo,
    Counters,
    ImapConfig,
    ImapInfo,
    OAuth2AuthInfo,
    OAuth2Info,
    SmtpConfig,
    SmtpInfo,
    TlsInfo,
)
from gateway.model.account_errors import TokenRequestFlag, TokenRequestInfo
from gateway.model.oauth2 import MASK, AppRecord
from gateway.model.push import OutlookSubscription, PushInfo, SubscriptionState
from gateway.services.sessions import account_type
from gateway.store.accounts import AccountConfig, StoredAccount
from gateway.store.grants import StoredGrant
from gateway.store.pushes import PushRecord
from gateway.store.signs import Signs

#: Seconds between two passes over an account's mailboxes, unless the account says otherwise.
RESYNC_DELAY = 900


def entry(
    stored: StoredAccount, signs: Signs, app: AppRecord | None, delegation_error: str | None, events: dict[str, int]
) -> AccountEntry:
    """Return an account as it stands in the list."""
    config = stored.config
    return AccountEntry(
        account=config.account,
        name=config.name,
        email=config.email,
        type=_type(config, app, delegation_error),
        app=config.oauth2.app if config.oauth2 else None,
        state=stored.state,
        webhooks=config.webhooks,
        proxy=config.proxy,
        smtp_ehlo_name=config.smtp_ehlo_name,
        counters=Counters(events=events),
        sync_time=signs.synced,
        alive_time=signs.alive,
        last_error=None if stored.state == "connected" else stored.last_error,
        delegation_error=delegation_error,
    )


def detail(
    stored: StoredAccount,
    signs: Signs,
    app: AppRecord | None,
    grant: StoredGrant | None,
    delegation_error: str | None,
    events: dict[str, int],
    push: PushRecord | None,
    now: datetime,
) -> AccountDetail:
    """Return an account in full."""
    config = stored.config
    return AccountDetail(
        account=config.account,
        name=config.name,
        email=config.email,
        expected_email=config.expected_email,
        copy=config.copy,
        logs=config.logs,
        notify_from=config.notify_from,
        path=config.path or ("*",),
        imap_indexer=config.imap_indexer,
        subconnections=config.subconnections,
        webhooks=config.webhooks,
        proxy=config.proxy,
        smtp_ehlo_name=config.smtp_ehlo_name,
        imap=_imap(config.imap) if config.imap else None,
        smtp=_smtp(config.smtp) if config.smtp else None,
        oauth2=_oauth2(config, grant),
        provider=config.provider,
        settings=config.settings,
        state=stored.state,
        smtp_status=stored.smtp_status,
        sync_error=stored.sync_error,
        connections=signs.connections,
        send_only=not config.has_mailbox and config.smtp is not None,
        webhooks_custom_headers=config.webhooks_custom_headers,
        created=config.created,
        locale=config.locale,
        tz=config.tz,
        type=_type(config, app, delegation_error),
        app=config.oauth2.app if config.oauth2 else None,
        base_scopes=app.base_scopes if app else None,
        counters=Counters(events=events),
        sync_time=signs.synced,
        alive_time=signs.alive,
        outlook_subscription=_subscription(push),
        push=_push(push, now),
        last_error=None if stored.state == "connected" else stored.last_error or UNSET,
    )


def _subscription(record: PushRecord | None) -> OutlookSubscription | None:
    if record is None or not record.url:
        return None
    failed = record.state == "error"
    state = SubscriptionState(
        state=record.state,
        time=None if record.time is None else int(record.time.timestamp() * 1000),
        error=record.text if failed else None,
        retry_count=record.failures if record.id else 0,
        create_retry_count=0 if record.id else record.failures,
    )
    return OutlookSubscription(id=record.id or None, expiration_date_time=record.expires, state=state)


def _push(record: PushRecord | None, now: datetime) -> PushInfo | None:
    if record is None:
        return None
    active = bool(record.id) and record.expires is not None and record.expires > now
    return PushInfo(active=active, code=None if active else record.code, text=None if active else record.text)


def _type(config: AccountConfig, app: AppRecord | None, delegation_error: str | None) -> str:
    return "invalid" if delegation_error is not None else account_type(config, app.provider if app else None)


def _tls(config: ImapConfig | SmtpConfig) -> TlsInfo | None:
    if config.tls is None:
        return None
    return TlsInfo(reject_unauthorized=config.tls.reject_unauthorized, min_version=config.tls.min_version or UNSET)


def _auth(config: ImapConfig | SmtpConfig) -> AuthInfo | None:
    if not config.auth or isinstance(config.auth, bool):
        return None
    return AuthInfo(user=config.auth.user, pass_=MASK)


def _smtp(config: SmtpConfig) -> SmtpInfo:
    return SmtpInfo(
        auth=_auth(config), host=config.host, port=config.port, secure=bool(config.secure), tls=_tls(config)
    )


def _imap(config: ImapConfig) -> ImapInfo:
    given = {
        field.name: value
        for field in msgspec.structs.fields(config)
        if field.name not in ("auth", "tls", "partial") and (value := getattr(config, field.name)) is not UNSET
    }
    shown = {"secure": False, "resync_delay": RESYNC_DELAY, **given}
    return ImapInfo(**shown, auth=_auth(config), tls=_tls(config))


def _oauth2(config: AccountConfig, grant: StoredGrant | None) -> OAuth2Info | None:
    oauth2 = config.oauth2
    if oauth2 is None:
        return None
    auth = OAuth2AuthInfo(user=oauth2.user, delegated_user=oauth2.shared, delegated_account=oauth2.delegated_account)
    if grant is None:
        return OAuth2Info(provider=oauth2.app, auth=auth)
    return OAuth2Info(
        provider=oauth2.app,
        auth=auth,
        access_token=MASK if grant.grant.access_token else None,
        refresh_token=MASK if grant.grant.refresh_token else None,
        expires=grant.grant.expires_at,
        scope=grant.grant.scopes,
        token_type=grant.grant.token_type,
        generated=grant.generated,
        refresh_token_generated=grant.refresh_generated,
        user_flag=_user_flag(grant),
    )


def _user_flag(grant: StoredGrant) -> TokenRequestFlag | None:
    request = grant.dead.details.get("token_request") if grant.dead is not None else None
    return msgspec.convert(request, TokenRequestInfo).user_flag if request else None
