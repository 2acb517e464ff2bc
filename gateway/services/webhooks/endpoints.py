"""What an account's events go to: the endpoint of the settings, to which it may give its own URL, and routes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from gateway.model.account import CustomHeader
from gateway.model.webhook import DEFAULT_ENDPOINT, EndpointTrouble
from gateway.provider import Clock
from gateway.services.runtime_settings import RuntimeSettingsService
from gateway.store.accounts import AccountConfig
from gateway.store.webhook_endpoints import EndpointStore, StoredRoute, Trouble

#: In front of the account, the name of its own URL.
ACCOUNT_PREFIX = "account:"

_SETTINGS = ("webhooksEnabled", "webhooks", "webhookEvents", "webhooksCustomHeaders", "inboxNewOnly")


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as one account's events go to it.

    Attributes:
        endpoint: id of a route, or `DEFAULT_ENDPOINT`.
        name: under which troubles are kept; an account's own URL has its own.
        since: what happened before does not go there.
        events: names of those that do; None for all.
        inbox_only: of new messages, only those in the inbox.
        filter, mapping: JMESPath.
    """

    endpoint: str
    name: str
    url: str
    since: datetime
    headers: tuple[CustomHeader, ...] = ()
    events: frozenset[str] | None = None
    inbox_only: bool = False
    filter: str | None = None
    mapping: str | None = None
    trouble: Trouble | None = None

    def __repr__(self) -> str:
        return f"Target({self.endpoint!r})"

    @property
    def start(self) -> str:
        """Id of a log's entry behind which is what goes there."""
        # One of the same millisecond may have come after it.
        return f"{max(0, int(self.since.timestamp() * 1000) - 1)}-0"

    @property
    def route(self) -> str | None:
        """Id of the route, None for the endpoint of the settings."""
        return None if self.endpoint == DEFAULT_ENDPOINT else self.endpoint

    def wants(self, event: str) -> bool:
        """Tell whether events of a name go there, as far as the name tells."""
        return self.events is None or "*" in self.events or event in self.events


class EndpointService:
    """Finds targets, and keeps what is wrong with them."""

    def __init__(self, store: EndpointStore, settings: RuntimeSettingsService, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock

    async def targets(self, config: AccountConfig) -> list[Target]:
        """Return where events of an account go now; endpoints that are disabled are left out."""
        routes = await self._store.routes()
        found = [_route_target(route, config) for route in routes if route.enabled]
        default = await self._default(config)
        if default is not None:
            found.insert(0, default)
        troubles = await self._store.troubles([target.name for target in found])
        judged = [_judged(target, trouble, config) for target, trouble in zip(found, troubles, strict=True)]
        return [target for target in judged if target is not None]

    async def target(self, endpoint: str, config: AccountConfig) -> Target | None:
        """Return one of the targets."""
        if endpoint == DEFAULT_ENDPOINT:
            found = await self._default(config)
        else:
            route = await self._store.route(endpoint)
            found = _route_target(route, config) if route is not None and route.enabled else None
        if found is None:
            return None
        return _judged(found, (await self._store.troubles([found.name]))[0], config)

    async def any(self) -> bool:
        """Tell whether there may be an endpoint for anybody; saves the rest of the work where nobody has one."""
        enabled = (await self._settings.many(("webhooksEnabled",)))["webhooksEnabled"]
        return bool(enabled) or any(route.enabled for route in await self._store.routes())

    async def _default(self, config: AccountConfig) -> Target | None:
        values = await self._settings.many(_SETTINGS)
        url = config.webhooks or values["webhooks"]
        if not values["webhooksEnabled"] or not url:
            return None
        enabled_since, url_since = await self._settings.webhooks_since()
        if config.webhooks:
            since, name = config.webhooks_since or enabled_since, f"{ACCOUNT_PREFIX}{config.account}"
        else:
            since, name = url_since, DEFAULT_ENDPOINT
        events = values["webhookEvents"]
        return Target(
            endpoint=DEFAULT_ENDPOINT,
            name=name,
            url=url,
            since=max(since, enabled_since),
            headers=(*_headers(values["webhooksCustomHeaders"]), *config.webhooks_custom_headers),
            events=None if events is None else frozenset(events),
            inbox_only=bool(values["inboxNewOnly"]),
        )

    # --- troubles -----------------------------------------------------------------------------------------------------

    async def failed(self, target: Target, message: str, *, paused: datetime | None = None) -> None:
        """Remember that a delivery failed."""
        known = target.trouble.paused if target.trouble is not None else None
        pauses = [pause for pause in (paused, known) if pause is not None]
        trouble = Trouble(message=message, time=self._clock(), paused=max(pauses) if pauses else None)
        await self._store.set_trouble(target.name, trouble)

    async def disable(self, target: Target, message: str) -> None:
        """Deliver nothing to an endpoint until somebody edits it."""
        await self._store.set_trouble(target.name, Trouble(message=message, time=self._clock(), disabled=True))

    async def succeeded(self, target: Target) -> None:
        """Forget what was wrong."""
        await self._store.clear(target.name)

    async def default_edited(self) -> None:
        """Take the endpoint of the settings into service again if it was disabled."""
        trouble = (await self._store.troubles([DEFAULT_ENDPOINT]))[0]
        if trouble is None:
            return
        if trouble.disabled:
            await self._settings.begin_webhooks_anew()
        await self._store.clear(DEFAULT_ENDPOINT)

    async def forget_account(self, account: str) -> None:
        """Forget what was wrong with an account's own URL."""
        await self._store.clear(f"{ACCOUNT_PREFIX}{account}")


def _route_target(route: StoredRoute, config: AccountConfig) -> Target:
    return Target(
        endpoint=route.id,
        name=route.id,
        url=route.target_url,
        since=route.since,
        headers=(*route.custom_headers, *config.webhooks_custom_headers),
        filter=route.filter,
        mapping=route.mapping,
    )


def _judged(target: Target, trouble: Trouble | None, config: AccountConfig) -> Target | None:
    """Return a target with its trouble; None when it is disabled and was not edited since."""
    if trouble is None:
        return target
    if not trouble.disabled:
        return msgspec.structs.replace(target, trouble=trouble)
    edited = config.webhooks_edited
    if target.name != f"{ACCOUNT_PREFIX}{config.account}" or edited is None or edited <= trouble.time:
        return None
    return msgspec.structs.replace(target, trouble=trouble, since=max(target.since, edited))


def _headers(value: Any) -> Sequence[CustomHeader]:
    return msgspec.convert(value or [], tuple[CustomHeader, ...])


def shown_trouble(trouble: Trouble | None) -> EndpointTrouble | None:
    """Return what clients are told of a trouble."""
    if trouble is None:
        return None
    return EndpointTrouble(message=trouble.message, time=trouble.time, disabled=trouble.disabled)
