"""What workers can do: one handler for each operation of `gateway.queue.operations`, thin over the services."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.queue.operations import Arguments
from gateway.services.container import Services
from gateway_workers.context import Handler, JobContext
from gateway_workers.operations import accounts, mail, outbox, webhooks
from gateway_workers.watching import Watchers


def handlers(services: Services, watchers: Watchers) -> Mapping[str, Handler]:
    """Return the handlers by operation name."""
    found = {
        **mail.HANDLERS,
        **accounts.handlers(services, watchers),
        **outbox.handlers(services),
        **webhooks.handlers(services),
    }
    return {name: _noting_changes(handler, services) for name, handler in found.items()}


def _noting_changes(handler: Handler, services: Services) -> Handler:
    """Have the index step back before anybody hears that an operation changed mail, and the change looked at."""

    async def noting(job: JobContext, arguments: Arguments) -> msgspec.Struct | None:
        if not arguments.changes_mail:
            return await handler(job, arguments)
        try:
            return await handler(job, arguments)
        finally:
            # Also one that failed may have changed something.
            await services.index.dirty(job.account)
            await services.dispatcher.kick(job.account)

    return noting
