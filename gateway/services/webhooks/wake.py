"""Has jobs queued for what is new in an account's log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import structlog

from gateway.errors import GatewayError
from gateway.provider import Clock
from gateway.queue.client import JobClient
from gateway.queue.operations import WEBHOOK_DELIVER, DeliverWebhooks
from gateway.redis import UNREACHABLE
from gateway.services.webhooks.endpoints import EndpointService
from gateway.store.accounts import AccountStore
from gateway.store.due import DueStore, DueWork
from gateway.store.webhooks import ProgressStore

log = structlog.get_logger(__name__)

#: Time after which a delivery that nobody heard of again is queued anew.
SWEEP = timedelta(seconds=90)
#: Of due work whose subject is an endpoint.
OPERATION = WEBHOOK_DELIVER.name


_NOT_QUEUED: tuple[type[Exception], ...] = (*UNREACHABLE, GatewayError)


def due_work(account: str, endpoint: str) -> DueWork:
    """Return the name under which one endpoint's deliveries for one account are due."""
    return DueWork(OPERATION, account, endpoint)


class WakeService:
    """Queues deliveries."""

    def __init__(
        self,
        *,
        endpoints: EndpointService,
        progress: ProgressStore,
        accounts: AccountStore,
        due: DueStore,
        jobs: JobClient,
        clock: Clock,
    ) -> None:
        self._endpoints = endpoints
        self._progress = progress
        self._accounts = accounts
        self._due = due
        self._jobs = jobs
        self._clock = clock
        self._missed: dict[str, None] = {}

    async def announced(self, account: str) -> None:
        """There is something new in an account's log. Never fails: what cannot be queued now is tried again."""
        self._missed[account] = None
        await self.wake_missed()

    async def wake_missed(self) -> None:
        """Queue deliveries for accounts for which that failed."""
        while self._missed:
            account = next(iter(self._missed))
            del self._missed[account]
            try:
                await self.wake(account)
            except _NOT_QUEUED as error:
                self._missed[account] = None
                log.warning("webhooks_not_queued", error=type(error).__name__)
                return

    async def wake(self, account: str) -> None:
        """Queue deliveries to every endpoint of an account that is not at work or waiting for its time."""
        if not await self._endpoints.any():
            return
        stored = await self._accounts.get(account)
        if stored is None:
            return
        targets = await self._endpoints.targets(stored.config)
        await self._wake(account, [target.endpoint for target in targets], at_once=False)

    async def wake_at_once(self, account: str, endpoint: str) -> None:
        """Queue deliveries to one endpoint, also when it waits for its time."""
        await self._wake(account, [endpoint], at_once=True)

    async def _wake(self, account: str, endpoints: Sequence[str], *, at_once: bool) -> None:
        if not endpoints:
            return
        now = self._clock()
        # First: whoever dies from here on leaves work that becomes due.
        await asyncio.gather(*(self._due.keep(due_work(account, endpoint), now + SWEEP) for endpoint in endpoints))
        for endpoint in await self._progress.wake(account, endpoints, now, at_once=at_once):
            await self._jobs.enqueue(WEBHOOK_DELIVER, account, DeliverWebhooks(endpoint=endpoint))

    async def edited(self, endpoint: str) -> None:
        """Try at once what waits because an endpoint failed: whoever edited it has mended it, most likely."""
        await self._due.hasten(OPERATION, endpoint, self._clock())

    async def due(self, account: str, endpoint: str) -> None:
        """Queue a delivery whose time has come, or whose job may be lost."""
        if await self._accounts.exists(account):
            await self.wake_at_once(account, endpoint)
        else:
            # What is left of an account that is gone is its last event.
            await self.queue(account, endpoint)

    async def queue(self, account: str, endpoint: str) -> None:
        """Queue deliveries to one endpoint; should the job be lost, they become due again."""
        await self._due.put(due_work(account, endpoint), self._clock() + SWEEP)
        await self._jobs.enqueue(WEBHOOK_DELIVER, account, DeliverWebhooks(endpoint=endpoint))
