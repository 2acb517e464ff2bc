"""What came of deliveries; replay, test, and the secrets that deliveries are signed with."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gateway.api.call import Call
from gateway.api.operation import operation
from gateway.model.base import Payload
from gateway.model.webhook import (
    AccountId,
    DeliveryState,
    EndpointId,
    ReplayRequest,
    ReplayStarted,
    SecretRotated,
    TestRequest,
    TestResult,
    WebhookDeliveryList,
)


class DeliveriesQuery(Payload, frozen=True, kw_only=True):
    """Which attempts."""

    endpoint: EndpointId | None = None
    account: AccountId | None = None
    state: DeliveryState | None = None
    cursor: Annotated[str, Meta(max_length=1024, description="`nextCursor` of the page before")] | None = None
    page_size: Annotated[int, Meta(ge=1, le=1000, description="Entries on a page")] = 20


@operation(
    "GET",
    "/v1/webhooks/deliveries",
    operation_id="getV1WebhooksDeliveries",
    summary="List webhook deliveries",
    tag="Webhooks",
    action="read",
    group="webhook",
    binding="query",
    returns=WebhookDeliveryList,
)
async def list_deliveries(call: Call, query: DeliveriesQuery) -> WebhookDeliveryList:
    """List attempts to deliver events, newest first: of each endpoint the last 2,000 and the last 10,000 dead letters,
    for seven days.
    """
    return await call.services.webhooks.operations.deliveries(
        endpoint=query.endpoint,
        account=query.account,
        state=query.state,
        cursor=query.cursor,
        size=query.page_size,
    )


@operation(
    "POST",
    "/v1/webhooks/replay",
    operation_id="postV1WebhooksReplay",
    summary="Deliver events again",
    tag="Webhooks",
    action="write",
    group="webhook",
    returns=ReplayStarted,
    errors=(404,),
)
async def replay(call: Call, body: ReplayRequest) -> ReplayStarted:
    """Deliver events of the log (seven days) to an endpoint again: some of one account by id, or those of a time.

    They have the same ids as before, and a header `X-Gateway-Replay: true`. What the endpoint does not select is left
    out.
    """
    return await call.services.webhooks.operations.replay(body)


@operation(
    "POST",
    "/v1/webhooks/test",
    operation_id="postV1WebhooksTest",
    summary="Send a test event",
    tag="Webhooks",
    action="write",
    group="webhook",
    returns=TestResult,
    errors=(404, 504),
)
async def test(call: Call, body: TestRequest) -> bytes:
    """Send an event named `test` to an endpoint as it is configured, and tell what its server answered."""
    return await call.services.webhooks.operations.ask_test(body, timeout=call.timeout)


@operation(
    "POST",
    "/v1/webhooks/secret",
    operation_id="postV1WebhooksSecret",
    summary="Rotate the signing secret",
    tag="Webhooks",
    action="write",
    group="admin",
    returns=SecretRotated,
)
async def rotate_secret(call: Call) -> SecretRotated:
    """Make a new Standard Webhooks secret and return it, this once. The one before signs, too, until the next call."""
    secret, live = await call.services.runtime_settings.rotate_webhook_secret()
    return SecretRotated(secret=secret, secrets=live)


OPERATIONS = (list_deliveries, replay, test, rotate_secret)
