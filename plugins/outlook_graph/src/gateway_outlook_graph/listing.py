"""Listings of one mailbox, or of all mail, newest first.

A place in a listing (`mapping.place`) is a second, and within it an order of our own, because Graph's is not promised.
So what Graph answers is read to the end of a second before it is cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from gateway.errors import InvalidIdentifierError, MailboxNotFoundError, NotFoundError
from gateway.provider import Listed, MessagePage, PageRequest, Place, cursors, numbered_place, read_cursor
from gateway_outlook_graph import mapping
from gateway_outlook_graph.client import GraphClient
from gateway_outlook_graph.folders import Mailboxes
from gateway_outlook_graph.following import token_of
from gateway_outlook_graph.ids import CURSOR_KIND
from gateway_outlook_graph.mapping import first_place, place_second, second
from gateway_outlook_graph.resources import EXPAND_ATTACHMENTS, EXPAND_VERB, SHOWN, Message, Messages
from gateway_outlook_graph.scope import Scope, entries, scope_of

_QUERY = {"$select": ",".join(SHOWN), "$expand": f"{EXPAND_VERB},{EXPAND_ATTACHMENTS}", "$count": "true"}
_AT = {"$select": "id,receivedDateTime", "$top": "1", "$count": "true", "$orderby": "receivedDateTime desc"}
_MOST = 1000
#: Messages that are read beside those asked for, as they may be of the same second.
_SPARE = 5
#: What comes first in a filter has to be what is sorted by.
_ALWAYS = "receivedDateTime ge 1900-01-01T00:00:00Z"


class _Side(NamedTuple):
    """Messages on one side of a place: those that are nearest to it, in this order, and how many there are."""

    nearest: list[Message]
    number: int


class _Found(NamedTuple):
    """A page, newest first: how many there are in all, how many above it, and the messages."""

    total: int
    first: int
    messages: list[Message]


class Listing:
    """Lists messages."""

    def __init__(self, client: GraphClient, mailboxes: Mailboxes) -> None:
        self._client = client
        self._mailboxes = mailboxes

    async def page(self, mailbox: str, request: PageRequest, filter: str | None = None) -> MessagePage:
        """Return a page of a mailbox, or (`filter`, in OData) of what matches in it.

        Raises:
            NotFoundError: there is no such mailbox.
            CursorExpiredError: not a cursor.
        """
        if request.cursor is None:
            place = numbered_place(request.page, request.size)
        else:
            place = read_cursor(CURSOR_KIND, request.cursor, str)
        scope = await scope_of(self._mailboxes, mailbox)
        try:
            total, first, shown = await self._found(scope, place, request.size, filter)
        except (NotFoundError, InvalidIdentifierError):
            self._mailboxes.forget()
            raise MailboxNotFoundError("there is no such mailbox") from None
        ends = (mapping.place(shown[0]), mapping.place(shown[-1])) if shown else (None, None)
        following, preceding = cursors(
            CURSOR_KIND, place, request.size, Listed(total, min(first, total), len(shown), *ends)
        )
        return MessagePage(
            total=total,
            page=place.page,
            messages=await entries(self._mailboxes, shown),
            next_cursor=following,
            previous_cursor=preceding,
        )

    async def _found(self, scope: Scope, place: Place, size: int, filter: str | None) -> _Found:
        if place.below is None and place.above is None:
            return await self._numbered(scope, place.first, size, filter)
        is_newer = place.below is None
        edge = str(place.above if is_newer else place.below)
        side, (total, _) = await asyncio.gather(
            self._side(scope, size, filter, edge=edge, newer=is_newer), self._at(scope, 0, filter)
        )
        if is_newer:
            return _Found(total, max(0, side.number - len(side.nearest)), side.nearest[::-1])
        return _Found(total, max(0, total - side.number), side.nearest)

    async def _numbered(self, scope: Scope, first: int, size: int, filter: str | None) -> _Found:
        """Return a page by the number of messages above it."""
        if first == 0:
            side = await self._side(scope, size, filter)
            return _Found(side.number, 0, side.nearest)
        total, before = await self._at(scope, first - 1, filter)
        if before is None:
            return _Found(total, first, [])
        # The page begins in this second or after it: what lies above that is the same in every order.
        end = second(before) + 1
        newer, _ = await self._at(scope, 0, _both(f"receivedDateTime ge {_time(end)}", filter))
        above = max(0, first - newer)
        side = await self._side(scope, above + size, filter, edge=first_place(end))
        return _Found(total, first, side.nearest[above:])

    async def _side(
        self, scope: Scope, size: int, filter: str | None, *, edge: str | None = None, newer: bool = False
    ) -> _Side:
        """Return up to so many messages below a place, or above it (`newer`), and count those there are."""
        query = {**_QUERY, "$orderby": "receivedDateTime asc" if newer else "receivedDateTime desc"}
        if edge is not None:
            at = place_second(edge)
            bound = f"receivedDateTime ge {_time(at)}" if newer else f"receivedDateTime lt {_time(at + 1)}"
            query["$filter"] = _both(bound, filter)
        elif filter is not None:
            query["$filter"] = _both(_ALWAYS, filter)
        query["$top"] = str(min(size + _SPARE, _MOST))
        read: list[Message] = []
        following: Mapping[str, str] = {}
        while True:
            page = await self._client.get(Messages, scope.messages, {**query, **following})
            read += page.value
            beyond = sorted((one for one in read if _is_beyond(one, edge, newer)), key=mapping.place, reverse=not newer)
            is_whole = len(beyond) > size and second(beyond[size - 1]) != second(read[-1])
            if is_whole or page.next_link is None or not page.value:
                count = page.count if page.count is not None else len(read)
                return _Side(beyond[:size], count - (len(read) - len(beyond)))
            # Among all mail, Graph skips over more than messages.
            following = dict([token_of(page.next_link, "$skiptoken", "$skip")])

    async def _at(self, scope: Scope, number: int, filter: str | None) -> tuple[int, Message | None]:
        """Return how many messages there are, and the one with so many above it."""
        query = {**_AT, "$skip": str(number), **({} if filter is None else {"$filter": _both(_ALWAYS, filter)})}
        page = await self._client.get(Messages, scope.messages, query)
        return page.count or 0, next(iter(page.value), None)


def _is_beyond(message: Message, edge: str | None, newer: bool) -> bool:
    return edge is None or (mapping.place(message) > edge if newer else mapping.place(message) < edge)


def _both(bound: str, filter: str | None) -> str:
    return bound if filter is None else f"{bound} and {filter}"


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
