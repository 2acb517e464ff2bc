"""Sends of which nobody knows how they ended: look whether the message is in the account's Sent mailbox.

Between the end of a message and the answer to it lies a moment in which a broken connection tells nothing. What is
found under Sent was sent. What is not found there was not sent only where the service itself files what it takes, has
had time to do so, and everything that came since could be looked at; else the outcome stays unknown, and somebody has
to look.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from enum import Enum

import msgspec
import structlog

from gateway.errors import GatewayError, UnsupportedOperationError
from gateway.model.account_errors import RemedyInfo
from gateway.model.message import MessageEntry, SearchQuery
from gateway.model.submission import OutboxEntry, OutboxProgress, OutboxProgressError
from gateway.provider import Clock, PageRequest, Provider, Session, SubmitReceipt
from gateway.services import delivery_events
from gateway.services.events import EventService
from gateway.services.submissions import KEPT
from gateway.store.accounts import AccountConfig, AccountStore
from gateway.store.due import DueStore, DueWork
from gateway.store.outbox import UNSENT, OutboxMessage, OutboxStore, new_mark

log = structlog.get_logger(__name__)

#: Time until the first look; each pause is as long as everything before it.
FIRST_LOOK = timedelta(seconds=30)

#: Time within which a service files what it has taken.
SETTLING = timedelta(minutes=5)

#: Time after which nobody looks any more: about a dozen looks.
LAST_LOOK = timedelta(days=1)

#: Messages since the submission that are looked at; where there are more, absence proves nothing.
MOST = 500

#: By how much the clock of a service may differ.
_SKEW = timedelta(minutes=5)

_PAGE = 100

REMEDY = RemedyInfo(
    code="OutcomeUnknown",
    title="Nobody knows whether this message was sent",
    who="user",
    steps=(
        "Ask a recipient, or look for the message in the mail service's own log.",
        "If it did not arrive, send it again and allow that it is repeated; if it did, remove it from the outbox.",
    ),
)


class Finding(Enum):
    """What a look at the Sent mailbox tells."""

    SENT = "sent"
    NOT_SENT = "not sent"
    NOTHING = "nothing"


class Look(msgspec.Struct, frozen=True):
    """What was found, and the Message-ID under which."""

    finding: Finding
    message_id: str | None = None


class UnknownSends:
    """Finds out, in a worker, what became of entries that are unknown."""

    def __init__(
        self, *, accounts: AccountStore, outbox: OutboxStore, due: DueStore, events: EventService, clock: Clock
    ) -> None:
        self._accounts = accounts
        self._outbox = outbox
        self._due = due
        self._events = events
        self._clock = clock

    async def resolve(
        self,
        account: str,
        queue_id: str,
        look: Callable[[OutboxEntry, AccountConfig], Awaitable[Look]],
        settle: Callable[[OutboxMessage], Awaitable[None]],
    ) -> None:
        """Look once for the message of an entry, and decide if that tells enough; nothing is ever sent here.

        Args:
            account: whose.
            queue_id: the entry.
            look: looks into the account's Sent mailbox (`look_under_sent`).
            settle: changes in the mailbox what a sent message changes; what it raises is logged.
        """
        entry = await self._outbox.get(account, queue_id)
        stored = await self._accounts.get(account)
        work = resolving(account, queue_id)
        if entry is None or stored is None or entry.state != "unknown":
            if entry is not None and entry.state == "sent":
                # Left by a worker that died before it was forgotten; sending it finishes it.
                await self._due.put(DueWork("outbox.send", account, queue_id), self._clock())
            await self._due.done(work)
            return
        found = Look(Finding.NOTHING)
        if stored.config.has_mailbox:
            try:
                found = await look(entry, stored.config)
            except GatewayError as error:
                log.info("sent_not_looked_at", account=account, queue_id=queue_id, error=type(error).__name__)
        since = unknown_since(entry)
        if found.finding is Finding.SENT:
            await self._sent(entry, found, settle)
        elif found.finding is Finding.NOT_SENT and self._clock() - since >= SETTLING:
            await self._not_sent(entry)
        else:
            if found.finding is Finding.NOTHING:
                await self._still_unknown(entry)
            pause = max(FIRST_LOOK, self._clock() - since)
            if stored.config.has_mailbox and self._clock() - since < LAST_LOOK:
                await self._due.put(work, self._clock() + pause)
                return
        await self._due.done(work)

    async def _sent(self, entry: OutboxEntry, found: Look, settle: Callable[[OutboxMessage], Awaitable[None]]) -> None:
        receipt = SubmitReceipt(response="found in the Sent mailbox", message_id=found.message_id)
        told = self._events.make("messageSent", entry.account, delivery_events.sent(entry, receipt))
        progress = OutboxProgress(status="submitted", response=receipt.response, message_id=receipt.message_id)
        ended = msgspec.structs.replace(entry, state="sent", next_attempt=False, progress=progress, ended=self._clock())
        account, queue_id = entry.account, entry.queue_id
        # Should this worker die, whoever finishes the entry must not file another copy.
        await self._outbox.begin_copy(account, queue_id, new_mark())
        await self._due.put(DueWork("outbox.send", account, queue_id), self._clock() + FIRST_LOOK)
        await self._outbox.transition(ended, since=UNSENT, told=[told])
        await self._events.announce(account)
        message = await self._outbox.message(account, queue_id)
        if message is not None:
            try:
                await settle(message)
            except GatewayError as error:
                log.warning("sent_not_settled", account=account, queue_id=queue_id, error=type(error).__name__)
        await self._outbox.remove(account, queue_id)
        await self._due.done(DueWork("outbox.send", account, queue_id))
        log.info("message_found_sent", account=account, queue_id=queue_id)

    async def _not_sent(self, entry: OutboxEntry) -> None:
        work, now = DueWork("outbox.send", entry.account, entry.queue_id), self._clock()
        log.info("message_found_not_sent", account=entry.account, queue_id=entry.queue_id)
        if entry.attempts_made < entry.attempts:
            await self._due.put(work, now)
            again = msgspec.structs.replace(entry, state="retrying", next_attempt=now, ended=msgspec.UNSET)
            await self._outbox.transition(again, since=("unknown",))
            return
        failed = msgspec.structs.replace(entry, state="failed", next_attempt=False, ended=now)
        await self._due.put(work, now + KEPT)
        error = UnsupportedOperationError("the message was not sent, and has no attempts left")
        told = self._events.make("messageFailed", entry.account, delivery_events.failed(entry, error))
        if await self._outbox.transition(failed, since=("unknown",), told=[told]):
            await self._events.announce(entry.account)

    async def _still_unknown(self, entry: OutboxEntry) -> None:
        error = entry.progress.error or OutboxProgressError(message="the outcome is unknown")
        if error.remedy is not None:
            return
        progress = msgspec.structs.replace(entry.progress, error=msgspec.structs.replace(error, remedy=REMEDY))
        await self._outbox.transition(msgspec.structs.replace(entry, progress=progress), since=("unknown",))


def resolving(account: str, queue_id: str) -> DueWork:
    """Return the work of finding out what became of an entry."""
    return DueWork("outbox.resolve", account, queue_id)


def unknown_since(entry: OutboxEntry) -> datetime:
    """Return when an entry became unknown."""
    return entry.ended if isinstance(entry.ended, datetime) else entry.created


async def look_under_sent(session: Session, provider: Provider, config: AccountConfig, entry: OutboxEntry) -> Look:
    """Look for the message of an entry under Sent.

    A message with its Message-ID that is older than the entry is another one: clients choose these ids. Services may
    give a message another id (Exchange does); one with the same subject may be it, so that nothing is proven then.
    """
    query = SearchQuery(header={"Message-ID": entry.message_id})
    same = await session.search("\\Sent", query, PageRequest(size=_PAGE))
    mine = [message for message in same.messages if message.message_id == entry.message_id]
    if any(_is_new(message, entry) for message in mine):
        return Look(Finding.SENT, entry.message_id)
    if mine or not _files_all(provider, config, entry):
        return Look(Finding.NOTHING)
    # Searches go by days, in whatever time zone the server has.
    query = SearchQuery(since=entry.created - timedelta(days=2))
    page = PageRequest(size=_PAGE)
    for _ in range(MOST // _PAGE):
        found = await session.search("\\Sent", query, page)
        if found.total > MOST or any(_may_be(message, entry) for message in found.messages):
            return Look(Finding.NOTHING)
        if found.next_cursor is None:
            return Look(Finding.NOT_SENT)
        page = PageRequest(size=_PAGE, cursor=found.next_cursor)
    return Look(Finding.NOTHING)


def _files_all(provider: Provider, config: AccountConfig, entry: OutboxEntry) -> bool:
    """Whether the service files everything that it takes from the account under the Sent that can be read."""
    # What is sent as a shared mailbox is filed under the Sent of the person.
    foreign = config.oauth2 is not None and bool(config.oauth2.shared or config.oauth2.delegated_account)
    return provider.saves_sent_copy and entry.gateway is None and not foreign


def _is_new(message: MessageEntry, entry: OutboxEntry) -> bool:
    return message.date is not None and message.date >= entry.created - _SKEW


def _may_be(message: MessageEntry, entry: OutboxEntry) -> bool:
    return message.message_id == entry.message_id or (message.subject or "") == (entry.subject or "")
