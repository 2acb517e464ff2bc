"""Searches of one mailbox.

The plan: ids that are named are fetched; what Graph can filter and sort by itself is a listing with a filter; where
words have to be searched for, or something only shows in the message, candidates are collected and looked at here.
Graph refuses to combine ``$search`` with ``$filter`` or ``$orderby``, and some filters with an order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.errors import InvalidIdentifierError, NotFoundError, UnsupportedOperationError
from gateway.model.message import SearchQuery
from gateway.provider import MessagePage, PageRequest, slice_page
from gateway_outlook_graph import mapping
from gateway_outlook_graph.client import GraphClient, Request, path, read
from gateway_outlook_graph.criteria import Criterion, criteria, wanted_ids
from gateway_outlook_graph.folders import Mailboxes
from gateway_outlook_graph.following import token_of
from gateway_outlook_graph.ids import CURSOR_KIND
from gateway_outlook_graph.listing import Listing
from gateway_outlook_graph.priority import Priority
from gateway_outlook_graph.reading import Reading
from gateway_outlook_graph.resources import EXPAND_ATTACHMENTS, EXPAND_VERB, SHOWN, Message, Messages

_PAGE = 200
#: Messages that are looked at here at most.
_CANDIDATES = 5_000
#: What ``$search`` finds at most; it does not tell that there is more.
_SEARCHED = 1_000
_QUERY = {"$select": ",".join(SHOWN), "$expand": f"{EXPAND_VERB},{EXPAND_ATTACHMENTS}", "$top": str(_PAGE)}

#: More than this Graph does not put on a page.
_IDS = {"$select": "id,receivedDateTime", "$top": "1000"}


class Searching:
    """Searches."""

    def __init__(self, client: GraphClient, mailboxes: Mailboxes, reading: Reading, listing: Listing) -> None:
        self._client = client
        self._mailboxes = mailboxes
        self._reading = reading
        self._listing = listing

    async def page(self, mailbox: str, query: SearchQuery, request: PageRequest) -> MessagePage:
        """Return a page of what matches; see `gateway.provider.Session.search`.

        Raises:
            UnsupportedOperationError: a term that means nothing here, or too many messages to look at.
        """
        folder = await self._mailboxes.folder(mailbox)
        wanted, ids = criteria(query), wanted_ids(query)
        filters = [each.filter for each in wanted if each.filter is not None]
        if ids is None and len(filters) == len(wanted):
            try:
                return await self._listing.page(mailbox, request, " and ".join(filters) or None)
            except UnsupportedOperationError:
                # Graph filters it, but not in this order.
                pass
        candidates = await self._candidates(folder, wanted, filters, ids)
        found = mapping.newest_first(one for one in candidates if _matches(one, wanted))
        part = slice_page(CURSOR_KIND, request, [mapping.place(message) for message in found])
        place = await self._mailboxes.place(folder)
        return MessagePage(
            total=len(found),
            page=part.page,
            messages=tuple(mapping.entry(message, *place) for message in found[part.messages]),
            next_cursor=part.next_cursor,
            previous_cursor=part.previous_cursor,
        )

    async def ids(self, mailbox: str, query: SearchQuery) -> list[str]:
        """Return the id of every message that matches, newest first; see `page`."""
        folder = await self._mailboxes.folder(mailbox)
        wanted, ids = criteria(query), wanted_ids(query)
        filters = [each.filter for each in wanted if each.filter is not None]
        if ids is None and len(filters) == len(wanted):
            filtered = {"$filter": " and ".join(filters)} if filters else {}
            found = await self._collected(folder, {**_IDS, **filtered}, most=None)
        else:
            candidates = await self._candidates(folder, wanted, filters, ids)
            found = [message for message in candidates if _matches(message, wanted)]
        return [message.id for message in mapping.newest_first(found)]

    async def _candidates(
        self, folder: str, wanted: Sequence[Criterion], filters: Sequence[str], ids: Sequence[str] | None
    ) -> list[Message]:
        if ids is not None and all(each.matches is not None for each in wanted):
            found = await self._reading.several(ids, Priority.INTERACTIVE)
            return [message for message in found if message.parent_folder_id == folder]
        if any(each.search is not None and each.filter is None for each in wanted):
            searches = [each.search for each in wanted if each.search is not None]
            phrase = " AND ".join(searches).replace("\\", "\\\\").replace('"', '\\"')
            found = await self._collected(folder, {**_QUERY, "$search": f'"{phrase}"'})
            if len(found) >= _SEARCHED:
                raise UnsupportedOperationError("Microsoft Graph finds only a part of this: add a term, e.g. since")
            return [message for message in found if ids is None or message.id in ids]
        return await self._collected(folder, {**_QUERY, **({"$filter": " and ".join(filters)} if filters else {})})

    async def _collected(
        self, folder: str, query: Mapping[str, str], *, most: int | None = _CANDIDATES
    ) -> list[Message]:
        """Read all pages of a listing without an order, of `most` messages if it is not to be any number."""
        found: list[Message] = []
        place = path("mailFolders", folder, "messages")
        following: Mapping[str, str] = {}
        while True:
            try:
                page = read(await self._client.call(Request(path=place, query={**query, **following})), Messages)
            except (NotFoundError, InvalidIdentifierError):
                self._mailboxes.forget()
                raise NotFoundError("there is no such mailbox") from None
            found += page.value
            if page.next_link is None or not page.value:
                return found
            if most is not None and len(found) >= most:
                raise UnsupportedOperationError("too many messages to look at: add a term, e.g. since")
            following = dict([token_of(page.next_link, "$skiptoken", "$skip")])


def _matches(message: Message, wanted: Sequence[Criterion]) -> bool:
    return all(each.matches is None or each.matches(message) for each in wanted)
