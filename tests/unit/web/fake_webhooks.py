"""Webhooks in memory, behind the pages."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import GatewayError, ResourceNotFoundError
from gateway.model.webhook import (
    DeliveryState,
    Endpoint,
    ReplayRequest,
    ReplayStarted,
    RouteUpdate,
    RouteUpdated,
    TestRequest,
    TestResult,
    WebhookDelivery,
    WebhookDeliveryList,
)


class FakeWebhooks:
    """Endpoints and deliveries; what was asked for is kept.

    Attributes:
        refusal: raised instead of the next replay or test.
    """

    def __init__(self) -> None:
        self.known = [Endpoint(id="default", name="Default", host="app.example", enabled=True)]
        self.made: list[WebhookDelivery] = []
        self.asked: dict[str, Any] = {}
        self.replays: list[ReplayRequest] = []
        self.tests: list[TestRequest] = []
        self.updates: dict[str, RouteUpdate] = {}
        self.result = TestResult(success=True, status=204, duration=12)
        self.queued = 1
        self.refusal: GatewayError | None = None

    @property
    def operations(self) -> FakeWebhooks:
        return self

    @property
    def routes(self) -> FakeWebhooks:
        return self

    async def update(self, id: str, request: RouteUpdate, /) -> RouteUpdated:
        if id not in {endpoint.id for endpoint in self.known}:
            raise ResourceNotFoundError("There is no such webhook route")
        self.updates[id] = request
        return RouteUpdated(id=id)

    async def endpoints(self) -> list[Endpoint]:
        return self.known

    async def deliveries(
        self, *, endpoint: str | None, account: str | None, state: DeliveryState | None, cursor: str | None, size: int
    ) -> WebhookDeliveryList:
        self.asked = {"endpoint": endpoint, "account": account, "state": state, "cursor": cursor}
        shown = tuple(self.made[:size])
        return WebhookDeliveryList(deliveries=shown, next_cursor="more" if len(self.made) > size else None)

    async def replay(self, request: ReplayRequest, /) -> ReplayStarted:
        self._refuse()
        self.replays.append(request)
        return ReplayStarted(queued=self.queued, accounts=min(self.queued, 1))

    async def ask_test(self, request: TestRequest, /) -> bytes:
        self._refuse()
        self.tests.append(request)
        return msgspec.json.encode(self.result)

    def _refuse(self) -> None:
        if self.refusal is not None:
            raise self.refusal
