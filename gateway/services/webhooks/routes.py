"""Webhook routes: create, look up, change, delete."""

from __future__ import annotations

import secrets as random_secrets

import msgspec
from msgspec import UNSET

from gateway.errors import InvalidRequestError, ResourceNotFoundError
from gateway.model.webhook import (
    RouteContent,
    RouteContentInfo,
    RouteCreate,
    RouteCreated,
    RouteDeleted,
    RouteUpdate,
    RouteUpdated,
    WebhookRoute,
    WebhookRouteList,
)
from gateway.provider import Clock
from gateway.services.paging import page_of
from gateway.services.webhooks.endpoints import shown_trouble
from gateway.services.webhooks.expressions import ExpressionError, parse
from gateway.services.webhooks.wake import WakeService
from gateway.store.accounts import AccountStore
from gateway.store.webhook_endpoints import EndpointStore, StoredRoute, Trouble
from gateway.store.webhooks import DeliveryStore, ProgressStore


class RouteService:
    """The webhook routes of this installation."""

    def __init__(
        self,
        *,
        endpoints: EndpointStore,
        progress: ProgressStore,
        deliveries: DeliveryStore,
        accounts: AccountStore,
        waker: WakeService,
        clock: Clock,
    ) -> None:
        self._endpoints = endpoints
        self._progress = progress
        self._deliveries = deliveries
        self._accounts = accounts
        self._waker = waker
        self._clock = clock

    async def list(self, page: int, page_size: int) -> WebhookRouteList:
        """Return one page of the routes."""
        routes = await self._endpoints.routes()
        chunk, pages = page_of(routes, page, page_size)
        troubles = await self._endpoints.troubles([route.id for route in chunk])
        counts = await self._deliveries.counts()
        shown = tuple(
            _shown(route, trouble, counts.get(route.id, 0)) for route, trouble in zip(chunk, troubles, strict=True)
        )
        return WebhookRouteList(total=len(routes), page=page, pages=pages, webhooks=shown)

    async def get(self, id: str) -> WebhookRoute:
        """Return one route in full."""
        route = await self._stored(id)
        trouble = (await self._endpoints.troubles([id]))[0]
        count = (await self._deliveries.counts()).get(id, 0)
        content = RouteContentInfo(fn=route.filter, map=route.mapping)
        return msgspec.structs.replace(_shown(route, trouble, count), v=route.version, content=content)

    async def create(self, request: RouteCreate) -> RouteCreated:
        """Create a route; it gets what happens from now on.

        Raises:
            InvalidRequestError: filter or mapping cannot be used.
        """
        content = _checked(request.content)
        now = self._clock()
        route = StoredRoute(
            # Without a hyphen or underscore in front, so that it is a word wherever it is shown.
            id=f"wh{random_secrets.token_hex(10)}",
            name=request.name,
            target_url=request.target_url,
            description=request.description,
            enabled=request.enabled,
            custom_headers=request.custom_headers,
            filter=content.fn,
            mapping=content.map,
            created=now,
            updated=now,
            since=now,
        )
        await self._endpoints.save(route)
        return RouteCreated(id=route.id)

    async def update(self, id: str, request: RouteUpdate) -> RouteUpdated:
        """Change a route. One that was switched off, or disabled by its server, begins anew with what happens now.

        Raises:
            InvalidRequestError: filter or mapping cannot be used.
        """
        route = await self._stored(id)
        names = ("name", "target_url", "description", "enabled", "custom_headers")
        changes = {name: value for name in names if (value := getattr(request, name)) is not UNSET}
        if not isinstance(request.content, msgspec.UnsetType):
            content = _checked(request.content)
            changes |= {"filter": content.fn, "mapping": content.map}
        now = self._clock()
        changed = msgspec.structs.replace(route, **changes, updated=now, version=route.version + 1)
        trouble = (await self._endpoints.troubles([id]))[0]
        disabled = trouble is not None and trouble.disabled
        if changed.enabled and (disabled or not route.enabled):
            changed = msgspec.structs.replace(changed, since=now)
        await self._endpoints.save(changed)
        await self._endpoints.clear(id)
        await self._waker.edited(id)
        return RouteUpdated(id=id)

    async def delete(self, id: str) -> RouteDeleted:
        """Delete a route with its records and what it had still to deliver."""
        await self._stored(id)
        await self._endpoints.delete(id)
        await self._progress.forget(id, list(await self._accounts.summaries()))
        await self._deliveries.forget(id)
        return RouteDeleted(id=id)

    async def _stored(self, id: str) -> StoredRoute:
        route = await self._endpoints.route(id)
        if route is None:
            raise ResourceNotFoundError("There is no such webhook route", code="WebhookRouteNotFound")
        return route


def _checked(content: RouteContent | None) -> RouteContent:
    content = content or RouteContent()
    fields = []
    for key, expression in (("content.fn", content.fn), ("content.map", content.map)):
        try:
            if expression is not None:
                parse(expression)
        except ExpressionError as error:
            fields.append({"message": f'"{key}" {error}', "key": key})
    if fields:
        raise InvalidRequestError("Input validation failed", fields=fields)
    return content


def _shown(route: StoredRoute, trouble: Trouble | None, count: int) -> WebhookRoute:
    return WebhookRoute(
        id=route.id,
        name=route.name,
        description=route.description,
        created=route.created,
        updated=route.updated,
        enabled=route.enabled,
        target_url=route.target_url,
        tcount=count,
        webhook_error_flag=shown_trouble(trouble),
        custom_headers=route.custom_headers,
    )
