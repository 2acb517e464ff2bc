"""Events delivered again, test events, and what operators see of endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec

from gateway.errors import InvalidRequestError, ResourceNotFoundError
from gateway.model.webhook import (
    DEFAULT_ENDPOINT,
    DeliveryState,
    Endpoint,
    ReplayRequest,
    ReplayStarted,
    TestRequest,
    TestResult,
    WebhookDeliveryList,
)
from gateway.provider import Clock
from gateway.queue.client import JobClient
from gateway.queue.operations import WEBHOOK_TEST, TestWebhook
from gateway.services.runtime_settings import RuntimeSettingsService
from gateway.services.webhooks.attempt import Courier
from gateway.services.webhooks.endpoints import ACCOUNT_PREFIX, EndpointService, Target, shown_trouble
from gateway.services.webhooks.requests import Message
from gateway.services.webhooks.wake import WakeService
from gateway.store.accounts import AccountConfig, AccountStore
from gateway.store.events import BATCH, FIRST, LAST, EventStore, LoggedEvent, id_at, id_before
from gateway.store.webhook_endpoints import EndpointStore
from gateway.store.webhooks import DeliveryStore, ProgressStore

#: Seconds that a test may take: the longest delivery, and its way through the queue.
TEST_TIME = 35.0

_encode = msgspec.json.Encoder().encode


class WebhookOperations:
    """What operators do with webhooks beside configuring them."""

    def __init__(
        self,
        *,
        endpoints: EndpointService,
        endpoint_store: EndpointStore,
        courier: Courier,
        progress: ProgressStore,
        deliveries: DeliveryStore,
        events: EventStore,
        accounts: AccountStore,
        settings: RuntimeSettingsService,
        waker: WakeService,
        jobs: JobClient,
        clock: Clock,
    ) -> None:
        self._endpoints = endpoints
        self._endpoint_store = endpoint_store
        self._courier = courier
        self._progress = progress
        self._deliveries = deliveries
        self._events = events
        self._accounts = accounts
        self._settings = settings
        self._waker = waker
        self._jobs = jobs
        self._clock = clock

    # --- replay -------------------------------------------------------------------------------------------------------

    async def replay(self, request: ReplayRequest) -> ReplayStarted:
        """Have events delivered again, with the same ids; those that the endpoint does not select stay away.

        Raises:
            InvalidRequestError: neither ids nor a time are given, or ids without the account.
            ResourceNotFoundError: there is no such endpoint or account.
        """
        await self._check_endpoint(request.endpoint)
        if request.events is None and request.from_ is None and request.to is None:
            raise _wrong("from", "or events is required")
        if request.events is not None and request.account is None:
            raise _wrong("account", "is required where events are named by their ids")
        accounts = [request.account] if request.account is not None else list(await self._accounts.summaries())
        queued = concerned = 0
        for account in accounts:
            count = await self._replay(account, request)
            queued += count
            concerned += count > 0
        return ReplayStarted(queued=queued, accounts=concerned)

    async def _replay(self, account: str, request: ReplayRequest) -> int:
        stored = await self._accounts.get(account)
        if stored is None:
            if request.account is not None:
                raise ResourceNotFoundError("There is no such account", code="AccountNotFound")
            return 0
        target = await self._endpoints.target(request.endpoint, stored.config)
        if target is None:
            if request.account is not None:
                raise ResourceNotFoundError("This endpoint gets nothing of the account", code="WebhookNotActive")
            return 0
        entries = await self._chosen(account, request, target)
        if entries:
            await self._progress.add_replays(account, request.endpoint, entries, self._clock())
            await self._waker.wake_at_once(account, request.endpoint)
        return len(entries)

    async def _chosen(self, account: str, request: ReplayRequest, target: Target) -> list[str]:
        after = FIRST if request.from_ is None else id_before(request.from_)
        until = LAST if request.to is None else id_at(request.to)
        wanted = set(request.events) if request.events is not None else None
        found: list[str] = []
        while entries := await self._events.read(account, after=after, until=until, limit=BATCH):
            after = entries[-1].id
            found += [
                entry.id
                for entry in entries
                if (wanted is None or entry.event_id in wanted) and target.wants(entry.name)
            ]
        return found

    # --- test ---------------------------------------------------------------------------------------------------------

    async def ask_test(self, request: TestRequest, *, timeout: float = 0) -> bytes:
        """Have a worker, whose address receivers know, send a test event; returns a `TestResult` as JSON.

        Args:
            request: where to.
            timeout: seconds; a test is given as long as a delivery in any case.

        Raises:
            ResourceNotFoundError: there is no such endpoint, or it is not in service.
            DeadlineError: no worker was there in time.
        """
        arguments = TestWebhook(endpoint=request.endpoint, for_account=request.account)
        return await self._jobs.call(WEBHOOK_TEST, "", arguments, timeout=max(timeout, TEST_TIME))

    async def test(self, request: TestRequest) -> TestResult:
        """Send a test event to an endpoint as it is configured, whatever it selects.

        Raises:
            ResourceNotFoundError: there is no such endpoint, or it is not in service.
        """
        config = AccountConfig(account=request.account or "")
        if request.account:
            stored = await self._accounts.get(request.account)
            if stored is None:
                raise ResourceNotFoundError("There is no such account", code="AccountNotFound")
            config = stored.config
        await self._check_endpoint(request.endpoint)
        target = await self._endpoints.target(request.endpoint, config)
        if target is None:
            raise ResourceNotFoundError("This endpoint is not in service", code="WebhookNotActive")
        target = msgspec.structs.replace(target, events=None, inbox_only=False, filter=None, mapping=None)
        event_id = uuid4().hex
        content = {
            "account": request.account or None,
            "date": self._clock(),
            "event": "test",
            "eventId": event_id,
            "data": {"test": True},
        }
        sender = await self._courier.sender()
        body = await self._courier.body(target, LoggedEvent("0-0", "test", event_id, _encode(content)), sender)
        message = Message(event_id=event_id, body=body or b"", attempt=0, waited=0, route=target.route)
        outcome = await self._courier.post(target, message, sender)
        return TestResult(
            success=outcome.success,
            status=outcome.status,
            duration=outcome.duration,
            error=outcome.error,
            answer=outcome.answer,
        )

    # --- what there is ------------------------------------------------------------------------------------------------

    async def deliveries(
        self,
        *,
        endpoint: str | None,
        account: str | None,
        state: DeliveryState | None,
        cursor: str | None,
        size: int,
    ) -> WebhookDeliveryList:
        """Return attempts, newest first."""
        endpoints: Sequence[str] = [endpoint] if endpoint is not None else await self._ids()
        found, following = await self._deliveries.list(
            endpoints, account=account, state=state, cursor=cursor, size=size, now=self._clock()
        )
        return WebhookDeliveryList(deliveries=tuple(found), next_cursor=following)

    async def endpoints(self) -> list[Endpoint]:
        """Return the endpoint of the settings, the routes, and those URLs of accounts with which something is wrong."""
        counts = await self._deliveries.counts()
        settings = await self._settings.many(("webhooksEnabled", "webhooks"))
        routes = await self._endpoint_store.routes()
        troubles = await self._endpoint_store.all_troubles()
        default = Endpoint(
            id=DEFAULT_ENDPOINT,
            name="Default",
            host=_host(settings["webhooks"]),
            enabled=bool(settings["webhooksEnabled"]),
            trouble=shown_trouble(troubles.get(DEFAULT_ENDPOINT)),
            delivered=counts.get(DEFAULT_ENDPOINT, 0),
        )
        own = [
            Endpoint(
                id=DEFAULT_ENDPOINT,
                name="Own URL",
                account=name.removeprefix(ACCOUNT_PREFIX),
                enabled=default.enabled,
                trouble=shown_trouble(trouble),
            )
            for name, trouble in sorted(troubles.items())
            if name.startswith(ACCOUNT_PREFIX)
        ]
        shown = [
            Endpoint(
                id=route.id,
                name=route.name,
                host=_host(route.target_url),
                enabled=route.enabled,
                trouble=shown_trouble(troubles.get(route.id)),
                delivered=counts.get(route.id, 0),
            )
            for route in routes
        ]
        return [default, *own, *shown]

    async def _ids(self) -> list[str]:
        return [DEFAULT_ENDPOINT, *(route.id for route in await self._endpoint_store.routes())]

    async def _check_endpoint(self, endpoint: str) -> None:
        if endpoint != DEFAULT_ENDPOINT and await self._endpoint_store.route(endpoint) is None:
            raise ResourceNotFoundError("There is no such webhook route", code="WebhookRouteNotFound")


def _host(url: str | None) -> str | None:
    try:
        return urlsplit(url).hostname if url else None
    except ValueError:
        return None


def _wrong(key: str, problem: str) -> InvalidRequestError:
    return InvalidRequestError("Input validation failed", fields=[{"message": f'"{key}" {problem}', "key": key}])
