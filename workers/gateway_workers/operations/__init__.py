"""What workers can do: one handler for each operation of `gateway.queue.operations`, thin over the services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from gateway.model.message import MessageDetail, MessageList
from gateway.queue import operations as ask
from gateway.queue.operations import Arguments
from gateway.services.container import Services
from gateway_workers.context import Handler, JobContext
from gateway_workers.operations import accounts, exports, mail, outbox, webhooks
from gateway_workers.watching import Watchers

#: Operations that answer messages.
_SHOWING = (ask.MESSAGES_LIST.name, ask.MESSAGES_SEARCH.name, ask.MESSAGES_GET.name)


def handlers(services: Services, watchers: Watchers) -> Mapping[str, Handler]:
    """Return the handlers by operation name."""
    of_mail = {**mail.HANDLERS, ask.MESSAGES_LIST.name: _noting_news(mail.list_messages, services)}
    found = {
        **of_mail,
        **{name: _showing_bounces(of_mail[name], services) for name in _SHOWING},
        **accounts.handlers(services, watchers),
        **outbox.handlers(services),
        **exports.handlers(services),
        **webhooks.handlers(services),
    }
    return {name: _noting_changes(handler, services) for name, handler in found.items()}


def _showing_bounces(handler: Handler, services: Services) -> Handler:
    """Have messages say whom they did not reach: no provider knows."""

    async def showing(job: JobContext, arguments: Arguments) -> msgspec.Struct | None:
        found = await handler(job, arguments)
        assert isinstance(found, MessageDetail | MessageList)
        return await services.bounced.show(job.account, found)

    return showing


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


def _noting_news(
    handler: Callable[[JobContext, ask.ListMessages], Awaitable[MessageList]], services: Services
) -> Handler:
    """Have the index step back before anybody hears of messages that it does not know yet.

    Else the next listing, which the index answers, would show less than the one before.
    """

    async def noting(job: JobContext, arguments: ask.ListMessages) -> MessageList:
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
