"""OAuth2 apps: what operators register, and what they are shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field

from gateway.model.account_errors import LastError
from gateway.model.base import Payload, Resource

AppProvider = Literal["gmail", "gmailService", "outlook", "outlookService", "mailRu"]
BaseScopes = Literal["imap", "api", "pubsub"]

Text256 = Annotated[str, Meta(max_length=256)]
Text512 = Annotated[str, Meta(max_length=512)]
Text1024 = Annotated[str, Meta(max_length=1024)]
Scopes = tuple[Annotated[str, Meta(max_length=255)], ...]
ProjectId = Annotated[str, Meta(max_length=256, pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$")]
TopicName = Annotated[str, Meta(max_length=256, pattern=r"^(?!goog)[A-Za-z][A-Za-z0-9\-_.~+%]{2,254}$")]

#: Providers whose apps sign in by themselves, without a user (RFC 6749 section 4.4).
SERVICE_PROVIDERS: frozenset[str] = frozenset({"outlookService", "gmailService"})

#: The base scopes of apps by which Google tells of new mail.
PUB_SUB = "pubsub"

#: What an app of Microsoft has unless it says otherwise.
DEFAULT_AUTHORITY, DEFAULT_CLOUD = "common", "global"

#: What stands in an answer in place of a stored secret.
MASK = "******"


class AppFields(Payload, frozen=True, kw_only=True):
    """Members that registering and updating an app have in common; where `false` is possible, it clears the member."""

    description: Text1024 | None | UnsetType = UNSET
    title: Text256 | None | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    client_id: Text256 | bool | None | UnsetType = UNSET
    client_secret: Text256 | None | UnsetType = UNSET
    pub_sub_app: Text512 | bool | None | UnsetType = UNSET
    extra_scopes: Scopes | UnsetType = UNSET
    skip_scopes: Scopes | UnsetType = UNSET
    google_project_id: ProjectId | bool | None | UnsetType = UNSET
    google_workspace_accounts: bool | UnsetType = UNSET
    google_topic_name: TopicName | bool | None | UnsetType = UNSET
    google_subscription_name: TopicName | bool | None | UnsetType = UNSET
    service_client: Text256 | bool | None | UnsetType = UNSET
    service_client_email: Text256 | UnsetType = UNSET
    service_key: Annotated[str, Meta(max_length=102400)] | UnsetType = UNSET
    external_account: Annotated[str, Meta(max_length=65536)] | UnsetType = UNSET
    authority: Text1024 | UnsetType = UNSET
    cloud: Text256 | UnsetType = UNSET
    tenant: Text1024 | UnsetType = UNSET
    redirect_url: Annotated[str, Meta(max_length=8192)] | bool | None | UnsetType = UNSET


class AppCreate(AppFields, frozen=True, kw_only=True):
    """A new OAuth2 app; which members are needed depends on `provider`."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    provider: AppProvider
    base_scopes: BaseScopes | UnsetType = UNSET
    auth_method: Literal["serviceKey", "externalAccount"] | UnsetType = UNSET


class AppUpdate(AppFields, frozen=True, kw_only=True):
    """A change of an app; `provider` and `baseScopes` cannot change."""

    name: Annotated[str, Meta(min_length=1, max_length=256)] | UnsetType = UNSET


class AppCreated(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """The new app's id."""

    id: str
    created: bool = True


class AppUpdated(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """The app was changed."""

    id: str
    updated: bool


class AppDeleted(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """The app is gone; `accounts` of them had signed in through it and cannot renew their grants any more."""

    id: str
    deleted: bool
    accounts: int


#: Members of the wire API that no app of this gateway has.
_PUB_SUB = "Only of Google's apps"


class PubSubError(Resource, frozen=True, kw_only=True):
    """Only of Google's apps."""

    message: str
    description: str | None = None


class AppDetail(Resource, frozen=True, kw_only=True):
    """An OAuth2 app; secrets are masked."""

    id: str
    name: str
    provider: str
    enabled: bool | UnsetType = UNSET
    include_in_listing: bool = False
    description: str | None = None
    title: str | None = None
    created: datetime | None = None
    updated: datetime | None = None
    client_id: str | None = None
    client_secret: str | None = None
    authority: str | None = None
    cloud: str | None = None
    tenant: str | None = None
    redirect_url: str | None = None
    base_scopes: str | None = None
    extra_scopes: tuple[str, ...] = ()
    skip_scopes: tuple[str, ...] = ()
    pub_sub_app: str | None = None
    google_project_id: str | None = None
    google_workspace_accounts: bool = False
    google_topic_name: str | None = None
    google_subscription_name: str | None = None
    service_client: str | None = None
    service_client_email: str | None = None
    service_key: str | None = None
    auth_method: str | None = None
    external_account: str | None = None
    access_token: Annotated[str, Meta(description="Never told: tokens belong to accounts")] | None = None
    pub_sub_topic: Annotated[str, Meta(description=_PUB_SUB)] | None = None
    pub_sub_subscription: Annotated[str, Meta(description=_PUB_SUB)] | None = None
    pub_sub_iam_policy: Annotated[bool, Meta(description=_PUB_SUB)] | None = None
    pub_sub_error: PubSubError | None = None
    last_error: LastError | None = None
    accounts: int | UnsetType = UNSET


class AppList(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """One page of the apps."""

    total: int
    page: int
    pages: int
    apps: tuple[AppDetail, ...]


class VerifyApp(Payload, frozen=True, kw_only=True):
    """What to verify an app with."""

    account: Annotated[str, Meta(max_length=256)] | None = None
    test_connection: bool = True


class VerifyStep(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """One step of the diagnosis."""

    id: str
    label: str
    status: Literal["ok", "fail", "skip"]
    message: str | None = None
    hint: str | UnsetType = UNSET


class VerifyAppResult(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """The steps that were taken; `ok` is false when any of them failed."""

    app: str
    provider: str
    auth_method: str | None
    account: str | None
    ok: bool
    steps: tuple[VerifyStep, ...]


class AppRecord(Resource, frozen=True, kw_only=True):
    """An app as it is stored, without its secrets."""

    id: str
    name: str
    provider: str
    enabled: bool = False
    description: str | None = None
    title: str | None = None
    created: datetime | None = None
    updated: datetime | None = None
    base_scopes: str = "imap"
    fields: dict[str, Any] = field(default_factory=dict)
    last_error: LastError | None = None
