"""Submissions: accept a message into the outbox, and hand it over to the mail service.

The outbox entry is the truth of a send and is written before the caller is answered. A job carries only its id. An
entry that is *sending* belongs to the worker that moved it there; when that worker is gone, nobody knows whether the
message is out, and the entry becomes *unknown* instead of being sent again.
"""

from __future__ import annotations

import base64
import binascii
import random
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec
import structlog

from gateway.errors import (
    GatewayError,
    OutcomeUnknownError,
    RateLimitError,
    ResourceNotFoundError,
    TransientError,
    WorkerLostError,
)
from gateway.mime.compose import ComposedMessage, Outgoing, OutgoingAttachment, compose
from gateway.model.account import SmtpStatus
from gateway.model.message import Address
from gateway.model.submission import (
    ComposeFields,
    OutboxDeleted,
    OutboxEntry,
    OutboxEnvelope,
    OutboxList,
    OutboxProgress,
    OutboxProgressError,
    Recipient,
    SubmitRequest,
    SubmitResult,
    UploadAttachment,
)
from gateway.provider import Clock, Envelope, Provider, Session, SubmitReceipt
from gateway.services import delivery_events
from gateway.services.account_payload import invalid
from gateway.services.events import EventService
from gateway.services.last_error import last_error
from gateway.services.paging import page_of
from gateway.services.runtime_settings import RuntimeSettingsService
from gateway.store.accounts import AccountConfig, AccountStore
from gateway.store.due import DueStore, DueWork
from gateway.store.outbox import OutboxMessage, OutboxStore

log = structlog.get_logger(__name__)

DEFAULT_ATTEMPTS = 10
FIRST_RETRY = timedelta(seconds=5)

#: States in which nobody has begun to hand the message over.
WAITING = ("queued", "retrying")

#: Time after which a send whose job was lost is looked at again.
SWEEP = timedelta(seconds=30)

#: Time after which an entry that is still "sending" has lost its worker; longer than any submission may take.
ABANDONED = timedelta(minutes=10)


class Sender(Protocol):
    """Queues the sending of an outbox entry."""

    async def send(self, account: str, queue_id: str) -> None:
        """Queue a job that carries the id."""
        ...


class SubmissionService:
    """Accepts messages and shows the outbox."""

    def __init__(
        self,
        *,
        accounts: AccountStore,
        outbox: OutboxStore,
        due: DueStore,
        settings: RuntimeSettingsService,
        sender: Sender,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._outbox = outbox
        self._due = due
        self._settings = settings
        self._sender = sender
        self._clock = clock

    async def submit(self, account: str, request: SubmitRequest) -> SubmitResult:
        """Queue a message; nothing has been sent when this returns.

        Raises:
            ResourceNotFoundError: there is no such account, or it cannot send (code SMTPUnavailable).
            InvalidRequestError: no message can be made of the request.
        """
        config = await self._sending_account(account)
        composed = compose(outgoing(request, config, self._clock()), now=self._clock)
        if request.dry_run:
            preview = base64.b64encode(composed.raw).decode()
            return SubmitResult(response="Dry run", message_id=composed.message_id, preview=preview)
        entry = await self._entry(account, request, composed)
        copy = composed.sent_copy()
        message = OutboxMessage(raw=composed.raw, sent_copy=copy if copy != composed.raw else None)
        await self._outbox.add(entry, message)
        later = entry.scheduled > self._clock()
        work = DueWork("outbox.send", account, entry.queue_id)
        # Due in any case: should the job be lost, the sweep brings it back.
        await self._due.put(work, entry.scheduled if later else self._clock() + SWEEP)
        if not later:
            await self._sender.send(account, entry.queue_id)
        return SubmitResult(
            response="Queued for delivery",
            message_id=entry.message_id,
            queue_id=entry.queue_id,
            send_at=entry.scheduled,
        )

    async def compose_draft(self, account: str, fields: ComposeFields) -> bytes:
        """Return a message to be stored; it needs neither author nor recipients.

        Raises:
            ResourceNotFoundError: there is no such account.
            InvalidRequestError: something cannot stand in a message; its details name the field.
        """
        stored = await self._accounts.get(account)
        if stored is None:
            raise ResourceNotFoundError("no such account", code="AccountNotFound")
        made = compose(outgoing(fields, stored.config, self._clock()), now=self._clock, draft=True)
        return made.sent_copy()

    async def list(self, *, page: int, page_size: int, account: str | None = None) -> OutboxList:
        """Return one page of what waits to be sent or could not be sent."""
        known = [item for item in await self._outbox.all() if account is None or item[1] == account]
        chunk, pages = page_of(known, page, page_size)
        entries = [await self._outbox.get(owner, queue_id) for queue_id, owner in chunk]
        found = tuple(entry for entry in entries if entry is not None)
        return OutboxList(total=len(known), page=page, pages=pages, messages=found)

    async def get(self, queue_id: str) -> OutboxEntry:
        """Return one entry.

        Raises:
            ResourceNotFoundError: there is none: never was, or it was sent.
        """
        account = await self._outbox.account_of(queue_id)
        entry = await self._outbox.get(account, queue_id) if account is not None else None
        if entry is None:
            raise ResourceNotFoundError("no such entry in the outbox", code="OutboxEntryNotFound")
        return entry

    async def cancel(self, queue_id: str) -> OutboxDeleted:
        """Forget an entry unless it is being sent this moment."""
        account = await self._outbox.account_of(queue_id)
        entry = await self._outbox.get(account, queue_id) if account is not None else None
        if account is None or entry is None or entry.state == "sending":
            return OutboxDeleted(deleted=False)
        gone = msgspec.structs.replace(entry, state="failed")
        if not await self._outbox.transition(gone, since=(*WAITING, "unknown", "failed")):
            return OutboxDeleted(deleted=False)
        await self._due.done(DueWork("outbox.send", account, queue_id))
        return OutboxDeleted(deleted=await self._outbox.remove(account, queue_id))

    async def _sending_account(self, account: str) -> AccountConfig:
        stored = await self._accounts.get(account)
        if stored is None:
            raise ResourceNotFoundError("no such account", code="AccountNotFound")
        config = stored.config
        if config.smtp is None and config.oauth2 is None and config.provider is None:
            raise ResourceNotFoundError("the account has no submission server", code="SMTPUnavailable")
        return config

    async def _entry(self, account: str, request: SubmitRequest, composed: ComposedMessage) -> OutboxEntry:
        now = self._clock()
        scheduled = max(now, request.send_at.astimezone(UTC)) if request.send_at is not None else now
        attempts = request.delivery_attempts or await self._settings.get("deliveryAttempts") or DEFAULT_ATTEMPTS
        return OutboxEntry(
            queue_id=f"{int(scheduled.timestamp() * 1000):012x}{secrets.token_hex(4)}",
            account=account,
            message_id=composed.message_id,
            envelope=OutboxEnvelope(from_=composed.envelope.mail_from, to=composed.envelope.rcpt_to),
            subject=composed.subject or None,
            state="queued",
            created=now,
            scheduled=scheduled,
            next_attempt=scheduled,
            attempts=attempts,
            progress=OutboxProgress(status="queued"),
            copy=request.copy,
            sent_mail_path=request.sent_mail_path or msgspec.UNSET,
        )


class DeliveryService:
    """Hands queued messages over, in a worker."""

    def __init__(
        self, *, accounts: AccountStore, outbox: OutboxStore, due: DueStore, events: EventService, clock: Clock
    ) -> None:
        self._accounts = accounts
        self._outbox = outbox
        self._due = due
        self._events = events
        self._clock = clock

    async def deliver(
        self,
        account: str,
        queue_id: str,
        hand_over: Callable[[bytes, Envelope], Awaitable[SubmitReceipt]],
        file_copy: Callable[[OutboxEntry, OutboxMessage], Awaitable[None]],
    ) -> None:
        """Send one entry, if it still has to be sent; how it ends is written into the entry.

        Args:
            account: whose.
            queue_id: the entry.
            hand_over: gives the message to the account's submission service.
            file_copy: stores the Sent copy; what it raises is logged, the message is out by then.
        """
        entry = await self._outbox.get(account, queue_id)
        work = DueWork("outbox.send", account, queue_id)
        if entry is None:
            await self._due.done(work)
            return
        if entry.state == "sending":
            await self._judge_abandoned(entry, work)
            return
        if (
            entry.state == "retrying"
            and isinstance(entry.next_attempt, datetime)
            and entry.next_attempt > self._clock()
        ):
            # A second job for an earlier attempt; the service was promised a pause.
            await self._due.put(work, entry.next_attempt)
            return
        message = await self._outbox.message(account, queue_id)
        entry = self._begun(entry)
        if message is None or not await self._outbox.transition(entry, since=WAITING):
            return
        await self._due.put(work, self._clock() + ABANDONED)
        try:
            receipt = await hand_over(message.raw, Envelope(mail_from=entry.envelope.from_, rcpt_to=entry.envelope.to))
        except GatewayError as error:
            await self._failed(entry, work, error)
            return
        await self._sent(entry, work, receipt)
        try:
            await file_copy(entry, message)
        except GatewayError as error:
            log.warning("sent_copy_not_filed", account=account, queue_id=queue_id, error=type(error).__name__)

    def _begun(self, entry: OutboxEntry) -> OutboxEntry:
        return msgspec.structs.replace(
            entry,
            state="sending",
            attempts_made=entry.attempts_made + 1,
            next_attempt=self._clock(),
            progress=OutboxProgress(status="smtp-starting"),
        )

    async def _sent(self, entry: OutboxEntry, work: DueWork, receipt: SubmitReceipt) -> None:
        status = SmtpStatus(created=self._clock(), status="ok", response=receipt.response, response_code=250)
        await self._accounts.set_smtp_status(entry.account, status)
        told = self._events.make("messageSent", entry.account, delivery_events.sent(entry, receipt))
        await self._events.append(entry.account, [told])
        await self._outbox.remove(entry.account, entry.queue_id)
        await self._due.done(work)
        log.info("message_sent", account=entry.account, queue_id=entry.queue_id, attempts=entry.attempts_made)

    async def _failed(self, entry: OutboxEntry, work: DueWork, error: GatewayError) -> None:
        remedy = last_error(error, self._clock()).remedy
        described = OutboxProgressError(message=error.message, code=error.error_code, remedy=remedy)
        progress = OutboxProgress(status="error", error=described)
        entry = msgspec.structs.replace(entry, progress=progress, next_attempt=False)
        status = SmtpStatus(created=self._clock(), status="error", description=error.message, code=error.error_code)
        await self._accounts.set_smtp_status(entry.account, status)
        if isinstance(error, OutcomeUnknownError | WorkerLostError):
            await self._end(entry, work, "unknown", error)
        elif isinstance(error, TransientError) and entry.attempts_made < entry.attempts:
            wait = retry_delay(entry.attempts_made)
            if isinstance(error, RateLimitError):
                wait = max(wait, timedelta(seconds=error.retry_after))
            at = self._clock() + wait
            entry = msgspec.structs.replace(entry, state="retrying", next_attempt=at)
            if await self._outbox.transition(entry, since=("sending",)):
                await self._due.put(work, at)
                told = delivery_events.attempt_failed(entry, error, at)
                await self._events.append(
                    entry.account, [self._events.make("messageDeliveryError", entry.account, told)]
                )
        else:
            await self._end(entry, work, "failed", error)
        log.warning(
            "message_not_sent",
            account=entry.account,
            queue_id=entry.queue_id,
            error=type(error).__name__,
            code=error.error_code,
            attempts=entry.attempts_made,
        )

    async def _end(self, entry: OutboxEntry, work: DueWork, state: str, error: GatewayError) -> None:
        ended = msgspec.structs.replace(entry, state=state)
        if not await self._outbox.transition(ended, since=("sending",)):
            return
        await self._due.done(work)
        events = [
            self._events.make("messageDeliveryError", entry.account, delivery_events.attempt_failed(entry, error, None))
        ]
        if state == "failed":
            # What may be out has not failed: whoever sent it again would send it twice.
            events.append(self._events.make("messageFailed", entry.account, delivery_events.failed(entry, error)))
            await self._outbox.drop_message(entry.account, entry.queue_id)
        await self._events.append(entry.account, events)

    async def _judge_abandoned(self, entry: OutboxEntry, work: DueWork) -> None:
        begun = entry.next_attempt if isinstance(entry.next_attempt, datetime) else entry.created
        if self._clock() - begun < ABANDONED:
            await self._due.put(work, begun + ABANDONED)
            return
        await self._failed(entry, work, OutcomeUnknownError("the worker that was sending this message is gone"))


def retry_delay(attempts: int) -> timedelta:
    """Return the wait after so many attempts: 5 s doubling, a fifth of jitter."""
    return FIRST_RETRY * (1 << min(attempts - 1, 10)) * random.uniform(0.8, 1.2)


async def file_sent_copy(
    session: Session, provider: Provider, config: AccountConfig, entry: OutboxEntry, message: OutboxMessage
) -> None:
    """Store a copy of a sent message under Sent, unless the service does so itself or nobody wants it."""
    wanted = entry.copy if isinstance(entry.copy, bool) else config.copy
    if wanted is None:
        wanted = not provider.saves_sent_copy
    if not wanted:
        return
    path = entry.sent_mail_path if isinstance(entry.sent_mail_path, str) else "\\Sent"
    await session.append(path, message.sent_copy or message.raw, flags=("\\Seen",))


def outgoing(request: ComposeFields, config: AccountConfig, now: datetime) -> Outgoing:
    """Return what the composer needs of a request."""
    reply_to = request.reply_to if isinstance(request, SubmitRequest) else None
    raw = _base64(request.raw, "raw") if request.raw is not None else None
    author = _address(request.from_) if request.from_ is not None else None
    if author is None and raw is None and config.email:
        author = Address(name=config.name, address=config.email)
    date = now
    envelope = None
    if isinstance(request, SubmitRequest):
        if request.send_at is not None:
            date = max(now, request.send_at.astimezone(UTC))
        if request.envelope is not None:
            to = request.envelope.to
            sender = request.envelope.from_
            envelope = Envelope(
                mail_from=sender if sender is not None else (author.address if author else config.email or ""),
                rcpt_to=(to,) if isinstance(to, str) else to,
            )
    return Outgoing(
        from_=author,
        to=_addresses(request.to),
        cc=_addresses(request.cc),
        bcc=_addresses(request.bcc),
        reply_to=_addresses(reply_to),
        subject=request.subject,
        text=request.text,
        html=request.html,
        attachments=tuple(_attachment(item, index) for index, item in enumerate(request.attachments)),
        headers=request.headers or {},
        message_id=request.message_id,
        date=None if raw is not None else date,
        raw=raw,
        envelope=envelope,
    )


def _address(recipient: Recipient) -> Address:
    return Address(name=recipient.name, address=recipient.address)


def _addresses(value: tuple[Recipient, ...] | Recipient | None) -> tuple[Address, ...] | None:
    if value is None:
        return None
    return (_address(value),) if isinstance(value, Recipient) else tuple(_address(item) for item in value)


def _attachment(item: UploadAttachment, index: int) -> OutgoingAttachment:
    return OutgoingAttachment(
        filename=item.filename,
        content=_base64(item.content, f"attachments[{index}].content"),
        content_type=item.content_type,
        disposition=item.content_disposition or ("inline" if item.cid else "attachment"),
        cid=item.cid,
    )


def _base64(text: str, key: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(key, "must be base64") from error
