"""Sending of outbox entries."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.errors import PermanentError, ResourceNotFoundError
from gateway.model.submission import OutboxEntry
from gateway.provider import Envelope, MessageSource, SubmitReceipt
from gateway.queue import operations as ask
from gateway.services.container import Services
from gateway.services.deliveries import file_sent_copy, mark_answered
from gateway.services.drafts import discard_draft
from gateway.services.unknown_sends import Look, look_under_sent
from gateway.store.accounts import AccountConfig
from gateway.store.outbox import OutboxMessage
from gateway_workers.context import Handler, JobContext


def handlers(services: Services) -> Mapping[str, Handler]:
    """Return the handlers."""

    async def send(job: JobContext, arguments: ask.SendSubmission) -> None:
        """Hand one entry over to the account's submission service."""

        async def hand_over(message: bytes | MessageSource, envelope: Envelope) -> SubmitReceipt:
            async with job.session() as session:
                return await session.submit(message, envelope)

        async def file_copy(entry: OutboxEntry, message: OutboxMessage) -> None:
            stored = await services.account_store.get(job.account)
            if stored is None:
                raise ResourceNotFoundError("no such account", code="AccountNotFound")
            _, provider = await services.sessions.provider(stored.config)
            # The connection for reading; the one for sending is kept for the next message.
            async with job.sessions.use(job.account) as session:
                try:
                    copied = await file_sent_copy(session, provider, stored.config, entry, message)
                except PermanentError:
                    await discard_draft(session, message, copied=False)
                    raise
                await mark_answered(session, message)
                await discard_draft(session, message, copied=copied)

        deliver = services.deliveries.deliver
        await deliver(job.account, arguments.queue_id, job.worker, hand_over, file_copy, job.allow)

    async def resolve(job: JobContext, arguments: ask.ResolveSubmission) -> None:
        """Look whether a message of which nobody knows was sent."""

        async def look(entry: OutboxEntry, config: AccountConfig) -> Look:
            _, provider = await services.sessions.provider(config)
            async with job.session() as session:
                return await look_under_sent(session, provider, config, entry)

        async def settle(message: OutboxMessage) -> None:
            async with job.session() as session:
                await mark_answered(session, message)
                await discard_draft(session, message, copied=True)

        await services.unknown_sends.resolve(job.account, arguments.queue_id, look, settle)

    return {ask.OUTBOX_SEND.name: send, ask.OUTBOX_RESOLVE.name: resolve}
