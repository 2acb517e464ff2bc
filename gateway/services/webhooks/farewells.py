"""The last event of an account: `accountDeleted`. The account's log goes with the account, so it is kept by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from gateway.model.event import Event
from gateway.model.webhook import DeliveryState
from gateway.provider import Clock
from gateway.services.webhooks import schedule
from gateway.services.webhooks.attempt import Courier, Outcome
from gateway.services.webhooks.endpoints import EndpointService, Target
from gateway.services.webhooks.expressions import ExpressionError
from gateway.services.webhooks.requests import Message
from gateway.services.webhooks.wake import WakeService, due_work
from gateway.store.accounts import AccountConfig
from gateway.store.due import DueStore
from gateway.store.events import LoggedEvent
from gateway.store.webhooks import DeliveryStore, Farewell, ProgressStore

_encode = msgspec.json.Encoder().encode


class FarewellService:
    """Keeps the last events of accounts until every endpoint has its own."""

    def __init__(
        self,
        *,
        endpoints: EndpointService,
        courier: Courier,
        progress: ProgressStore,
        deliveries: DeliveryStore,
        waker: WakeService,
        due: DueStore,
        clock: Clock,
    ) -> None:
        self._endpoints = endpoints
        self._courier = courier
        self._progress = progress
        self._deliveries = deliveries
        self._waker = waker
        self._due = due
        self._clock = clock

    async def deleted(self, config: AccountConfig, event: Event) -> None:
        """Keep the event that says that an account is about to be erased, and have it delivered."""
        now = self._clock()
        for target in await self._endpoints.targets(config):
            farewell = Farewell(
                event=_encode(event).decode(),
                event_id=event.event_id,
                name=event.event,
                time=now.timestamp(),
                config=_encode(config).decode(),
            )
            await self._progress.add_farewell(target.endpoint, config.account, farewell)
            await self._waker.queue(config.account, target.endpoint)

    async def deliver(self, account: str, endpoint: str) -> bool:
        """Deliver the last event of an account if one waits; False when it has to be tried again later."""
        farewell = await self._progress.farewell(endpoint, account)
        if farewell is None:
            return True
        config = msgspec.json.decode(farewell.config, type=AccountConfig)
        target = await self._endpoints.target(endpoint, config)
        at = await self._attempt(target, account, farewell) if target is not None else None
        if at is not None:
            await self._due.put(due_work(account, endpoint), at)
            return False
        await self._progress.end_farewell(endpoint, account)
        await self._endpoints.forget_account(account)
        return True

    async def _attempt(self, target: Target, account: str, farewell: Farewell) -> datetime | None:
        """Try once, and return when to try again; None when it is done with."""
        begun = datetime.fromtimestamp(farewell.time, UTC)
        if target.trouble is not None and target.trouble.paused is not None and target.trouble.paused > self._clock():
            return target.trouble.paused
        entry = LoggedEvent("0-0", farewell.name, farewell.event_id, farewell.event.encode())
        sender = await self._courier.sender()
        try:
            body = await self._courier.body(target, entry, sender)
        except ExpressionError as error:
            await self._note(target, account, farewell, Outcome(duration=0, error=f"ExpressionFailed: {error}"), None)
            return None
        if body is None:
            return None
        message = Message(
            event_id=farewell.event_id,
            body=body,
            attempt=farewell.failures,
            waited=(self._clock() - begun).total_seconds(),
            route=target.route,
        )
        outcome = await self._courier.post(target, message, sender)
        at = None
        if outcome.gone:
            await self._endpoints.disable(target, outcome.error or "")
        elif not outcome.success and self._clock() - begun < schedule.GIVE_UP:
            at = self._clock() + max(schedule.delay(farewell.failures + 1), outcome.pause or timedelta(0))
            again = msgspec.structs.replace(farewell, failures=farewell.failures + 1)
            await self._progress.add_farewell(target.endpoint, account, again)
        await self._note(target, account, farewell, outcome, at)
        return at

    async def _note(
        self, target: Target, account: str, farewell: Farewell, outcome: Outcome, at: datetime | None
    ) -> None:
        entry = LoggedEvent("0-0", farewell.name, farewell.event_id, b"")
        record = outcome.record(target, entry, account, time=self._clock(), attempt=farewell.failures, replay=False)
        state: DeliveryState = "delivered" if outcome.success else "dead" if at is None else "failed"
        await self._deliveries.add(msgspec.structs.replace(record, state=state, next_attempt=at))
