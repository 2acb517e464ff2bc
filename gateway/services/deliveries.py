"""Deliveries: hand what is in the outbox over to the mail service, in a worker.

An entry that is *sending* belongs to the worker that moved it there; when that worker is dead, nobody knows whether the
message is out, and the entry becomes *unknown* instead of being sent again. A worker that lives writes down what became
of a message, however long Redis is away. An entry that is *sent* is only finished, by whichever job finds it: it is
never handed over again, its event never told again, its copy begun once.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import msgspec
import structlog

from gateway.errors import (
    GatewayError,
    NotFoundError,
    OutcomeUnknownError,
    ServiceUnavailableError,
    TransientError,
    UnsupportedOperationError,
    WorkerLostError,
)
from gateway.model.account_errors import SmtpStatus
from gateway.model.event import Event
from gateway.model.message import FlagUpdate
from gateway.model.submission import OutboxEntry, OutboxProgress, OutboxProgressError
from gateway.provider import Clock, Envelope, MessageSource, Provider, Session, SubmitReceipt
from gateway.redis import UNREACHABLE
from gateway.services import delivery_events
from gateway.services.events import EventService
from gateway.services.last_error import smtp_status
from gateway.services.pacing import PaceService
from gateway.services.relays import RelayService
from gateway.services.routing import RoutingService
from gateway.services.submissions import KEPT, WAITING
from gateway.services.unknown_sends import FIRST_LOOK, resolving
from gateway.smtp.client import SLOWEST_UPLOAD
from gateway.store.accounts import AccountConfig, AccountStore
from gateway.store.due import DueStore, DueWork
from gateway.store.outbox import UNSENT, OutboxMessage, OutboxStore, new_mark

log = structlog.get_logger(__name__)

T = TypeVar("T")

FIRST_RETRY = timedelta(seconds=5)

#: Time after which an entry that is still "sending" has lost its worker, even if that lives; longer than any submission
#: may take but for that of a large message.
ABANDONED = timedelta(minutes=10)

#: Time between two looks at whether the worker that is sending an entry lives.
LOOK = timedelta(seconds=30)

#: Seconds between attempts to write down what became of a message while Redis is away.
_NOTE_DELAYS = (0.1, 0.2, 0.5, 1.0)

#: What keeps a copy from being filed; the message is out all the same.
_COPY_FAILURES: tuple[type[Exception], ...] = (GatewayError, *UNREACHABLE)


class DeliveryService:
    """Hands queued messages over, in a worker."""

    def __init__(
        self,
        *,
        accounts: AccountStore,
        outbox: OutboxStore,
        due: DueStore,
        events: EventService,
        relays: RelayService,
        pace: PaceService,
        routing: RoutingService,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._outbox = outbox
        self._due = due
        self._events = events
        self._relays = relays
        self._pace = pace
        self._routing = routing
        self._clock = clock

    async def deliver(
        self,
        account: str,
        queue_id: str,
        worker: str,
        hand_over: Callable[[bytes | MessageSource, Envelope], Awaitable[SubmitReceipt]],
        file_copy: Callable[[OutboxEntry, OutboxMessage], Awaitable[None]],
        allow: Callable[[float], None] | None = None,
    ) -> None:
        """Send one entry, if it still has to be sent; how it ends is written into the entry.

        Args:
            account: whose.
            queue_id: the entry.
            worker: name of the worker that this runs in.
            hand_over: gives the message to the account's submission service; not asked where a relay sends it.
            file_copy: stores the Sent copy; what it raises is logged, the message is out by then.
            allow: called with seconds that the job may take longer than others, as the message is large.
        """
        entry = await self._outbox.get(account, queue_id)
        work = DueWork("outbox.send", account, queue_id)
        if entry is None:
            await self._outbox.remove(account, queue_id)
            await self._due.done(work)
            return
        if entry.state == "sending":
            await self._judge_abandoned(entry, work)
            return
        if entry.state == "sent":
            await self._finish(entry, work, await self._outbox.message(account, queue_id), worker, file_copy)
            return
        if entry.state in ("failed", "cancelled"):
            await self._forget(entry, work)
            return
        if entry.state == "unknown":
            # Whoever noted so died before it was planned to be looked into.
            await self._look_into(entry, work)
            return
        if (
            entry.state == "retrying"
            and isinstance(entry.next_attempt, datetime)
            and entry.next_attempt > self._clock()
        ):
            # A second job for an earlier attempt; the service was promised a pause.
            await self._due.put(work, entry.next_attempt)
            return
        if (sent := await self._attempt(entry, work, worker, hand_over, allow)) is not None:
            await self._finish(entry, work, sent, worker, file_copy)

    async def _attempt(
        self,
        entry: OutboxEntry,
        work: DueWork,
        worker: str,
        hand_over: Callable[[bytes | MessageSource, Envelope], Awaitable[SubmitReceipt]],
        allow: Callable[[float], None] | None,
    ) -> OutboxMessage | None:
        """Hand an entry over, and return its message if it was sent; arguments as of `deliver`."""
        message = await self._outbox.message(entry.account, entry.queue_id)
        room = None if message is None else await self._pace.claim(entry, bulk=message.bulk)
        if isinstance(room, timedelta):
            await self._wait_for_room(entry, work, room)
            return None
        if allow is not None and (longer := _longest(message) - ABANDONED):
            # Once for handing it over, and once for the copy.
            allow(2 * longer.total_seconds())
        entry, begun = self._begun(entry), new_mark(worker)
        if message is None or not await _until_noted(
            partial(self._outbox.transition, entry, since=WAITING, mark=begun)
        ):
            return None
        await _until_noted(partial(self._due.put, work, self._clock() + LOOK))
        try:
            route = await self._routing.of_entry(entry, message)
            envelope = Envelope(mail_from=entry.envelope.from_, rcpt_to=entry.envelope.to, dsn=message.dsn, route=route)
            if entry.gateway is None:
                receipt = await hand_over(message.raw, envelope)
            else:
                receipt = await self._relays.submit(entry.gateway, message.raw, envelope)
        except GatewayError as error:
            await self._failed(entry, work, error, begun)
            return None
        except UNREACHABLE:
            # A message of which a part could not be read is not handed over, and nothing needs Redis after that.
            await self._failed(entry, work, ServiceUnavailableError("the gateway cannot reach its state"), begun)
            return None
        finally:
            await self._pace.release(room)
        await self._sent(entry, receipt)
        return message

    async def _wait_for_room(self, entry: OutboxEntry, work: DueWork, wait: timedelta) -> None:
        """Put an entry off until the mailbox may send again; no attempt is made, and none is counted."""
        at = self._clock() + wait
        progress = entry.progress
        if progress.error is None:
            progress = OutboxProgress(status="queued", response="waits, as the mailbox may not send more at present")
        if await self._outbox.transition(
            msgspec.structs.replace(entry, next_attempt=at, progress=progress), since=(entry.state,)
        ):
            await self._due.put(work, at)

    def _begun(self, entry: OutboxEntry) -> OutboxEntry:
        return msgspec.structs.replace(
            entry,
            state="sending",
            attempts_made=entry.attempts_made + 1,
            next_attempt=self._clock(),
            progress=OutboxProgress(status="smtp-starting"),
        )

    async def _sent(self, entry: OutboxEntry, receipt: SubmitReceipt) -> None:
        status = SmtpStatus(
            created=self._clock(),
            status="ok",
            response=receipt.response,
            response_code=250,
            network_routing=receipt.network_routing,
        )
        told = self._events.make("messageSent", entry.account, delivery_events.sent(entry, receipt))
        progress = OutboxProgress(status="submitted", response=receipt.response, message_id=receipt.message_id)
        ended = msgspec.structs.replace(entry, state="sent", next_attempt=False, progress=progress, ended=self._clock())
        await _until_noted(partial(self._outbox.transition, ended, since=UNSENT, mark=new_mark(), told=[told]))
        if entry.gateway is None:
            await _until_noted(partial(self._accounts.set_smtp_status, entry.account, status))
        log.info("message_sent", account=entry.account, queue_id=entry.queue_id, attempts=entry.attempts_made)

    async def _finish(
        self,
        entry: OutboxEntry,
        work: DueWork,
        message: OutboxMessage | None,
        worker: str,
        file_copy: Callable[[OutboxEntry, OutboxMessage], Awaitable[None]],
    ) -> None:
        account, queue_id = entry.account, entry.queue_id
        await _until_noted(partial(self._events.announce, account))
        begins = await _until_noted(partial(self._outbox.begin_copy, account, queue_id, new_mark(worker)))
        if not begins and message is not None and await self._is_being_filed(entry, message):
            await self._due.put(work, self._clock() + LOOK)
            return
        if begins and message is not None:
            try:
                await file_copy(entry, message)
            except _COPY_FAILURES as error:
                log.warning("sent_copy_not_filed", account=account, queue_id=queue_id, error=type(error).__name__)

        async def forget() -> None:
            await self._outbox.remove(account, queue_id)
            await self._due.done(work)

        await _until_noted(forget)

    async def _is_being_filed(self, entry: OutboxEntry, message: OutboxMessage) -> bool:
        """Whether another worker reads the body of a large message at present."""
        ended = entry.ended if isinstance(entry.ended, datetime) else entry.created
        if isinstance(message.raw, bytes) or self._clock() - ended >= _longest(message):
            return False
        return await self._outbox.maker_lives(await self._outbox.copy_mark(entry.account, entry.queue_id))

    async def _forget(self, entry: OutboxEntry, work: DueWork) -> None:
        ended = entry.ended if isinstance(entry.ended, datetime) else entry.created
        if self._clock() - ended < KEPT:
            await self._due.put(work, ended + KEPT)
            return
        await self._outbox.remove(entry.account, entry.queue_id)
        await self._due.done(work)

    async def _failed(self, entry: OutboxEntry, work: DueWork, error: GatewayError, begun: str) -> None:
        """Note a failure, unless another worker has begun since the one whose transition is marked `begun`."""
        status = smtp_status(error, self._clock())
        described = OutboxProgressError(
            message=error.message,
            code=error.error_code,
            status_code=status.response_code,
            remedy=status.remedy,
            network_routing=status.network_routing,
        )
        progress = OutboxProgress(status="error", error=described)
        entry = msgspec.structs.replace(entry, progress=progress, next_attempt=False)
        if entry.gateway is None:
            await _until_noted(partial(self._accounts.set_smtp_status, entry.account, status))
        if isinstance(error, OutcomeUnknownError | WorkerLostError):
            await self._end(entry, work, "unknown", error, begun)
        elif isinstance(error, TransientError) and entry.attempts_made < entry.attempts:
            await self._postponed(entry, work, error, begun)
        else:
            await self._end(entry, work, "failed", error, begun)
        log.warning(
            "message_not_sent",
            account=entry.account,
            queue_id=entry.queue_id,
            error=type(error).__name__,
            code=error.error_code,
            attempts=entry.attempts_made,
        )

    async def _postponed(self, entry: OutboxEntry, work: DueWork, error: TransientError, begun: str) -> None:
        wait = retry_delay(entry.attempts_made)
        # What the service asked for, or what its refusal is known to need.
        wait = max(wait, timedelta(seconds=error.details.get("retry_after") or 0))
        at = self._clock() + wait
        entry = msgspec.structs.replace(entry, state="retrying", next_attempt=at)
        told = self._events.make(
            "messageDeliveryError", entry.account, delivery_events.attempt_failed(entry, error, at)
        )
        if await self._moved(entry, begun, [told]):
            await _until_noted(partial(self._due.put, work, at))
            await _until_noted(partial(self._events.announce, entry.account))

    async def _end(self, entry: OutboxEntry, work: DueWork, state: str, error: GatewayError, begun: str) -> None:
        ended = msgspec.structs.replace(entry, state=state, ended=self._clock())
        told = [
            self._events.make("messageDeliveryError", entry.account, delivery_events.attempt_failed(entry, error, None))
        ]
        if state == "failed":
            # What may be out has not failed: whoever sent it again would send it twice.
            told.append(self._events.make("messageFailed", entry.account, delivery_events.failed(entry, error)))
        if not await self._moved(ended, begun, told):
            return
        if state == "failed":
            await _until_noted(partial(self._due.put, work, self._clock() + KEPT))
        else:
            await self._look_into(entry, work)
        await _until_noted(partial(self._events.announce, entry.account))

    async def _look_into(self, entry: OutboxEntry, work: DueWork) -> None:
        """Plan to find out what became of an entry, in place of sending it."""
        looking = resolving(entry.account, entry.queue_id)
        await _until_noted(partial(self._due.put, looking, self._clock() + FIRST_LOOK))
        await _until_noted(partial(self._due.done, work))

    async def _moved(self, entry: OutboxEntry, begun: str, told: Sequence[Event]) -> bool:
        moved = partial(self._outbox.transition, entry, since=("sending",), mark=new_mark(), after=begun, told=told)
        return await _until_noted(moved)

    async def _judge_abandoned(self, entry: OutboxEntry, work: DueWork) -> None:
        begun = entry.next_attempt if isinstance(entry.next_attempt, datetime) else entry.created
        mark = await self._outbox.last_mark(entry.account, entry.queue_id)
        message = await self._outbox.message(entry.account, entry.queue_id)
        if self._clock() - begun < _longest(message) and await self._outbox.maker_lives(mark):
            await self._due.put(work, self._clock() + LOOK)
            return
        gone = OutcomeUnknownError("the worker that was sending this message is gone")
        await self._failed(entry, work, gone, mark)


def _longest(message: OutboxMessage | None) -> timedelta:
    """Return the time that handing over a message may take at most."""
    if message is None or isinstance(message.raw, bytes):
        return ABANDONED
    return ABANDONED + timedelta(seconds=message.size / SLOWEST_UPLOAD)


async def _until_noted(step: Callable[[], Awaitable[T]]) -> T:
    """Do a step again while Redis is away: what has happened to a message is known here only."""
    attempt = 0
    while True:
        try:
            return await step()
        except UNREACHABLE as error:
            if attempt == 0:
                log.warning("sending_not_noted", error=type(error).__name__)
            await asyncio.sleep(_NOTE_DELAYS[min(attempt, len(_NOTE_DELAYS) - 1)])
            attempt += 1


def retry_delay(attempts: int) -> timedelta:
    """Return the wait after so many attempts: 5 s doubling, a fifth of jitter."""
    return FIRST_RETRY * (1 << min(attempts - 1, 10)) * random.uniform(0.8, 1.2)


async def file_sent_copy(
    session: Session, provider: Provider, config: AccountConfig, entry: OutboxEntry, message: OutboxMessage
) -> bool:
    """Store a copy of a sent message under Sent, unless the service does so itself or nobody wants it.

    Where there is no mailbox, nothing is stored unless somebody asked for it. Returns whether there is a copy now.
    """
    wanted = entry.copy if isinstance(entry.copy, bool) else config.copy
    filed_itself = provider.saves_sent_copy and entry.gateway is None
    if wanted is None:
        wanted = config.has_mailbox and not filed_itself
    if not wanted:
        return filed_itself
    path = entry.sent_mail_path if isinstance(entry.sent_mail_path, str) else "\\Sent"
    await session.append(path, message.sent_copy or message.raw, flags=("\\Seen",))
    return True


async def mark_answered(session: Session, message: OutboxMessage) -> None:
    """Say of the message that a sent one answers or forwards that it was; one that is gone cannot carry it."""
    if message.answered is None:
        return
    with contextlib.suppress(NotFoundError, UnsupportedOperationError):
        await session.update_flags(message.answered.message, FlagUpdate(add=message.answered.flags))
