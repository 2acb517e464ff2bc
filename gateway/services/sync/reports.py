"""Reading new mail that may report a bounce or a complaint, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

import msgspec
import structlog

from gateway.errors import PermanentError
from gateway.mime.reports import SOURCE_LIMIT, Judgement, judge, may_be_report
from gateway.model.event import EventName
from gateway.model.message import MessageEntry, SpecialUse
from gateway.provider import Session
from gateway.services.bounced import BouncedService
from gateway.services.sync.batches import TIME_LIMIT
from gateway.services.sync.owned import Owned

log = structlog.get_logger(__name__)

#: Where reports arrive. Elsewhere they were put by somebody, and told of before.
_ARRIVING = ("\\Inbox", "\\Junk")


class Reported(NamedTuple):
    """What a message reports.

    Attributes:
        members: of `messageNew`.
        events: names and data of those that follow it.
    """

    members: dict[str, Any]
    events: list[tuple[EventName, msgspec.Struct]]


NOTHING = Reported({}, [])


class Reports:
    """Judges new messages."""

    def __init__(self, bounced: BouncedService) -> None:
        self._bounced = bounced

    async def read(self, session: Session, owned: Owned, entry: MessageEntry, use: SpecialUse | None) -> Reported:
        """Return what a new message reports, and remember the bounces.

        Args:
            session: to read its source with, if it may be a report.
            owned: the account.
            entry: of the message.
            use: what its mailbox is for.

        Raises:
            FencedError: another worker owns the account.
            ProviderError: the connection is lost.
        """
        if use not in _ARRIVING or not may_be_report(entry):
            return NOTHING
        try:
            async with asyncio.timeout(TIME_LIMIT):
                source = await _beginning(session, entry.id)
        except (PermanentError, TimeoutError) as error:
            # It is gone by now, or cannot be read: that it came is told all the same.
            log.info("report_not_read", error=type(error).__name__)
            return NOTHING
        # Judging takes up to a third of a second, and thousands of mailboxes are watched by this loop.
        found = await asyncio.to_thread(judge, source, entry.id)
        members = _members(found)
        if not (found.bounces or found.complaint) or not await self._bounced.claim(owned.account, entry):
            return Reported(members, [])
        await self._bounced.remember(owned.account, owned.epoch, entry, found.bounces)
        events: list[tuple[EventName, msgspec.Struct]] = [("messageBounce", bounce) for bounce in found.bounces]
        if found.complaint is not None:
            events.append(("messageComplaint", found.complaint))
        return Reported(members, events)


async def _beginning(session: Session, id: str) -> bytes:
    octets = bytearray()
    chunks = session.source(id)
    async for chunk in chunks:
        octets += chunk
        if len(octets) >= SOURCE_LIMIT:
            break
    if isinstance(chunks, AsyncGenerator):
        # The session is used again at once.
        await chunks.aclose()
    return bytes(octets[:SOURCE_LIMIT])


def _members(found: Judgement) -> dict[str, Any]:
    return {
        "is_bounce": bool(found.bounces),
        "is_complaint": found.complaint is not None,
        "related_message_id": found.related,
        "delivery_report": found.delivery_report,
    }
