"""Work that nobody waits for, handed to the workers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from gateway.provider import Clock
from gateway.queue.client import JobClient
from gateway.queue.operations import (
    ACCOUNT_CONNECT,
    ACCOUNT_SYNC,
    ALLOWLIST,
    EXPORT_RUN,
    GRANT_RENEW,
    OUTBOX_RESOLVE,
    OUTBOX_SEND,
    NoArguments,
    ResolveSubmission,
    RunExport,
    SendSubmission,
)
from gateway.queue.ownership import OwnershipClient
from gateway.queue.pauses import Pauses
from gateway.queue.signals import Signal, Signals
from gateway.store.due import DueStore, DueWork

#: Time after which a connection attempt that nobody heard of again is queued anew; longer than one may take.
SWEEP = timedelta(seconds=150)


class Dispatcher:
    """Queues connections, renewals, sends, exports and webhooks, and calls out to the workers that hold connections."""

    def __init__(
        self,
        jobs: JobClient,
        due: DueStore,
        ownership: OwnershipClient,
        signals: Signals,
        pauses: Pauses,
        clock: Clock,
    ) -> None:
        self._jobs = jobs
        self._due = due
        self._ownership = ownership
        self._signals = signals
        self._pauses = pauses
        self._clock = clock
        #: Queues the delivery of an account's events to an endpoint.
        self.deliver: Callable[[str, str], Awaitable[None]] | None = None

    async def connect(self, account: str) -> None:
        """Queue a connection attempt; should its job be lost, it becomes due again."""
        await self._due.put(DueWork("account.connect", account), self._clock() + SWEEP)
        await self._jobs.enqueue(ACCOUNT_CONNECT, account, NoArguments())

    async def disconnect(self, account: str) -> None:
        """Tell every worker to drop the account's warm connections."""
        await self._signals.send(Signal("drop", account))

    async def kick(self, account: str) -> None:
        """Tell the worker that watches the account that the gateway itself has just changed something in it."""
        await self._signals.send(Signal("kick", account))

    async def forget(self, account: str) -> None:
        """Take an account whose record is gone from the worker that owns it."""
        await self._ownership.forget(account)
        await self.disconnect(account)

    async def sync(self, account: str) -> None:
        """Queue a pass over the account's mailboxes."""
        await self._jobs.enqueue(ACCOUNT_SYNC, account, NoArguments())

    async def renew(self, account: str) -> None:
        """Queue the renewal of a grant."""
        await self._jobs.enqueue(GRANT_RENEW, account, NoArguments())

    async def send(self, account: str, queue_id: str) -> None:
        """Queue the sending of an outbox entry."""
        await self._jobs.enqueue(OUTBOX_SEND, account, SendSubmission(queue_id=queue_id))

    async def export(self, account: str, export_id: str) -> None:
        """Queue the next step of an export."""
        await self._jobs.enqueue(EXPORT_RUN, account, RunExport(export=export_id))

    async def due(self, work: DueWork) -> None:
        """Queue work that has become due; while its queue is paused it stays due, and comes back."""
        operation = ALLOWLIST.get(work.operation)
        if operation is not None and await self._pauses.has(operation.queue):
            return
        match work.operation:
            case "account.connect":
                await self.connect(work.account)
            case "grant.renew":
                await self.renew(work.account)
            case "outbox.send":
                await self.send(work.account, work.subject)
            case "outbox.resolve":
                await self._jobs.enqueue(OUTBOX_RESOLVE, work.account, ResolveSubmission(queue_id=work.subject))
            case "export.run":
                await self.export(work.account, work.subject)
            case "webhook.deliver":
                if self.deliver is not None:
                    await self.deliver(work.account, work.subject)
