"""Webhook routes: further endpoints, each with a filter and a mapping."""

from __future__ import annotations

from gateway.api.call import Call
from gateway.api.operation import operation
from gateway.api.paging import Paging
from gateway.model.webhook import (
    RouteCreate,
    RouteCreated,
    RouteDeleted,
    RouteUpdate,
    RouteUpdated,
    WebhookRoute,
    WebhookRouteList,
)

_ROUTE = "/v1/webhookRoutes/webhookRoute/{webhookRoute}"


@operation(
    "GET",
    "/v1/webhookRoutes",
    operation_id="getV1Webhookroutes",
    summary="List webhook routes",
    tag="Webhooks",
    action="read",
    group="webhook",
    returns=WebhookRouteList,
)
async def list_routes(call: Call, query: Paging) -> WebhookRouteList:
    """List webhook routes. `tcount` counts delivered events; `webhookErrorFlag` is there while deliveries fail."""
    return await call.services.webhooks.routes.list(query.page, query.page_size)


@operation(
    "POST",
    "/v1/webhookRoutes/webhookRoute",
    operation_id="postV1WebhookroutesWebhookroute",
    summary="Create a webhook route",
    tag="Webhooks",
    action="write",
    group="webhook",
    returns=RouteCreated,
)
async def create_route(call: Call, body: RouteCreate) -> RouteCreated:
    """Create a route: every event from now on that its filter lets through is delivered to `targetUrl`, too.

    `content.fn` and `content.map` are JMESPath over the event as it is delivered. An event passes the filter when the
    result is neither empty, false nor null. The result of the mapping is delivered in place of the event.
    """
    return await call.services.webhooks.routes.create(body)


@operation(
    "GET",
    _ROUTE,
    operation_id="getV1WebhookroutesWebhookrouteWebhookroute",
    summary="Read a webhook route",
    tag="Webhooks",
    action="read",
    group="webhook",
    returns=WebhookRoute,
    errors=(404,),
)
async def get_route(call: Call) -> WebhookRoute:
    """Read one route with its filter and mapping."""
    return await call.services.webhooks.routes.get(call.path["webhookRoute"])


@operation(
    "PUT",
    _ROUTE,
    operation_id="putV1WebhookroutesWebhookrouteWebhookroute",
    summary="Change a webhook route",
    tag="Webhooks",
    action="write",
    group="webhook",
    returns=RouteUpdated,
    errors=(404,),
)
async def update_route(call: Call, body: RouteUpdate) -> RouteUpdated:
    """Change a route. One that its server disabled (410) is taken into service again, from now on."""
    return await call.services.webhooks.routes.update(call.path["webhookRoute"], body)


@operation(
    "DELETE",
    _ROUTE,
    operation_id="deleteV1WebhookroutesWebhookrouteWebhookroute",
    summary="Delete a webhook route",
    tag="Webhooks",
    action="destructive",
    group="webhook",
    returns=RouteDeleted,
    errors=(404,),
)
async def delete_route(call: Call) -> RouteDeleted:
    """Delete a route, its records, and what it had still to deliver."""
    return await call.services.webhooks.routes.delete(call.path["webhookRoute"])


OPERATIONS = (list_routes, create_route, get_route, update_route, delete_route)
