"""What workers can do: one handler for each operation of `gateway.queue.operations`, thin over the services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from gateway.model.message import MessageList
from gateway.queue.operations import MESSAGES_LIST, Arguments, ListMessages
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
    found[MESSAGES_LIST.name] = _noting_news(mail.list_messages, services)
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
            await _step_back(job, services)

    return noting


def _noting_news(handler: Callable[[JobContext, ListMessages], Awaitable[MessageList]], services: Services) -> Handler:
    """Have the index step back before anybody hears of messages that it does not know yet.

    Else the next listing, which the index answers, would show less than the one before.
    """

    async def noting(job: JobContext, arguments: ListMessages) -> MessageList:
        found = await handler(job, arguments)
        box = await services.index.box(job.account, arguments.path)
        if box is not None and box.count != found.total:
            await _step_back(job, services)
        return found

    return noting


async def _step_back(job: JobContext, services: Services) -> None:
    """Have the mailboxes of the account looked at before the index answers for them again."""
    await services.index.dirty(job.account)
    await services.dispatcher.kick(job.account)
