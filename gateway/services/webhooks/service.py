"""Everything about webhooks, wired."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.http import HttpClient
from gateway.model.webhook import DEFAULT_ENDPOINT
from gateway.provider import Clock
from gateway.queue.client import JobClient
from gateway.services.dispatch import Dispatcher
from gateway.services.events import EventService
from gateway.services.runtime_settings import RuntimeSettingsService
from gateway.services.webhooks.attempt import Courier
from gateway.services.webhooks.delivery import WebhookDeliverer
from gateway.services.webhooks.endpoints import EndpointService
from gateway.services.webhooks.farewells import FarewellService
from gateway.services.webhooks.replay import WebhookOperations
from gateway.services.webhooks.routes import RouteService
from gateway.services.webhooks.wake import WakeService
from gateway.store.accounts import AccountStore
from gateway.store.due import DueStore
from gateway.store.events import EventStore
from gateway.store.store import Store
from gateway.store.webhook_endpoints import EndpointStore
from gateway.store.webhooks import DeliveryStore, ProgressStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """What there is to call.

    Attributes:
        http: what deliveries are posted with.
        waker: told of what is new.
        deliverer: runs the jobs.
        routes: webhook routes.
        operations: replay, test, and what came of deliveries.
    """

    http: HttpClient
    waker: WakeService
    deliverer: WebhookDeliverer
    routes: RouteService
    operations: WebhookOperations


def build_webhooks(
    store: Store,
    *,
    http: HttpClient,
    jobs: JobClient,
    dispatcher: Dispatcher,
    accounts: AccountStore,
    events: EventService,
    event_store: EventStore,
    settings: RuntimeSettingsService,
    due: DueStore,
    clock: Clock,
) -> Webhooks:
    """Wire the services, and have them told of events and of changed settings."""
    endpoint_store, progress, deliveries = EndpointStore(store), ProgressStore(store), DeliveryStore(store)
    endpoints = EndpointService(endpoint_store, settings, clock)
    courier = Courier(settings, http, clock)
    waker = WakeService(endpoints=endpoints, progress=progress, accounts=accounts, due=due, jobs=jobs, clock=clock)
    farewells = FarewellService(
        endpoints=endpoints,
        courier=courier,
        progress=progress,
        deliveries=deliveries,
        waker=waker,
        due=due,
        clock=clock,
    )

    async def default_edited() -> None:
        await endpoints.default_edited()
        await waker.edited(DEFAULT_ENDPOINT)

    settings.webhooks_edited = default_edited
    dispatcher.deliver = waker.due
    events.on_announced.append(waker.announced)
    events.on_deleted.append(farewells.deleted)
    return Webhooks(
        http=http,
        waker=waker,
        deliverer=WebhookDeliverer(
            endpoints=endpoints,
            courier=courier,
            progress=progress,
            deliveries=deliveries,
            events=event_store,
            accounts=accounts,
            farewells=farewells,
            waker=waker,
            due=due,
            clock=clock,
        ),
        routes=RouteService(
            endpoints=endpoint_store,
            progress=progress,
            deliveries=deliveries,
            accounts=accounts,
            waker=waker,
            clock=clock,
        ),
        operations=WebhookOperations(
            endpoints=endpoints,
            endpoint_store=endpoint_store,
            courier=courier,
            progress=progress,
            deliveries=deliveries,
            events=event_store,
            accounts=accounts,
            settings=settings,
            waker=waker,
            jobs=jobs,
            clock=clock,
        ),
    )
