"""Accounts: what clients send to create and change them, and what they are shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field

from gateway.model.account_errors import LastError, SmtpStatus, SyncError, TokenRequestFlag
from gateway.model.base import Payload, Resource
from gateway.model.push import OutlookSubscription, PushInfo

AccountState = Literal[
    "init",
    "unset",
    "connected",
    "connecting",
    "syncing",
    "authenticationError",
    "connectError",
    "disconnected",
    "paused",
]

#: States in which calls that need the mail server are passed on to a worker.
OPERATIONAL_STATES: frozenset[str] = frozenset({"connected", "connecting", "syncing"})

#: States that an error leads to.
ERROR_STATES: frozenset[str] = frozenset({"authenticationError", "connectError"})

AccountId = Annotated[str, Meta(max_length=256, description="Id of the account, chosen by the caller or generated")]
Name = Annotated[str, Meta(max_length=256)]
MailPath = Annotated[str, Meta(max_length=1024)]
Email = Annotated[str, Meta(max_length=320, pattern=r"^[^\s@\x00-\x1f]+@[^\s@\x00-\x1f]+$", description="Mail address")]
Url = Annotated[str, Meta(max_length=8192)]
#: Empty clears the member.
WebhookUrl = Annotated[str, Meta(max_length=8192, pattern=r"^(https?://\S+)?$")]
ProxyUrl = Annotated[str, Meta(max_length=8192, pattern=r"^((https?|socks(4a?|5h?)?)://\S+)?$")]
#: Of IP; what it is, is checked where it is used.
IpAddress = Annotated[str, Meta(max_length=45, pattern=r"^[0-9A-Fa-f:.]+$")]
#: A host name or an address literal (RFC 5321 section 4.1.1.1); it is sent to the server as it is.
EhloName = Annotated[str, Meta(max_length=253, pattern=r"^[A-Za-z0-9._:\[\]-]*$")]
TlsVersion = Literal["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]
Port = Annotated[int, Meta(ge=1, le=65535)]
Indexer = Literal["full", "fast"]

#: A time, or the word "now"; parsed where it is used because a union of the two cannot be told apart by type.
Since = Annotated[str, Meta(max_length=64, extra_json_schema={"anyOf": [{"format": "date-time"}, {"const": "now"}]})]


class TlsOptions(Payload, frozen=True, kw_only=True):
    """Transport security of one server."""

    reject_unauthorized: bool = True
    min_version: TlsVersion | None = None


class PasswordAuth(Payload, frozen=True, kw_only=True):
    """A login name with a password or a ready access token."""

    user: Annotated[str, Meta(min_length=1, max_length=256)]
    pass_: Annotated[str, Meta(max_length=256)] | None = field(name="pass", default=None)
    access_token: Annotated[str, Meta(max_length=16384)] | None = None


class SmtpConfig(Payload, frozen=True, kw_only=True):
    """A submission server; `secure` is TLS from the first octet, else STARTTLS is used when it is offered."""

    auth: PasswordAuth | bool | None = None
    use_auth_server: bool | None = None
    host: Annotated[str, Meta(max_length=253, pattern=r"^[A-Za-z0-9_.:\-\[\]]+$")] | None = None
    port: Port | None = None
    secure: bool | UnsetType = UNSET
    tls: TlsOptions | None = None
    partial: bool = False


class ImapConfig(Payload, frozen=True, kw_only=True):
    """An IMAP server and the mailboxes its owner fixed; host and port may be absent when `disabled`."""

    auth: PasswordAuth | bool | None = None
    use_auth_server: bool | None = None
    host: Annotated[str, Meta(max_length=253, pattern=r"^[A-Za-z0-9_.:\-\[\]]+$")] | None = None
    port: Port | None = None
    secure: bool | UnsetType = UNSET
    tls: TlsOptions | None = None
    disable_imap4rev2: bool | None = field(name="disableIMAP4rev2", default=None)
    resync_delay: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET
    sent_mail_path: MailPath | None | UnsetType = UNSET
    drafts_mail_path: MailPath | None | UnsetType = UNSET
    junk_mail_path: MailPath | None | UnsetType = UNSET
    trash_mail_path: MailPath | None | UnsetType = UNSET
    archive_mail_path: MailPath | None | UnsetType = UNSET
    partial: bool = False


class OAuth2Auth(Payload, frozen=True, kw_only=True):
    """Whose mailbox is opened; `delegated_user` names a shared mailbox that `user` may open."""

    user: Annotated[str, Meta(min_length=1, max_length=256)]
    delegated_user: Annotated[str, Meta(max_length=256)] | None = None
    delegated_account: Annotated[str, Meta(max_length=256)] | None = None


class OAuth2Config(Payload, frozen=True, kw_only=True):
    """Sign-in through an OAuth2 app; `authorize` asks for a sign-in link instead of storing tokens."""

    authorize: bool = False
    redirect_url: Url | None = None
    provider: Annotated[str, Meta(max_length=256)] | None = None
    auth: OAuth2Auth | None = None
    use_auth_server: bool | None = None
    access_token: Annotated[str, Meta(max_length=16384)] | None = None
    refresh_token: Annotated[str, Meta(max_length=16384)] | None = None
    expires: datetime | None = None
    authority: str | None = None
    partial: bool = False


class CustomHeader(Payload, frozen=True, kw_only=True):
    """A header that webhooks of the account carry."""

    # RFC 9110 sections 5.1 and 5.5: a line break would begin another header.
    key: Annotated[str, Meta(min_length=1, max_length=1024, pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
    value: Annotated[str, Meta(max_length=10240, pattern=r"^[\t\x20-\x7e\x80-\xff]*$")] = ""


class AccountSettings(Payload, frozen=True, kw_only=True):
    """Members that creating and updating an account have in common."""

    email: Email | None | UnsetType = UNSET
    expected_email: Email | None | UnsetType = UNSET
    path: tuple[MailPath, ...] | MailPath | None | UnsetType = UNSET
    subconnections: tuple[Name, ...] | UnsetType = UNSET
    webhooks: WebhookUrl | UnsetType = UNSET
    copy: bool | None | UnsetType = UNSET
    logs: bool | UnsetType = UNSET
    notify_from: Since | None | UnsetType = UNSET
    proxy: ProxyUrl | UnsetType = UNSET
    smtp_ehlo_name: EhloName | None | UnsetType = UNSET
    imap: ImapConfig | bool | UnsetType = UNSET
    smtp: SmtpConfig | bool | UnsetType = UNSET
    oauth2: OAuth2Config | bool | UnsetType = UNSET
    webhooks_custom_headers: tuple[CustomHeader, ...] | UnsetType = UNSET
    locale: Annotated[str, Meta(max_length=100)] | UnsetType = UNSET
    tz: Annotated[str, Meta(max_length=100)] | UnsetType = UNSET


class AccountCreate(AccountSettings, frozen=True, kw_only=True):
    """A new account; the same id again updates it. A null id is generated."""

    account: Annotated[str, Meta(max_length=256)] | None
    name: Name
    imap_indexer: Indexer | None | UnsetType = UNSET
    sync_from: Since | None | UnsetType = UNSET
    provider: (
        Annotated[
            str, Meta(max_length=64, description="A provider plugin by name, for kinds of mailbox without a member")
        ]
        | UnsetType
    ) = UNSET
    settings: Annotated[dict[str, Any], Meta(description="Connection settings of that provider")] | UnsetType = UNSET


class AccountUpdate(AccountSettings, frozen=True, kw_only=True):
    """A change of an account; members that are absent stay as they are."""

    name: Name | UnsetType = UNSET


class AccountCreated(Resource, frozen=True, kw_only=True):
    """An account was created or updated, or `redirect` leads to the sign-in that will do it."""

    account: str | None = None
    state: Literal["existing", "new"] | None = None
    redirect: str | None = None


class AccountReference(Resource, frozen=True, kw_only=True):
    """The account that was changed."""

    account: str


class AccountDeleted(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """The account is gone; `revoked` tells whether its grant was withdrawn at the provider."""

    account: str
    deleted: bool = True
    revoked: bool | UnsetType = UNSET


class Counters(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """Events since the account was created, by name."""

    events: dict[str, int] = field(default_factory=dict)


class StateOverview(Resource, frozen=True, kw_only=True):
    """The accounts in one state: how many, and when the quietest of them gave its last sign of life.

    None when one of them never gave any.
    """

    count: int
    silent_since: datetime | None = None


_SYNCED = "When a mailbox of the account was last brought up to date"
_ALIVE = "When the account's mail server last gave a sign of life"


class AccountEntry(Resource, frozen=True, kw_only=True):
    """An account as it stands in the list; `delegationError` tells why no account lends it a sign-in."""

    account: str
    name: str = ""
    email: str | None = None
    type: str
    app: str | None = None
    state: AccountState
    webhooks: str | None = None
    proxy: str | None = None
    smtp_ehlo_name: str | None = None
    counters: Counters | None = None
    sync_time: Annotated[datetime, Meta(description=_SYNCED)] | None = None
    alive_time: Annotated[datetime, Meta(description=_ALIVE)] | None = None
    last_error: LastError | None = None
    delegation_error: str | None = None


class AccountList(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """One page of the accounts; `query` and `state` repeat what was asked for."""

    total: int
    page: int
    pages: int
    query: str | bool = False
    state: str = "*"
    accounts: tuple[AccountEntry, ...]


class TlsInfo(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """Transport security of one server."""

    reject_unauthorized: bool = True
    min_version: str | UnsetType = UNSET


class AuthInfo(Resource, frozen=True, kw_only=True):
    """A login; secrets are masked."""

    user: str
    pass_: str | None = field(name="pass", default=None)
    access_token: str | None = None


class SmtpInfo(Resource, frozen=True, kw_only=True):
    """The submission server in use."""

    auth: AuthInfo | None = None
    use_auth_server: bool | None = None
    host: str | None = None
    port: int | None = None
    secure: bool | None = None
    tls: TlsInfo | None = None


class ImapInfo(Resource, frozen=True, kw_only=True):
    """The IMAP server in use."""

    auth: AuthInfo | None = None
    use_auth_server: bool | None = None
    host: str | None = None
    port: int | None = None
    secure: bool | None = None
    tls: TlsInfo | None = None
    disable_imap4rev2: bool | None = field(name="disableIMAP4rev2", default=None)
    resync_delay: int | None = None
    disabled: bool | None = None
    sent_mail_path: str | None = None
    drafts_mail_path: str | None = None
    junk_mail_path: str | None = None
    trash_mail_path: str | None = None
    archive_mail_path: str | None = None


class OAuth2AuthInfo(Resource, frozen=True, kw_only=True):
    """Whose mailbox is opened."""

    user: str
    delegated_user: str | None = None
    delegated_account: str | None = None


class OAuth2Info(Resource, frozen=True, kw_only=True):
    """The grant in use; tokens are masked."""

    authorize: Annotated[bool, Meta(description="Only of a request")] | None = None
    redirect_url: Annotated[str, Meta(description="Only of a request")] | None = None
    provider: str | None = None
    auth: OAuth2AuthInfo | None = None
    use_auth_server: bool | None = None
    access_token: str | None = None
    refresh_token: str | None = None
    expires: datetime | None = None
    scope: tuple[str, ...] = ()
    token_type: str | None = None
    generated: datetime | None = None
    refresh_token_generated: datetime | None = None
    user_flag: TokenRequestFlag | None = None


class QuotaInfo(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """Octets used and allowed."""

    usage: int
    limit: int | UnsetType = UNSET
    status: str | UnsetType = UNSET


class AccountDetail(Resource, frozen=True, kw_only=True):
    """One account in full; secrets are masked."""

    account: str
    name: str = ""
    email: str | None = None
    expected_email: str | None = None
    copy: bool | None = None
    logs: bool | None = None
    notify_from: datetime | None = None
    sync_from: datetime | None = None
    path: tuple[str, ...] | None = None
    imap_indexer: Indexer | None = None
    subconnections: tuple[str, ...] = ()
    webhooks: str | None = None
    proxy: str | None = None
    smtp_ehlo_name: str | None = None
    imap: ImapInfo | None = None
    smtp: SmtpInfo | None = None
    oauth2: OAuth2Info | None = None
    provider: str | None = None
    settings: dict[str, Any] | None = None
    state: AccountState
    smtp_status: SmtpStatus | None = None
    sync_error: SyncError | None = None
    connections: Annotated[int, Meta(description="IMAP connections that workers hold")] | UnsetType = UNSET
    send_only: bool = False
    webhooks_custom_headers: tuple[CustomHeader, ...] = ()
    created: datetime | None = None
    locale: str | None = None
    tz: str | None = None
    type: str
    app: str | None = None
    base_scopes: str | None = None
    counters: Counters | None = None
    quota: QuotaInfo | bool | UnsetType = UNSET
    sync_time: Annotated[datetime, Meta(description=_SYNCED)] | None = None
    alive_time: Annotated[datetime, Meta(description=_ALIVE)] | None = None
    outlook_subscription: OutlookSubscription | None = None
    push: Annotated[PushInfo, Meta(description="Of accounts whose service can call")] | None = None
    last_error: LastError | None | UnsetType = UNSET


class ReconnectRequest(Payload, frozen=True, kw_only=True):
    """Acts only when `reconnect` is true."""

    reconnect: bool = False


class SyncRequest(Payload, frozen=True, kw_only=True):
    """Acts only when `sync` is true."""

    sync: bool = False


class FlushRequest(Payload, frozen=True, kw_only=True):
    """Acts only when `flush` is true."""

    flush: bool = False
    notify_from: Since | None = "now"
    imap_indexer: Indexer | None = None


class ReconnectResult(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """Whether the connection is being rebuilt."""

    reconnect: bool


class SyncResult(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """Whether a pass was started."""

    sync: bool


class FlushResult(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """Whether the index is being rebuilt."""

    flush: bool


class OAuthTokenInfo(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """A valid access token; `cached` is false when it had to be renewed."""

    account: str
    user: str
    access_token: str
    provider: str
    app: str | UnsetType = UNSET
    registered_scopes: tuple[str, ...] = ()
    expires: datetime
    cached: bool


class FormRequest(Payload, frozen=True, kw_only=True):
    """What the hosted sign-in form is for, and where it returns to."""

    redirect_url: Url
    account: Annotated[str, Meta(max_length=256)] | None = None
    name: Name | None = None
    email: Email | None = None
    expected_email: Email | None = None
    delegated: bool = False
    notify_from: Since | None = None
    sync_from: Since | None = None
    subconnections: tuple[Name, ...] | None = None
    path: tuple[MailPath, ...] | MailPath | None = None
    type: str | bool = False


class FormLink(Resource, frozen=True, kw_only=True):
    """A signed, single-use link to the hosted form."""

    url: str
