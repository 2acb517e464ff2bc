"""Delivery of events to webhook endpoints."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.model.webhook import TestRequest, TestResult
from gateway.queue import operations as ask
from gateway.services.container import Services
from gateway_workers.context import Handler, JobContext


def handlers(services: Services) -> Mapping[str, Handler]:
    """Return the handlers of these operations."""

    async def deliver(job: JobContext, arguments: ask.DeliverWebhooks) -> None:
        """Deliver what is new in the account's log to one endpoint."""
        await services.webhooks.deliverer.deliver(job.account, arguments.endpoint, job.job)

    async def test(job: JobContext, arguments: ask.TestWebhook) -> TestResult:
        """Send a test event."""
        request = TestRequest(endpoint=arguments.endpoint, account=arguments.for_account)
        return await services.webhooks.operations.test(request)

    return {ask.WEBHOOK_DELIVER.name: deliver, ask.WEBHOOK_TEST.name: test}
