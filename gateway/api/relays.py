"""SMTP relays, "gateways" of the wire API."""

from __future__ import annotations

from gateway.api.call import Call
from gateway.api.operation import operation
from gateway.api.paging import Paging
from gateway.model.relay import Relay, RelayCreate, RelayCreated, RelayDeleted, RelayList, RelayUpdate, RelayUpdated

_RELAY = "/v1/gateway/{gateway}"


@operation(
    "GET",
    "/v1/gateways",
    operation_id="getV1Gateways",
    summary="List gateways",
    tag="SMTP Gateway",
    action="read",
    group="gateway",
    returns=RelayList,
)
async def list_relays(call: Call, query: Paging) -> RelayList:
    """List the SMTP relays that mail can be sent through in place of an account's own server."""
    return await call.services.relays.list(query.page, query.page_size)


@operation(
    "POST",
    "/v1/gateway",
    operation_id="postV1Gateway",
    summary="Register a gateway",
    tag="SMTP Gateway",
    action="write",
    group="admin",
    returns=RelayCreated,
)
async def create_relay(call: Call, body: RelayCreate) -> RelayCreated:
    """Register an SMTP relay, or replace the one that has this id. Its password is stored encrypted."""
    return await call.services.relays.create(body)


@operation(
    "GET",
    _RELAY,
    operation_id="getV1GatewayGateway",
    summary="Read a gateway",
    tag="SMTP Gateway",
    action="read",
    group="gateway",
    returns=Relay,
    errors=(404,),
)
async def get_relay(call: Call) -> Relay:
    """Read one relay, its password masked, and how it has been used."""
    return await call.services.relays.get(call.path["gateway"])


@operation(
    "PUT",
    "/v1/gateway/edit/{gateway}",
    operation_id="putV1GatewayEditGateway",
    summary="Change a gateway",
    tag="SMTP Gateway",
    action="write",
    group="admin",
    returns=RelayUpdated,
    errors=(404,),
)
async def update_relay(call: Call, body: RelayUpdate) -> RelayUpdated:
    """Change a relay; members that are absent stay, and so does a masked password."""
    return await call.services.relays.update(call.path["gateway"], body)


@operation(
    "DELETE",
    _RELAY,
    operation_id="deleteV1GatewayGateway",
    summary="Delete a gateway",
    tag="SMTP Gateway",
    action="destructive",
    group="gateway",
    returns=RelayDeleted,
    errors=(404,),
)
async def delete_relay(call: Call) -> RelayDeleted:
    """Delete a relay; mail in the outbox that was to go through it fails."""
    return await call.services.relays.delete(call.path["gateway"])


OPERATIONS = (list_relays, create_relay, get_relay, update_relay, delete_relay)
