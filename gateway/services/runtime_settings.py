"""Settings that change at run time, with their types, defaults and what they mean."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.errors import InvalidRequestError, MissingSettingError
from gateway.mime.quotation_words import Locale
from gateway.model.account import EhloName, Indexer, IpAddress, ProxyUrl, WebhookUrl
from gateway.model.base import Payload
from gateway.model.webhook import Headers
from gateway.provider import Clock, utc_now
from gateway.services.account_payload import checked_address, checked_proxy, checked_zone, invalid
from gateway.services.webhooks.requests import new_secret, secret_key
from gateway.smtp.proxies import masked_proxy
from gateway.store.runtime_settings import RuntimeSettingsStore

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


#: None is all of them, as is ``*``.
EventNames = Annotated[tuple[Annotated[str, Meta(max_length=256)], ...], Meta(max_length=256)]
#: ``*`` is all of them.
HeaderNames = Annotated[tuple[Annotated[str, Meta(max_length=256)], ...], Meta(max_length=256)]
#: Which of `localAddresses` a connection comes from: the system's choice, always the same for an account, or any.
Strategy = Literal["default", "dedicated", "random"]
#: What IMAP servers are told of this client (RFC 2971); some let in nobody who says nothing.
ClientText = Annotated[str, Meta(max_length=1024, pattern=r"^[ -~]*$", description="Told to IMAP servers (RFC 2971)")]
#: Octets.
Size = Annotated[int, Meta(ge=0, le=1_073_741_824)]
#: Standard Webhooks, newest first; 24 to 64 octets each.
WebhookSecrets = Annotated[
    tuple[Annotated[str, Meta(max_length=100, pattern=r"^whsec_[A-Za-z0-9+/]{32,86}={0,2}$")], ...],
    Meta(min_length=1, max_length=2),
]

#: When a setting began to be in force, by its name: what happened before is not delivered.
SINCE: Mapping[str, str] = {"webhooksEnabled": "webhooksEnabledSince", "webhooks": "webhooksSince"}


class LogSettings(Payload, frozen=True, kw_only=True):
    """Protocol logs; see `/v1/logs/{account}`."""

    all: Annotated[bool, Meta(description="Of every account, not only of those with `logs`")] = False
    max_log_lines: (
        Annotated[int, Meta(ge=0, le=1_000_000, description="Lines kept of each account; 10,000 by default")] | None
    ) = None


class RuntimeSettings(Payload, frozen=True, kw_only=True):
    """The settings that mean something to this gateway."""

    service_url: Annotated[str, Meta(max_length=8192)] | None | UnsetType = UNSET
    notification_base_url: (
        Annotated[str, Meta(max_length=8192, description="Where mail services call us, in place of serviceUrl")]
        | None
        | UnsetType
    ) = UNSET
    service_secret: Annotated[str, Meta(min_length=8, max_length=1024)] | UnsetType = UNSET
    page_brand_name: Annotated[str, Meta(max_length=1024)] | None | UnsetType = UNSET
    locale: (
        Annotated[
            Locale, Meta(description="Language of quotations where message and account name none; English by default")
        ]
        | None
        | UnsetType
    ) = UNSET
    timezone: (
        Annotated[
            str,
            Meta(
                max_length=100,
                description="IANA name; of dates in quotations where message and account name none; UTC by default",
            ),
        ]
        | None
        | UnsetType
    ) = UNSET
    template_header: Annotated[str, Meta(max_length=1048576)] | None | UnsetType = UNSET
    enable_oauth_tokens_api: bool | UnsetType = msgspec.field(name="enableOAuthTokensApi", default=UNSET)
    delivery_attempts: Annotated[int, Meta(ge=1, le=100)] | None | UnsetType = UNSET
    webhooks_enabled: bool | None | UnsetType = UNSET
    webhooks: WebhookUrl | None | UnsetType = UNSET
    webhook_events: EventNames | None | UnsetType = UNSET
    webhooks_custom_headers: Headers | None | UnsetType = UNSET
    webhook_secrets: WebhookSecrets | UnsetType = UNSET
    inbox_new_only: bool | None | UnsetType = UNSET
    notify_text: bool | None | UnsetType = UNSET
    notify_text_size: Size | None | UnsetType = UNSET
    notify_web_safe_html: (
        Annotated[bool, Meta(description="HTML of `notifyText` that is safe to be shown, as by `webSafeHtml`")]
        | None
        | UnsetType
    ) = UNSET
    notify_headers: HeaderNames | None | UnsetType = UNSET
    notify_attachments: bool | None | UnsetType = UNSET
    notify_attachment_size: Size | None | UnsetType = UNSET
    notify_calendar_events: (
        Annotated[bool, Meta(description="Adds `calendarEvents` to `messageNew`")] | None | UnsetType
    ) = UNSET
    track_opens: Annotated[bool, Meta(description="Tell when sent HTML is opened (`trackOpen`)")] | None | UnsetType = (
        UNSET
    )
    track_clicks: (
        Annotated[bool, Meta(description="Tell which links of sent HTML are followed (`trackClick`)")]
        | None
        | UnsetType
    ) = UNSET
    track_sent_messages: (
        Annotated[bool, Meta(description="What `trackOpens` and `trackClicks` are where they are not set")]
        | None
        | UnsetType
    ) = UNSET
    imap_indexer: Indexer | None | UnsetType = UNSET
    proxy_enabled: Annotated[bool, Meta(description="Use `proxyUrl`")] | None | UnsetType = UNSET
    proxy_url: (
        Annotated[ProxyUrl, Meta(description="To IMAP and SMTP servers; shown without user and password")]
        | None
        | UnsetType
    ) = UNSET
    smtp_ehlo_name: EhloName | None | UnsetType = UNSET
    imap_client_name: ClientText | None | UnsetType = UNSET
    imap_client_version: ClientText | None | UnsetType = UNSET
    imap_client_vendor: ClientText | None | UnsetType = UNSET
    imap_client_support_url: ClientText | None | UnsetType = UNSET
    imap_strategy: Strategy | None | UnsetType = UNSET
    smtp_strategy: Strategy | None | UnsetType = UNSET
    local_addresses: Annotated[tuple[IpAddress, ...], Meta(max_length=1024)] | None | UnsetType = UNSET
    export_max_concurrent: (
        Annotated[int, Meta(ge=1, le=100, description="Exports of an account under way; 2 by default")]
        | None
        | UnsetType
    ) = UNSET
    export_max_global_concurrent: (
        Annotated[int, Meta(ge=1, le=100, description="Exports of this installation under way; 8 by default")]
        | None
        | UnsetType
    ) = UNSET
    export_max_messages: (
        Annotated[int, Meta(ge=1, le=100_000_000, description="Messages of an export; 100,000 by default")]
        | None
        | UnsetType
    ) = UNSET
    export_max_size: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=1_099_511_627_776,
                description="Octets of an export, compressed; 256 MiB by default. All exports together keep 1 GiB",
            ),
        ]
        | None
        | UnsetType
    ) = UNSET
    logs: LogSettings | None | UnsetType = UNSET


class RuntimeSettingsService:
    """Reads and writes the runtime settings."""

    def __init__(self, store: RuntimeSettingsStore, clock: Clock = utc_now) -> None:
        self._store = store
        self._clock = clock
        #: Called after somebody set where webhooks go, or that they do.
        self.webhooks_edited: Callable[[], Awaitable[None]] | None = None

    async def get(self, name: str) -> Any:
        """Return one setting by its wire name, None when it was never made."""
        return await self._store.get(name)

    async def update(self, values: Mapping[str, Any]) -> list[str]:
        """Make settings from their wire form and return the names.

        Raises:
            InvalidRequestError: a name is unknown or a value has the wrong form.
        """
        wire = checked(values)
        names = sorted(wire)
        if wire.get("proxyUrl") and wire["proxyUrl"] == masked_proxy(await self._store.get("proxyUrl") or ""):
            # It comes back as it was shown.
            del wire["proxyUrl"]
        elif "@" in (shown := wire.get("proxyUrl") or "") and shown == masked_proxy(shown):
            raise invalid("proxyUrl", "is given as it is shown, without user and password")
        before = await self._store.many(tuple(SINCE))
        begun = {SINCE[name]: self._clock() for name in SINCE if wire.get(name) and not before[name]}
        await self._store.save({**wire, **begun})
        if not wire.keys().isdisjoint(SINCE) and self.webhooks_edited is not None:
            await self.webhooks_edited()
        return names

    async def many(self, names: Sequence[str]) -> dict[str, Any]:
        """Return some settings by their wire names; one that was never made is None."""
        return await self._store.many(names)

    async def all(self) -> dict[str, Any]:
        """Return every setting that was made, by wire name; also those of the gateway's own."""
        return await self._store.all()

    async def begin_webhooks_anew(self) -> None:
        """Forget what the endpoint of the settings has not got yet."""
        await self._store.save({SINCE["webhooks"]: self._clock()})

    async def webhooks_since(self) -> tuple[datetime, datetime]:
        """Return since when webhooks are delivered at all, and to the URL of the settings."""
        found = await self._store.many(tuple(SINCE.values()))
        enabled, url = (datetime.fromisoformat(value) if value else _LONG_AGO for value in found.values())
        return enabled, url

    async def webhook_secrets(self) -> tuple[str, ...]:
        """Return the secrets that webhooks are signed with, newest first; the first one is made at its first use."""
        found = await self._store.get("webhookSecrets")
        if found is None:
            found = await self._store.save_first("webhookSecrets", [new_secret()])
        return tuple(found)

    async def rotate_webhook_secret(self) -> tuple[str, int]:
        """Make a new secret for webhooks and return it, with the number that are live; the last one stays valid."""
        live = (new_secret(), *await self.webhook_secrets())[:2]
        await self._store.save({"webhookSecrets": live})
        return live[0], len(live)

    async def service_url(self) -> str:
        """Return the origin under which users reach the gateway.

        Raises:
            MissingSettingError: it was never set.
        """
        url = await self._store.get("serviceUrl")
        if not url:
            raise MissingSettingError(
                "serviceUrl is not set: set GATEWAY_SERVICE_URL to the address users reach the gateway at",
                code="MissingServiceURLSetup",
            )
        return str(url)

    async def service_secret(self) -> bytes:
        """Return the key that signs links and cookies, made at its first use."""
        secret = await self._store.get("serviceSecret")
        if secret is None:
            secret = await self._store.save_first("serviceSecret", secrets.token_hex(16))
        return str(secret).encode()


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in the form in which they are stored.

    Raises:
        InvalidRequestError: a name is unknown or a value has the wrong form.
    """
    try:
        settings = msgspec.convert(dict(values), RuntimeSettings)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"runtime settings: {error}") from error
    wire: dict[str, Any] = msgspec.to_builtins(settings)
    if wire.get("serviceUrl"):
        wire["serviceUrl"] = origin(wire["serviceUrl"])
    if wire.get("notificationBaseUrl"):
        wire["notificationBaseUrl"] = base_url(wire["notificationBaseUrl"], "notificationBaseUrl")
    checked_proxy("proxyUrl", wire.get("proxyUrl"))
    if wire.get("timezone") is not None:
        checked_zone("timezone", wire["timezone"])
    for address in wire.get("localAddresses") or ():
        checked_address("localAddresses", address)
    for secret in wire.get("webhookSecrets", ()):
        try:
            secret_key(secret)
        except ValueError as error:
            field = {"message": f'"webhookSecrets" {error}', "key": "webhookSecrets"}
            raise InvalidRequestError("Input validation failed", fields=[field]) from None
    return wire


def origin(url: str, key: str = "serviceUrl") -> str:
    """Return scheme, host and port of an address.

    Args:
        url: the address.
        key: the member that it stands in.

    Raises:
        InvalidRequestError: it is not an absolute http or https URL.
    """
    parts = urlsplit(base_url(url, key))
    return f"{parts.scheme}://{parts.netloc}"


def base_url(url: str, key: str) -> str:
    """Return an address without what follows its path, and without a slash at the end. Takes and raises as `origin`."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        field = {"message": "must be an http or https URL", "key": key}
        raise InvalidRequestError("not an absolute http or https URL", fields=[field])
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
