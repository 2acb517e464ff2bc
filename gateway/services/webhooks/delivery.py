"""The job of one endpoint and one account: everything that is new in the log, in order.

An event that the endpoint does not take is tried again until it is three days old (`schedule`), and those behind it
wait. Then it becomes a dead letter, and the next one is tried. Progress is noted after each event, so that a worker
that dies repeats at most the one that was under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec
import structlog

from gateway.provider import Clock
from gateway.services.webhooks import schedule
from gateway.services.webhooks.attempt import Courier, Outcome
from gateway.services.webhooks.endpoints import EndpointService, Target
from gateway.services.webhooks.expressions import ExpressionError
from gateway.services.webhooks.farewells import FarewellService
from gateway.services.webhooks.permits import Permits, places
from gateway.services.webhooks.requests import Message, Sender
from gateway.services.webhooks.wake import SWEEP, WakeService, due_work
from gateway.store.accounts import AccountStore
from gateway.store.due import DueStore
from gateway.store.events import EventStore, LoggedEvent, order
from gateway.store.webhooks import DeliveryStore, Progress, ProgressStore

log = structlog.get_logger(__name__)

#: Events read at once; what was changed about an endpoint is noticed between two reads.
BATCH = 16
#: Seconds after which a job makes way for others that wait for the same endpoint.
SHIFT = 20.0


class _Way(msgspec.Struct, kw_only=True):
    """One job's way through a log."""

    account: str
    target: Target
    progress: Progress
    sender: Sender


class WebhookDeliverer:
    """Runs delivery jobs."""

    def __init__(
        self,
        *,
        endpoints: EndpointService,
        courier: Courier,
        progress: ProgressStore,
        deliveries: DeliveryStore,
        events: EventStore,
        accounts: AccountStore,
        farewells: FarewellService,
        waker: WakeService,
        due: DueStore,
        clock: Clock,
    ) -> None:
        self._endpoints = endpoints
        self._courier = courier
        self._progress = progress
        self._deliveries = deliveries
        self._events = events
        self._accounts = accounts
        self._farewells = farewells
        self._waker = waker
        self._due = due
        self._clock = clock
        self._permits = Permits()

    async def deliver(self, account: str, endpoint: str, job: str) -> None:
        """Deliver what an endpoint has not got of an account's log; `job` names the piece of work, also if repeated."""
        if not await self._farewells.deliver(account, endpoint):
            return
        stored = await self._accounts.get(account)
        target = await self._endpoints.target(endpoint, stored.config) if stored is not None else None
        if stored is None or target is None:
            await self._end(account, endpoint)
            return
        async with self._permit(target, account) as permitted:
            if not permitted:
                await self._due.put(due_work(account, endpoint), self._clock() + SWEEP)
                return
            progress = await self._progress.claim(account, endpoint, job, target.start, self._clock())
            if progress is not None:
                sender = await self._courier.sender()
                await self._walk(_Way(account=account, target=target, progress=progress, sender=sender))

    @asynccontextmanager
    async def _permit(self, target: Target, account: str) -> AsyncIterator[bool]:
        occupied = places(target.url)
        if not self._permits.take(occupied, (account, target.endpoint)):
            yield False
            return
        try:
            yield True
        finally:
            for waiting in self._permits.give_back(occupied):
                await self._waker.queue(*waiting)

    async def _walk(self, way: _Way) -> None:
        loop = asyncio.get_running_loop()
        ends = loop.time() + SHIFT
        work = due_work(way.account, way.target.endpoint)
        while True:
            await self._due.put(work, self._clock() + SWEEP)
            entries = await self._events.read(way.account, after=way.progress.cursor, limit=BATCH)
            # After the events: none goes where events went before it happened, and no more do.
            if not await self._look_up(way):
                await self._end(way.account, way.target.endpoint)
                return
            if not await self._batch(way, entries):
                return
            if loop.time() > ends:
                if await self._postpone(way, self._clock()):
                    await self._waker.wake_at_once(way.account, way.target.endpoint)
                return

    async def _look_up(self, way: _Way) -> bool:
        """Find out where the events go now; False when they go nowhere."""
        stored, way.sender = await asyncio.gather(self._accounts.get(way.account), self._courier.sender())
        found = await self._endpoints.target(way.target.endpoint, stored.config) if stored is not None else None
        if found is not None:
            way.target = found
        return found is not None

    async def _end(self, account: str, endpoint: str) -> None:
        """Forget an endpoint that there is no more, or not for this account."""
        await self._progress.forget(endpoint, [account])
        await self._due.done(due_work(account, endpoint))

    async def _batch(self, way: _Way, entries: Sequence[LoggedEvent]) -> bool:
        """Deliver events; False when the job has nothing more to do."""
        paused = way.target.trouble.paused if way.target.trouble is not None else None
        if paused is not None and paused > self._clock():
            await self._postpone(way, paused)
            return False
        endpoint, run = way.target.endpoint, way.progress.run
        skipped = False
        for entry in entries:
            step = await self._step(way, entry, None)
            if step is None:
                return False
            way.progress.cursor, skipped = entry.id, not step
        if skipped:
            passed = (way.account, endpoint, run, way.progress.cursor, self._clock())
            return await self._progress.passed(*passed, replay=False, delivered=False)
        if entries:
            return True
        if (again := await self._progress.next_replay(way.account, endpoint)) is not None:
            return await self._replay(way, *again)
        # In this order: what is announced in between makes the work due again.
        await self._due.done(due_work(way.account, endpoint))
        return not await self._progress.rest(way.account, endpoint, run, self._clock())

    async def _replay(self, way: _Way, id: str, asked: datetime | None) -> bool:
        entry = await self._events.get(way.account, id)
        step = await self._step(way, entry, asked) if entry is not None else False
        if step is None:
            return False
        if step:
            return True
        passed = (way.account, way.target.endpoint, way.progress.run, id, self._clock())
        return await self._progress.passed(*passed, replay=True, delivered=False)

    async def _step(self, way: _Way, entry: LoggedEvent, asked: datetime | None) -> bool | None:
        """Deal with one event: True when it is done with, False when it is not for the endpoint, None to stop.

        Args:
            way: whose.
            entry: the event.
            asked: when somebody asked to have it delivered again.
        """
        attempt = way.progress.attempts_of(entry.id)
        if asked is None and order(entry.id) <= order(way.target.start):
            return False
        try:
            body = await self._courier.body(way.target, entry, way.sender)
        except ExpressionError as error:
            return await self._bury(way, entry, Outcome(duration=0, error=f"ExpressionFailed: {error}"), asked)
        if body is None:
            return False
        message = Message(
            event_id=entry.event_id,
            body=body,
            attempt=attempt,
            waited=(self._clock() - (asked or logged_at(entry.id))).total_seconds(),
            route=way.target.route,
            replay=asked is not None,
        )
        outcome = await self._courier.post(way.target, message, way.sender)
        self._permits.note(places(way.target.url), success=outcome.success)
        if outcome.success:
            return await self._delivered(way, entry, outcome, asked)
        return await self._failed(way, entry, outcome, asked)

    async def _delivered(self, way: _Way, entry: LoggedEvent, outcome: Outcome, asked: datetime | None) -> bool | None:
        now = self._clock()
        attempt = way.progress.attempts_of(entry.id)
        record = outcome.record(way.target, entry, way.account, time=now, attempt=attempt, replay=asked is not None)
        way.progress.failures = 0
        passed = (way.account, way.target.endpoint, way.progress.run, entry.id, now)
        _, ours = await asyncio.gather(
            self._deliveries.add(record),
            self._progress.passed(*passed, replay=asked is not None, delivered=True),
        )
        if way.target.trouble is not None:
            await self._endpoints.succeeded(way.target)
            way.target = msgspec.structs.replace(way.target, trouble=None)
            log.info("webhook_recovered", endpoint=way.target.endpoint)
        return True if ours else None

    async def _failed(self, way: _Way, entry: LoggedEvent, outcome: Outcome, asked: datetime | None) -> bool | None:
        now = self._clock()
        message = outcome.error or ""
        if way.target.trouble is None:
            log.warning("webhook_failing", endpoint=way.target.endpoint, account=way.account, error=message)
        if outcome.gone:
            await self._endpoints.disable(way.target, message)
            log.warning("webhook_disabled", endpoint=way.target.endpoint, account=way.account)
            await self._bury(way, entry, outcome, asked)
            await self._end(way.account, way.target.endpoint)
            return None
        paused = now + outcome.pause if outcome.pause else None
        await self._endpoints.failed(way.target, message, paused=paused)
        if now - (asked or logged_at(entry.id)) >= schedule.GIVE_UP:
            return await self._bury(way, entry, outcome, asked)
        attempt = way.progress.attempts_of(entry.id)
        way.progress.entry, way.progress.attempts = entry.id, attempt + 1
        way.progress.failures += 1
        at = now + schedule.delay(way.progress.failures)
        if paused is not None:
            at = max(at, paused)
        record = outcome.record(way.target, entry, way.account, time=now, attempt=attempt, replay=asked is not None)
        await self._deliveries.add(msgspec.structs.replace(record, next_attempt=at))
        await self._postpone(way, at)
        return None

    async def _bury(self, way: _Way, entry: LoggedEvent, outcome: Outcome, asked: datetime | None) -> bool | None:
        """Give an event up. It is recorded before it is passed: a death in between does not lose it."""
        now, replay = self._clock(), asked is not None
        attempt = way.progress.attempts_of(entry.id)
        record = outcome.record(way.target, entry, way.account, time=now, attempt=attempt, replay=replay)
        await self._deliveries.add(msgspec.structs.replace(record, state="dead"))
        passed = (way.account, way.target.endpoint, way.progress.run, entry.id, now)
        return True if await self._progress.passed(*passed, replay=replay, delivered=False) else None

    async def _postpone(self, way: _Way, until: datetime) -> bool:
        """End the job until a time. Due work first: without it nothing would bring the job back."""
        await self._due.put(due_work(way.account, way.target.endpoint), until)
        return await self._progress.postpone(way.account, way.target.endpoint, way.progress, until)


def logged_at(id: str) -> datetime:
    """Return when an entry was written to a log."""
    return datetime.fromtimestamp(int(id.partition("-")[0]) / 1000, UTC)
