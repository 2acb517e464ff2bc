"""Submissions: accept a message into the outbox, and show what is there.

The outbox entry is the truth of a send and is written before the caller is answered. A job carries only its id.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, timedelta
from typing import Protocol

import msgspec
import structlog

from gateway.errors import (
    ConflictError,
    GatewayError,
    InvalidRequestError,
    ResourceNotFoundError,
    ServiceUnavailableError,
)
from gateway.mime.compose import ComposedMessage, Outgoing, compose
from gateway.model.message import ReferenceResult
from gateway.model.submission import (
    ComposeFields,
    OutboxDeleted,
    OutboxEntry,
    OutboxEnvelope,
    OutboxList,
    OutboxProgress,
    Source,
    SubmitRequest,
    SubmitResult,
)
from gateway.provider import Clock
from gateway.services.account_payload import checked_address, checked_proxy
from gateway.services.controls import with_controls
from gateway.services.idempotency import IdempotencyKey, IdempotencyService, again, first
from gateway.services.merging import Merged, MergeService, check_members
from gateway.services.outgoing import notification, outgoing
from gateway.services.paging import page_of
from gateway.services.references import ReferenceService, Referred
from gateway.services.relays import RelayService
from gateway.services.rendering import RenderingService
from gateway.services.runtime_settings import RuntimeSettingsService
from gateway.services.tracking import TrackingService
from gateway.smtp.proxies import masked_proxy
from gateway.store.accounts import AccountConfig, AccountStore
from gateway.store.due import DueStore, DueWork
from gateway.store.idempotency import KeyRecord
from gateway.store.outbox import OutboxMessage, OutboxStore

log = structlog.get_logger(__name__)

DEFAULT_ATTEMPTS = 10

#: States in which nobody has begun to hand the message over.
WAITING = ("queued", "retrying")

#: Time after which a send whose job was lost is looked at again.
SWEEP = timedelta(seconds=30)


#: Time for which an entry that ended otherwise than sent is kept to be looked at.
KEPT = timedelta(days=7)

QUEUED = OutboxProgress(status="queued")

#: Why an entry of a state cannot be sent again or cancelled: code, text.
_CONFLICTS = {
    "queued": ("OutboxEntryQueued", "the message is about to be sent"),
    "retrying": ("OutboxEntryQueued", "the message is about to be sent"),
    "sending": ("OutboxEntrySending", "the message is being sent this moment"),
    "sent": ("OutboxEntrySent", "the message was sent"),
    "unknown": ("OutboxEntryUnknown", "the message may have been sent"),
    "failed": ("OutboxEntryEnded", "the message has failed"),
    "cancelled": ("OutboxEntryEnded", "the message was cancelled"),
}


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
        references: ReferenceService,
        rendering: RenderingService,
        merging: MergeService,
        relays: RelayService,
        tracking: TrackingService,
        idempotency: IdempotencyService,
        sender: Sender,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._outbox = outbox
        self._due = due
        self._settings = settings
        self._references = references
        self._rendering = rendering
        self._merging = merging
        self._relays = relays
        self._tracking = tracking
        self._idempotency = idempotency
        self._sender = sender
        self._clock = clock

    async def submit(
        self,
        account: str,
        request: SubmitRequest,
        *,
        key: IdempotencyKey | None = None,
        source: Source = "api",
        draft: str | None = None,
    ) -> SubmitResult:
        """Queue a message; nothing has been sent when this returns.

        Args:
            account: whose.
            request: the message.
            key: a request that had the same key before is answered as it was then. A dry run leaves keys alone.
            source: the way that the message came.
            draft: id of the draft that the message is; it is removed when the message is sent.

        Raises:
            ConflictError: the key came with another request (code IdempotencyKeyReused).
            ResourceNotFoundError: there is no such account, template or relay, the account cannot send (code
                SMTPUnavailable), or there is nothing where the message refers to.
            InvalidRequestError: no message can be made of the request.
        """
        check_members(request)
        if (known := await self._known(account, request, key)) is not None:
            return known
        request = with_controls(request)
        config = await self._sending_account(account, request)
        rendered = await self._rendering.one(config, request)
        return await self._accept(config, rendered, self._references, key, source, alone=True, draft=draft)

    async def submit_merge(
        self,
        account: str,
        request: SubmitRequest,
        answer: Callable[[Sequence[Merged]], SubmitResult],
        *,
        key: IdempotencyKey | None = None,
    ) -> SubmitResult:
        """Queue a message for each recipient of `request.mail_merge`.

        Args:
            account: whose.
            request: the messages.
            answer: makes the answer of what became of each, in order.
            key: as of `submit`. It is claimed before the first message is queued; should the process die before the
                last one is, nobody knows how far it came, and the key stays in use until it is forgotten.

        Raises:
            ConflictError: the key came with another request (code IdempotencyKeyReused), or the other one has not been
                answered (code IdempotencyKeyInUse).
            ResourceNotFoundError: there is no such account, template or relay, or the account cannot send (code
                SMTPUnavailable).
            InvalidRequestError: members stand side by side that cannot.
            MissingSettingError: links have no address.
        """
        if (known := await self._known(account, request, key)) is not None:
            return known
        request = with_controls(request)
        config = await self._sending_account(account, request)
        expanded = await self._merging.expand(config, request)
        told: list[Merged] = []
        if key is None or request.dry_run:
            await self._accept_each(config, expanded, key, told)
            return first(key, answer(told))
        claimed = await self._idempotency.claim(account, key)
        if isinstance(claimed, SubmitResult):
            return claimed
        try:
            await self._accept_each(config, expanded, key, told)
        except GatewayError:
            if not any(isinstance(one.found, SubmitResult) for one in told):
                await self._idempotency.release(account, key, claimed)
            raise
        made = answer(told)
        await self._idempotency.answered(account, key, claimed, made)
        return first(key, made)

    async def _known(self, account: str, request: SubmitRequest, key: IdempotencyKey | None) -> SubmitResult | None:
        return None if key is None or request.dry_run else await self._idempotency.answer(account, key)

    async def _accept_each(
        self, config: AccountConfig, expanded: Sequence[Merged], key: IdempotencyKey | None, told: list[Merged]
    ) -> None:
        """Queue what can be sent, and add to `told` what became of each."""
        references = self._references.remembering()
        for entry, found in expanded:
            if not isinstance(found, SubmitRequest):
                told.append(Merged(entry, found))
                continue
            try:
                told.append(Merged(entry, await self._accept(config, found, references, key, alone=False)))
            except InvalidRequestError as error:
                told.append(Merged(entry, error))

    async def _accept(
        self,
        config: AccountConfig,
        request: SubmitRequest,
        references: ReferenceService,
        key: IdempotencyKey | None,
        source: Source = "api",
        *,
        alone: bool,
        draft: str | None = None,
    ) -> SubmitResult:
        """Queue one message; `alone` unless it is one of a merge."""
        account = config.account
        if not request.dry_run:
            request = await self._tracking.tracked(config, request)
        referred = await references.resolve(config, request)
        composed = compose(self._outgoing(referred, config), now=self._clock)
        if request.dry_run:
            preview = base64.b64encode(composed.raw).decode()
            shown = SubmitResult(
                response="Dry run", message_id=composed.message_id, preview=preview, reference=referred.result
            )
            return first(key, shown) if alone else shown
        entry = await self._entry(account, request, composed, key, source)
        copy = composed.sent_copy()
        message = OutboxMessage(
            raw=composed.raw,
            sent_copy=copy if copy != composed.raw else None,
            answered=referred.answered,
            draft=draft,
            dsn=notification(request.dsn),
            bulk=not alone,
            proxy=request.proxy or None,
        )
        later = entry.scheduled > self._clock()
        work = DueWork("outbox.send", account, entry.queue_id)
        # Due in any case: should the job be lost, the sweep brings it back.
        await self._due.put(work, entry.scheduled if later else self._clock() + SWEEP)
        result = SubmitResult(
            response="Queued for delivery",
            message_id=entry.message_id,
            queue_id=entry.queue_id,
            send_at=entry.scheduled,
            reference=referred.result,
        )
        if key is not None and alone:
            record = KeyRecord(request=key.request, owner=entry.queue_id, answer=result)
            if (known := await self._outbox.add(entry, message, record)) is not None:
                await self._outbox.remove(account, entry.queue_id)
                await self._due.done(work)
                return again(key, known)
        else:
            await self._outbox.add(entry, message)
        if not later:
            # It is accepted by now, and whoever was told otherwise would submit it again.
            with contextlib.suppress(ServiceUnavailableError):
                await self._sender.send(account, entry.queue_id)
        return first(key, result) if alone else result

    async def compose_draft(self, account: str, fields: ComposeFields) -> tuple[bytes, ReferenceResult | None]:
        """Return a message to be stored, which needs neither author nor recipients, and what became of its reference.

        Raises:
            ResourceNotFoundError: there is no such account, or nothing where the message refers to.
            InvalidRequestError: something cannot stand in a message; its details name the field.
        """
        stored = await self._accounts.get(account)
        if stored is None:
            raise ResourceNotFoundError("no such account", code="AccountNotFound")
        referred = await self._references.resolve(stored.config, fields)
        made = compose(self._outgoing(referred, stored.config), now=self._clock, draft=True)
        return made.sent_copy(), referred.result

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

    async def delete(self, queue_id: str) -> OutboxDeleted:
        """Forget an entry unless it is being sent this moment."""
        account = await self._outbox.account_of(queue_id)
        entry = await self._outbox.get(account, queue_id) if account is not None else None
        if account is None or entry is None or entry.state == "sending":
            return OutboxDeleted(deleted=False)
        gone = msgspec.structs.replace(entry, state="cancelled")
        if not await self._outbox.transition(gone, since=(*WAITING, "unknown", "failed", "cancelled")):
            return OutboxDeleted(deleted=False)
        await self._due.done(DueWork("outbox.send", account, queue_id))
        return OutboxDeleted(deleted=await self._outbox.remove(account, queue_id))

    async def cancel(self, queue_id: str) -> OutboxEntry:
        """Send an entry that waits no more; it is kept for a while, to be looked at, without its message.

        Raises:
            ResourceNotFoundError: there is none: never was, or it was sent.
            ConflictError: it does not wait (codes OutboxEntrySending, OutboxEntrySent, OutboxEntryUnknown,
                OutboxEntryEnded).
        """
        entry = await self.get(queue_id)
        if entry.state == "cancelled":
            return entry
        now = self._clock()
        cancelled = msgspec.structs.replace(entry, state="cancelled", next_attempt=False, ended=now)
        if not await self._outbox.transition(cancelled, since=WAITING):
            raise _conflict(await self.get(queue_id))
        await self._due.put(DueWork("outbox.send", entry.account, queue_id), now + KEPT)
        await self._outbox.drop_message(entry.account, queue_id)
        return cancelled

    async def retry(self, queue_id: str, *, may_repeat: bool = False) -> OutboxEntry:
        """Send an entry now that failed, waits to be tried again, or, if it may be sent twice, is unknown.

        Its attempts are counted anew.

        Raises:
            ResourceNotFoundError: there is none: never was, or it was sent.
            ConflictError: it is in another state (codes OutboxEntrySending, OutboxEntrySent, OutboxEntryQueued,
                OutboxEntryEnded), is unknown and must not be sent twice (OutboxEntryUnknown), or has lost its message
                (OutboxMessageGone).
        """
        entry = await self.get(queue_id)
        since = ("failed", "retrying", "unknown") if may_repeat else ("failed", "retrying")
        if entry.state not in since:
            raise _conflict(entry)
        if await self._outbox.message(entry.account, queue_id) is None:
            raise ConflictError("the message of this entry is gone", code="OutboxMessageGone")
        now = self._clock()
        again = msgspec.structs.replace(
            entry, state="queued", next_attempt=now, attempts_made=0, ended=msgspec.UNSET, progress=QUEUED
        )
        # Only from the state that was looked at: one that becomes unknown meanwhile needs its own consent.
        if not await self._outbox.transition(again, since=(entry.state,)):
            raise _conflict(await self.get(queue_id))
        await self._due.put(DueWork("outbox.send", entry.account, queue_id), now + SWEEP)
        with contextlib.suppress(ServiceUnavailableError):
            await self._sender.send(entry.account, queue_id)
        return again

    def _outgoing(self, referred: Referred, config: AccountConfig) -> Outgoing:
        made = outgoing(referred.fields, config, self._clock())
        return msgspec.structs.replace(made, attachments=(*made.attachments, *referred.attachments))

    async def _sending_account(self, account: str, request: SubmitRequest) -> AccountConfig:
        stored = await self._accounts.get(account)
        if stored is None:
            raise ResourceNotFoundError("no such account", code="AccountNotFound")
        config = stored.config
        checked_proxy("proxy", request.proxy)
        checked_address("localAddress", request.local_address)
        if request.gateway is not None:
            await self._relays.require(request.gateway)
            return config
        if config.smtp is None and config.oauth2 is None and config.provider is None:
            raise ResourceNotFoundError("the account has no submission server", code="SMTPUnavailable")
        return config

    async def _entry(
        self,
        account: str,
        request: SubmitRequest,
        composed: ComposedMessage,
        key: IdempotencyKey | None,
        source: Source,
    ) -> OutboxEntry:
        now = self._clock()
        scheduled = max(now, request.send_at.astimezone(UTC)) if request.send_at is not None else now
        attempts = request.delivery_attempts or await self._settings.get("deliveryAttempts") or DEFAULT_ATTEMPTS
        return OutboxEntry(
            queue_id=f"{int(scheduled.timestamp() * 1000):012x}{secrets.token_hex(4)}",
            account=account,
            source=source,
            message_id=composed.message_id,
            envelope=OutboxEnvelope(from_=composed.envelope.mail_from, to=composed.envelope.rcpt_to),
            subject=composed.subject or None,
            state="queued",
            created=now,
            scheduled=scheduled,
            next_attempt=scheduled,
            attempts=attempts,
            progress=QUEUED,
            gateway=request.gateway,
            idempotency_key=key.value if key is not None else None,
            proxy=masked_proxy(request.proxy) if request.proxy else None,
            local_address=request.local_address,
            copy=request.copy,
            sent_mail_path=request.sent_mail_path or msgspec.UNSET,
        )


def _conflict(entry: OutboxEntry) -> ConflictError:
    code, text = _CONFLICTS[entry.state]
    return ConflictError(text, code=code, details={"state": entry.state})
