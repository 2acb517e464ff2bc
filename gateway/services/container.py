"""Every service, wired once. The API and the workers take what they need."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.http import HttpClient
from gateway.plugins import Plugins, load_plugins
from gateway.provider import Clock, Environment, Session, utc_now
from gateway.queue.client import JobClient
from gateway.queue.ownership import OwnershipClient
from gateway.queue.pauses import Pauses
from gateway.queue.signals import Signals
from gateway.redis import Databases, open_databases
from gateway.services.accounts import AccountService
from gateway.services.apps import AppService
from gateway.services.autoconfig import AutoconfigService, Names
from gateway.services.blocklists import BlocklistService
from gateway.services.bounced import BouncedService
from gateway.services.deliveries import DeliveryService
from gateway.services.delivery_tests.service import DeliveryTestService
from gateway.services.dispatch import Dispatcher
from gateway.services.drafts import DraftService
from gateway.services.events import EventService
from gateway.services.exporting import ExportRunner
from gateway.services.exports import ExportService
from gateway.services.feed import FeedReader
from gateway.services.grants import GrantService
from gateway.services.health import HealthService
from gateway.services.health_check import HealthCheck
from gateway.services.idempotency import IdempotencyService
from gateway.services.listings import ListingService
from gateway.services.merging import MergeService
from gateway.services.metrics import MetricsService
from gateway.services.originals import Originals
from gateway.services.overview import OverviewService
from gateway.services.pacing import PaceService
from gateway.services.protocol_logs import ProtocolLogs
from gateway.services.push import PushService
from gateway.services.queues import QueueService
from gateway.services.references import ReferenceService
from gateway.services.relays import RelayService
from gateway.services.rendering import RenderingService
from gateway.services.routing import RoutingService
from gateway.services.runtime_settings import RuntimeSettingsService
from gateway.services.sessions import SessionService
from gateway.services.sign_in import SignInService
from gateway.services.stats import StatsService
from gateway.services.submissions import SubmissionService
from gateway.services.sync import AccountSync, Batches, Content, Reports, Tools
from gateway.services.templates import TemplateService
from gateway.services.tokens import TokenService
from gateway.services.tracking import TrackingService
from gateway.services.unknown_sends import UnknownSends
from gateway.services.verification import ProbeService, VerificationService
from gateway.services.webhooks.service import Webhooks, build_webhooks
from gateway.settings import Settings
from gateway.store.accounts import AccountStore
from gateway.store.apps import AppStore
from gateway.store.blocklists import BlocklistStore
from gateway.store.bounces import BounceStore
from gateway.store.cipher import Cipher
from gateway.store.delivery_tests import DeliveryTestStore
from gateway.store.due import DueStore
from gateway.store.events import EventStore
from gateway.store.exports import ExportStore
from gateway.store.grants import GrantStore
from gateway.store.idempotency import IdempotencyStore
from gateway.store.index import IndexStore
from gateway.store.metrics import MetricsStore
from gateway.store.outbox import OutboxStore
from gateway.store.pace import PaceStore
from gateway.store.protocol_logs import ProtocolLogStore
from gateway.store.pushes import PushStore
from gateway.store.relays import RelayStore
from gateway.store.runtime_settings import RuntimeSettingsStore
from gateway.store.sign_ins import SignInStore
from gateway.store.signs import SignStore
from gateway.store.store import Store
from gateway.store.templates import TemplateStore
from gateway.store.tokens import TokenStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What there is to call."""

    databases: Databases
    plugins: Plugins
    store: Store
    jobs: JobClient
    account_store: AccountStore
    signs: SignStore
    due: DueStore
    ownership: OwnershipClient
    event_store: EventStore
    events: EventService
    index: IndexStore
    bounced: BouncedService
    sync: AccountSync
    listings: ListingService
    feed: FeedReader
    webhooks: Webhooks
    runtime_settings: RuntimeSettingsService
    tokens: TokenService
    apps: AppService
    grants: GrantService
    protocol_logs: ProtocolLogs
    routing: RoutingService
    sessions: SessionService
    push: PushService
    accounts: AccountService
    overview: OverviewService
    metrics_store: MetricsStore
    metrics: MetricsService
    queues: QueueService
    stats: StatsService
    autoconfig: AutoconfigService
    sign_in: SignInService
    submissions: SubmissionService
    delivery_tests: DeliveryTestService
    drafts: DraftService
    templates: TemplateService
    blocklists: BlocklistService
    tracking: TrackingService
    relays: RelayService
    deliveries: DeliveryService
    unknown_sends: UnknownSends
    exports: ExportService
    export_runner: ExportRunner
    verification: VerificationService
    probes: ProbeService
    account_health: HealthService
    health: HealthCheck
    dispatcher: Dispatcher
    clock: Clock

    @property
    def composer(self) -> SubmissionService:
        """Makes messages of what clients send."""
        return self.submissions

    async def start(self, settings: Settings) -> None:
        """Begin to listen for replies, which waits for Redis, and apply what the process settings prepare."""
        await self.jobs.start()
        if settings.service_url is not None:
            await self.runtime_settings.update({"serviceUrl": settings.service_url})
        if settings.runtime_settings:
            await self.runtime_settings.update(settings.runtime_settings)
        if settings.prepared_token is not None:
            await self.tokens.prepare(settings.prepared_token)

    async def start_unless(self, stop: asyncio.Event, settings: Settings) -> bool:
        """Start, which waits for Redis, unless `stop` is set meanwhile; then close and return False."""
        starting = asyncio.create_task(self.start(settings))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                await starting
                return True
        except BaseException:
            await self.aclose()
            raise
        finally:
            stopping.cancel()
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        await self.aclose()
        return False

    async def aclose(self) -> None:
        """Close every connection."""
        await self.relays.aclose()
        await self.grants.settle()
        await self.protocol_logs.settle()
        await self.webhooks.http.aclose()
        await self.feed.aclose()
        await self.jobs.aclose()
        await self.databases.aclose()

    @asynccontextmanager
    async def open_session(self, account: str) -> AsyncIterator[Session]:
        """Open a session for an account; leaving the context closes it."""
        async with await self.sessions.open(account) as session:
            yield session


@asynccontextmanager
async def open_services(settings: Settings, *, plugins: Plugins | None = None) -> AsyncIterator[Services]:
    """Wire the services for a short command; nothing is prepared and nobody listens for replies."""
    services = build_services(settings, plugins=plugins)
    try:
        yield services
    finally:
        await services.aclose()


def build_services(settings: Settings, *, plugins: Plugins | None = None, clock: Clock = utc_now) -> Services:
    """Wire the services; nothing is connected yet.

    Args:
        settings: of this process.
        plugins: what to use instead of the installed plugins.
        clock: the present time, aware UTC.

    Raises:
        ConfigurationError: there is no key to seal secrets with.
    """
    cipher = Cipher(settings.secret_keys)
    databases = open_databases(settings.redis_url, settings.broker_url)
    store = Store(databases, cipher)
    if plugins is None:
        plugins = load_plugins(Environment(data_dir=settings.data_dir, clock=clock))
    jobs = JobClient(databases.control, settings.broker_url or settings.redis_url, clock=clock)
    account_store, token_store, signs = AccountStore(store), TokenStore(store), SignStore(store)
    outbox, due = OutboxStore(store), DueStore(store)
    template_store = TemplateStore(store)
    event_store = EventStore(store)
    events = EventService(event_store, clock)
    index = IndexStore(store)
    bounced = BouncedService(BounceStore(store), index, clock)
    ownership = OwnershipClient(store.control)
    pauses = Pauses(store.control)
    queues = QueueService(store, due, pauses, clock)
    signals = Signals(store.control)
    dispatcher = Dispatcher(jobs, due, ownership, signals, pauses, clock)
    runtime_settings = RuntimeSettingsService(RuntimeSettingsStore(store), clock)
    apps = AppService(AppStore(store), plugins, runtime_settings, clock)
    grants = GrantService(GrantStore(store), account_store, apps, due, clock)
    protocol_logs = ProtocolLogs(ProtocolLogStore(store), runtime_settings, clock)
    routing = RoutingService(account_store, runtime_settings, settings.egress)
    sessions = SessionService(store, account_store, apps, grants, protocol_logs, routing, plugins)
    pushes = PushStore(store)
    push = PushService(
        pushes=pushes,
        accounts=account_store,
        sessions=sessions,
        settings=runtime_settings,
        signals=signals,
        clock=clock,
    )
    account_health = HealthService(account_store, signs, due, events, clock)
    export_store = ExportStore(store)
    exports = ExportService(
        accounts=account_store,
        exports=export_store,
        settings=runtime_settings,
        due=due,
        exporter=dispatcher,
        clock=clock,
    )
    accounts = AccountService(
        accounts=account_store,
        signs=signs,
        tokens=token_store,
        outbox=outbox,
        exports=exports,
        templates=template_store,
        due=due,
        apps=apps,
        grants=grants,
        sessions=sessions,
        pushes=pushes,
        settings=runtime_settings,
        connector=dispatcher,
        health=account_health,
        events=events,
        index=index,
        clock=clock,
    )
    apps.changed = accounts.reconnect_app
    verification = VerificationService(store, jobs)
    http = HttpClient(settings.egress)
    overview, metrics_store = OverviewService(account_store, signs), MetricsStore(store)
    tools = Tools(
        index=index,
        events=events,
        batches=Batches(index),
        content=Content(runtime_settings),
        reports=Reports(bounced),
        bounced=bounced,
        sleep=asyncio.sleep,
    )
    relays = RelayService(RelayStore(store), clock)
    rendering = RenderingService(template_store, runtime_settings)
    blocklists = BlocklistService(
        blocklists=BlocklistStore(store), accounts=account_store, settings=runtime_settings, events=events, clock=clock
    )
    idempotency = IdempotencyService(IdempotencyStore(store), clock)
    tracking = TrackingService(settings=runtime_settings, events=events)
    submissions = SubmissionService(
        accounts=account_store,
        outbox=outbox,
        due=due,
        settings=runtime_settings,
        references=ReferenceService(Originals(jobs), runtime_settings),
        rendering=rendering,
        merging=MergeService(rendering, blocklists),
        relays=relays,
        tracking=tracking,
        idempotency=idempotency,
        sender=dispatcher,
        clock=clock,
    )
    return Services(
        databases=databases,
        plugins=plugins,
        store=store,
        jobs=jobs,
        account_store=account_store,
        signs=signs,
        due=due,
        ownership=ownership,
        event_store=event_store,
        events=events,
        index=index,
        bounced=bounced,
        sync=AccountSync(tools, account_store, clock),
        listings=ListingService(index, ownership),
        feed=FeedReader(event_store, account_store, events, settings.broker_url or settings.redis_url),
        webhooks=build_webhooks(
            store,
            http=http,
            jobs=jobs,
            dispatcher=dispatcher,
            accounts=account_store,
            events=events,
            event_store=event_store,
            settings=runtime_settings,
            due=due,
            clock=clock,
        ),
        runtime_settings=runtime_settings,
        tokens=TokenService(token_store, account_store, clock),
        apps=apps,
        grants=grants,
        protocol_logs=protocol_logs,
        routing=routing,
        sessions=sessions,
        push=push,
        accounts=accounts,
        overview=overview,
        metrics_store=metrics_store,
        metrics=MetricsService(store, metrics_store, overview, due, pushes, clock),
        queues=queues,
        stats=StatsService(store, metrics_store, overview, queues, clock),
        autoconfig=AutoconfigService(Names(), http),
        sign_in=SignInService(
            sign_ins=SignInStore(store),
            apps=apps,
            accounts=accounts,
            verification=verification,
            settings=runtime_settings,
            clock=clock,
        ),
        submissions=submissions,
        delivery_tests=DeliveryTestService(
            tests=DeliveryTestStore(store), submissions=submissions, domain=settings.delivery_test_domain, clock=clock
        ),
        drafts=DraftService(
            accounts=accounts,
            account_store=account_store,
            submissions=submissions,
            idempotency=idempotency,
            jobs=jobs,
            clock=clock,
        ),
        blocklists=blocklists,
        tracking=tracking,
        relays=relays,
        templates=TemplateService(templates=template_store, accounts=account_store, clock=clock),
        deliveries=DeliveryService(
            accounts=account_store,
            outbox=outbox,
            due=due,
            events=events,
            relays=relays,
            pace=PaceService(account_store, sessions, PaceStore(store), clock),
            routing=routing,
            clock=clock,
        ),
        unknown_sends=UnknownSends(accounts=account_store, outbox=outbox, due=due, events=events, clock=clock),
        exports=exports,
        export_runner=ExportRunner(exports=export_store, due=due, events=events, exporter=dispatcher, clock=clock),
        verification=verification,
        probes=ProbeService(store, sessions),
        account_health=account_health,
        health=HealthCheck(store),
        dispatcher=dispatcher,
        clock=clock,
    )
