"""Delivery tests: what the gateway's own receiver makes of the mail of an account."""

from __future__ import annotations

from gateway.api.call import Call
from gateway.api.operation import operation
from gateway.model.delivery_test import DeliveryTestCheck, DeliveryTestRequest, DeliveryTestStarted


@operation(
    "POST",
    "/v1/delivery-test/account/{account}",
    operation_id="postV1DeliverytestAccountAccount",
    summary="Start a delivery test",
    tag="Delivery Test",
    action="send",
    group="submit",
    returns=DeliveryTestStarted,
    errors=(404,),
)
async def start_delivery_test(call: Call, body: DeliveryTestRequest) -> DeliveryTestStarted:
    """Send a message from the account to the receiver of this installation (`gateway inbound`), which checks SPF, DKIM,
    DMARC, BIMI and ARC. Nothing is filed under Sent.

    Without a receiver the call is refused (DeliveryTestUnavailable). An account may start 20 tests in an hour.
    """
    return await call.services.delivery_tests.start(call.account, body.gateway)


@operation(
    "GET",
    "/v1/delivery-test/check/{deliveryTest}",
    operation_id="getV1DeliverytestCheckDeliverytest",
    summary="Check a delivery test",
    tag="Delivery Test",
    action="read",
    group="diagnostics",
    binding="controller",
    returns=DeliveryTestCheck,
    errors=(404,),
)
async def check_delivery_test(call: Call) -> DeliveryTestCheck:
    """Tell how far a delivery test is, for a day. A token of an account sees the tests of that account.

    `pending`: the message is on its way. `success`: it has arrived; each check tells by `status.result` how it ended.
    `failed`: it could not be sent, or did not arrive within an hour; `error` says why.
    """
    return await call.services.delivery_tests.check(call.path["deliveryTest"], account=call.token.account)


OPERATIONS = (start_delivery_test, check_delivery_test)
