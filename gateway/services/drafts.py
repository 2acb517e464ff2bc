"""Drafts: a message that lies in the account's mailbox is sent, and is then no draft any more.

It goes through the outbox like everything else. The mailbox keeps the draft until the message is out.
"""

from __future__ import annotations

import base64
import contextlib
from datetime import UTC, datetime
from email.utils import format_datetime

import msgspec

from gateway.errors import InvalidRequestError, NotFoundError, ResourceNotFoundError, UnsupportedOperationError
from gateway.model.message import MessageDetail
from gateway.model.submission import DraftSubmit, EnvelopePayload, Recipient, SubmitRequest, SubmitResult
from gateway.provider import Clock, Session
from gateway.queue.client import JobClient
from gateway.queue.operations import MESSAGES_GET, MESSAGES_SOURCE, GetMessage, GetSource
from gateway.services import mail
from gateway.services.accounts import AccountService
from gateway.services.idempotency import IdempotencyKey, IdempotencyService
from gateway.services.references import MOST_OCTETS, collected
from gateway.services.submissions import SubmissionService
from gateway.store.accounts import AccountConfig, AccountStore
from gateway.store.outbox import OutboxMessage


class DraftService:
    """Sends drafts."""

    def __init__(
        self,
        *,
        accounts: AccountService,
        account_store: AccountStore,
        submissions: SubmissionService,
        idempotency: IdempotencyService,
        jobs: JobClient,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._account_store = account_store
        self._submissions = submissions
        self._idempotency = idempotency
        self._jobs = jobs
        self._clock = clock

    async def submit(
        self,
        account: str,
        message: str,
        request: DraftSubmit,
        *,
        timeout: float,
        key: IdempotencyKey | None = None,
    ) -> SubmitResult:
        """Queue a draft; nothing has been sent when this returns.

        Args:
            account: whose.
            message: id of the draft.
            request: how it is to be sent.
            timeout: seconds to wait for each of the two answers of the mail service.
            key: as of `SubmissionService.submit`; it is known also when the draft is gone.

        Raises:
            ResourceNotFoundError, AccountNotReadyError: the account cannot be asked, or cannot send.
            NotFoundError: there is no such message.
            InvalidRequestError: it is no draft (code NotADraft), or nobody is to get it (code DraftHasNoRecipients).
            ConflictError: the key came with another request (code IdempotencyKeyReused).
            GatewayError: what reading it ended with.
        """
        if key is not None and (known := await self._idempotency.answer(account, key)) is not None:
            return known
        await self._accounts.require_operational(account)
        stored = await self._account_store.get(account)
        if stored is None:
            raise ResourceNotFoundError("no such account", code="AccountNotFound")
        try:
            made = await self._made(stored.config, message, request, timeout)
        except NotFoundError:
            # The request that had the key first may have come to its end meanwhile, and the draft with it.
            if key is not None and (known := await self._idempotency.answer(account, key)) is not None:
                return known
            raise
        return await self._submissions.submit(account, made, key=key, draft=message)

    async def _made(self, config: AccountConfig, message: str, request: DraftSubmit, timeout: float) -> SubmitRequest:
        """Read a draft and return what sends it."""
        account = config.account
        answer = await self._jobs.call(MESSAGES_GET, account, GetMessage(message=message), timeout=timeout)
        draft = msgspec.json.decode(answer, type=MessageDetail)
        if not is_draft(draft):
            raise InvalidRequestError("this message is not a draft", code="NotADraft")
        if not _recipients(draft) and (request.envelope is None or not request.envelope.to):
            raise InvalidRequestError("the draft has no recipients", code="DraftHasNoRecipients")
        stream = await self._jobs.stream(MESSAGES_SOURCE, account, GetSource(message=message), timeout=timeout)
        async with contextlib.aclosing(stream):
            source = await collected(stream.chunks, MOST_OCTETS)
        return _submission(source, draft, request, config, self._clock())


def is_draft(message: MessageDetail) -> bool:
    """Tell whether a message is a draft: it says so (RFC 9051 section 2.3.2), or lies where drafts are kept."""
    return message.draft or "\\Drafts" in (message.special_use, message.message_special_use)


def _recipients(draft: MessageDetail) -> tuple[str, ...]:
    return tuple(one.address for one in (*draft.to, *draft.cc, *draft.bcc) if one.address)


def _submission(
    source: bytes, draft: MessageDetail, request: DraftSubmit, config: AccountConfig, now: datetime
) -> SubmitRequest:
    """Return what sends a draft: its octets, dated when it is sent (RFC 5322 section 3.6.1)."""
    at = now if request.send_at is None else max(now, request.send_at.astimezone(UTC))
    author = None
    if draft.from_ is None and config.email:
        author = Recipient(address=config.email, name=config.name or "")
    envelope = request.envelope
    if envelope is not None:
        sender = draft.from_.address if draft.from_ is not None else config.email
        envelope = EnvelopePayload(
            from_=envelope.from_ if envelope.from_ is not None else sender, to=envelope.to or _recipients(draft)
        )
    return SubmitRequest(
        raw=base64.b64encode(source).decode(),
        from_=author,
        headers={"Date": format_datetime(at)},
        envelope=envelope,
        copy=request.copy,
        sent_mail_path=request.sent_mail_path,
        send_at=request.send_at,
        delivery_attempts=request.delivery_attempts,
        gateway=request.gateway,
        proxy=request.proxy,
        local_address=request.local_address,
        dsn=request.dsn,
    )


async def discard_draft(session: Session, message: OutboxMessage, *, copied: bool) -> None:
    """Remove the draft that a sent message was; into the trash where there is no copy of the message under Sent.

    One that is gone already, or that the service keeps, is left alone.
    """
    if message.draft is None:
        return
    with contextlib.suppress(NotFoundError, UnsupportedOperationError):
        await mail.delete(session, message.draft, force=copied)
