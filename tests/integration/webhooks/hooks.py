"""Services, one worker for their deliveries, and a receiver; time passes when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import redis

from gateway.model.account import AccountUpdate
from gateway.model.event import Event, MessageNewData
from gateway.model.webhook import RouteContent, RouteCreate, WebhookDelivery
from gateway.redis import keys
from gateway.services.container import Services
from gateway.settings import Egress
from gateway.testing.clock import FakeClock
from gateway_workers.context import Handler
from gateway_workers.operations import webhooks
from gateway_workers.worker import Limits
from tests.integration.queue.rig import eventually, running_worker
from tests.integration.services.world import World, open_world
from tests.rigs.receiver import Receiver, running_receiver

LIMITS = Limits(lease=0.6, beat=0.1, grace=0.2, records_beat=0.2, stall=0.5, slots={"webhook": 256})

LOOPBACK = Egress(private=True)

#: The events of the tests; those that accounts have by themselves stay out of the way.
EVENTS = ["messageNew", "messageDeleted", "messageUpdated", "accountDeleted"]


class Hooks:
    """What the tests look at."""

    def __init__(self, world: World, receiver: Receiver, redis_url: str) -> None:
        self.world = world
        self.services: Services = world.services
        self.clock = world.clock
        self.receiver = receiver
        self.redis_url = redis_url

    async def keep_up(self) -> None:
        """Let the clock show the time, unless it is ahead; what was logged so far is of an earlier millisecond."""
        begun = self._redis_time()
        while (now := self._redis_time()) < begun + 0.003:
            await asyncio.sleep(0.001)
        self.clock.advance(max(0.0, now - self.clock.time()))

    def _redis_time(self) -> float:
        with redis.Redis.from_url(self.redis_url) as database:
            seconds, microseconds = database.time()
        return seconds + microseconds / 1_000_000

    async def settings(self, **values: Any) -> None:
        """Make runtime settings."""
        await self.keep_up()
        await self.services.runtime_settings.update(values)

    async def enable(self, path: str = "/hook", **values: Any) -> None:
        """Deliver the events of the tests to the receiver."""
        await self.settings(
            **{"webhooksEnabled": True, "webhooks": self.receiver.url(path), "webhookEvents": EVENTS, **values}
        )

    async def account(self, account: str = "ann", **settings: Any) -> str:
        """Add an account."""
        await self.world.add_account(account)
        if settings:
            await self.change(account, **settings)
        return account

    async def change(self, account: str, **settings: Any) -> None:
        """Change an account."""
        await self.keep_up()
        await self.services.accounts.update(account, AccountUpdate(**settings))

    async def route(self, path: str, *, filter: str | None = None, map: str | None = None, **members: Any) -> str:
        """Make a route to the receiver."""
        await self.keep_up()
        content = RouteContent(fn=filter, map=map)
        request = RouteCreate(name=path, target_url=self.receiver.url(path), content=content, **members)
        return (await self.services.webhooks.routes.create(request)).id

    async def mail(self, account: str = "ann", *subjects: str, path: str = "INBOX", **data: Any) -> list[Event]:
        """Have new messages noticed."""
        made = [
            self.services.events.make(
                "messageNew",
                account,
                MessageNewData(id=f"id-{subject}", subject=subject, path=path, **data),
                path=path,
                special_use="\\Inbox" if path == "INBOX" else None,
            )
            for subject in subjects or ("Hello",)
        ]
        await self.services.events.append(account, made)
        return made

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and have queued what became due, as workers do every second."""
        self.clock.advance(seconds)
        for work in await self.services.due.claim(self.clock()):
            await self.services.dispatcher.due(work)

    async def deliveries(self, **selection: Any) -> list[WebhookDelivery]:
        """Return the records, newest first."""
        chosen: dict[str, Any] = {"endpoint": None, "account": None, "state": None, "cursor": None, "size": 1000}
        found = await self.services.webhooks.operations.deliveries(**{**chosen, **selection})
        return list(found.deliveries)

    async def recorded(self, count: int, **selection: Any) -> list[WebhookDelivery]:
        """Wait for so many records: they are written after the receiver has its event."""

        async def there() -> list[WebhookDelivery]:
            found = await self.deliveries(**selection)
            return found if len(found) >= count else []

        found: list[WebhookDelivery] = await eventually(there, f"{count} records")
        assert len(found) == count
        return found

    async def quiet(self) -> None:
        """Wait until no delivery is queued or under way."""
        await eventually(self._is_quiet, "an end of deliveries")

    def _is_quiet(self) -> bool:
        with redis.Redis.from_url(self.redis_url) as database:
            busy = [database.hget(name, "busy") for name in database.keys("*:hook:*")]
            waiting = database.llen(keys.rq_queue("webhook")) + database.zcard(keys.rq_started("webhook"))
        return not waiting and all(stamp in (None, b"0") for stamp in busy)

    def jobs_done(self) -> int:
        """Return how many jobs were run."""
        with redis.Redis.from_url(self.redis_url) as database:
            return int(database.zcard(keys.rq_finished("webhook")))

    def jobs(self) -> int:
        """Return how many deliveries are queued."""
        with redis.Redis.from_url(self.redis_url) as database:
            return int(database.llen(keys.rq_queue("webhook")))


def subjects(requests: list[Any]) -> list[str]:
    """Return the subjects of the messages that requests tell of."""
    return [request.event["data"]["subject"] for request in requests]


@asynccontextmanager
async def open_hooks(redis_url: str, *, egress: Egress = LOOPBACK, work: bool = True) -> AsyncIterator[Hooks]:
    """Wire everything; `work` starts the worker."""
    clock = FakeClock(datetime.now(UTC))
    async with running_receiver() as receiver, open_world(redis_url, clock=clock, egress=egress) as world:
        hooks = Hooks(world, receiver, redis_url)
        if not work:
            yield hooks
            return
        async with working(hooks):
            yield hooks


@asynccontextmanager
async def working(hooks: Hooks) -> AsyncIterator[None]:
    """A worker for the deliveries."""
    handlers: Mapping[str, Handler] = webhooks.handlers(hooks.services)
    async with running_worker(hooks.redis_url, handlers, limits=LIMITS, clock=hooks.clock):
        yield
