"""Searches of one mailbox, or of all mail.

The plan: ids that are named are fetched; what Graph can filter and sort by itself is a listing with a filter; where
words have to be searched for, or something only shows in the message, candidates are collected and looked at here.
Where ``$search`` would find only a part of them, it searches day by day, in spans that are split until each is found
whole. Graph refuses to combine ``$search`` with ``$filter`` or ``$orderby``, and some filters with an order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from gateway.errors import InvalidIdentifierError, MailboxNotFoundError, NotFoundError, UnsupportedOperationError
from gateway.model.message import SearchQuery
from gateway.provider import MessagePage, PageRequest, slice_page
from gateway_outlook_graph import mapping
from gateway_outlook_graph.client import GraphClient, Request, read
from gateway_outlook_graph.criteria import Criterion, criteria, refusal, wanted_ids
from gateway_outlook_graph.folders import Mailboxes
from gateway_outlook_graph.following import token_of
from gateway_outlook_graph.ids import CURSOR_KIND
from gateway_outlook_graph.listing import Listing
from gateway_outlook_graph.priority import Priority
from gateway_outlook_graph.reading import Reading
from gateway_outlook_graph.resources import EXPAND_ATTACHMENTS, EXPAND_VERB, SHOWN, Message, Messages
from gateway_outlook_graph.scope import Scope, entries, scope_of

_PAGE = 200
#: Messages that are looked at here at most.
_CANDIDATES = 5_000
#: What ``$search`` finds at most; it does not tell that there is more.
_SEARCHED = 1_000
#: Calls for one search in words.
_CALLS = 40
_QUERY = {"$select": ",".join(SHOWN), "$expand": f"{EXPAND_VERB},{EXPAND_ATTACHMENTS}", "$top": str(_PAGE)}

_ONLY_A_PART = "Microsoft Graph finds only a part of this: add a term, e.g. since"
_DAY = timedelta(days=1)
#: Days from the first to the last; None where it is open.
_Span = tuple[date | None, date | None]

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
        scope = await scope_of(self._mailboxes, mailbox)
        wanted, ids = criteria(query), wanted_ids(query)
        filters = [each.filter for each in wanted if each.filter is not None]
        if ids is None and len(filters) == len(wanted):
            try:
                return await self._listing.page(mailbox, request, " and ".join(filters) or None)
            except UnsupportedOperationError:
                # Graph filters it, but not in this order.
                pass
        candidates = await self._candidates(scope, wanted, filters, ids)
        found = mapping.newest_first(one for one in candidates if _matches(one, wanted))
        part = slice_page(CURSOR_KIND, request, [mapping.place(message) for message in found])
        return MessagePage(
            total=len(found),
            page=part.page,
            messages=await entries(self._mailboxes, found[part.messages]),
            next_cursor=part.next_cursor,
            previous_cursor=part.previous_cursor,
        )

    async def ids(self, mailbox: str, query: SearchQuery) -> list[str]:
        """Return the id of every message that matches, newest first; see `page`."""
        scope = await scope_of(self._mailboxes, mailbox)
        wanted, ids = criteria(query), wanted_ids(query)
        filters = [each.filter for each in wanted if each.filter is not None]
        if ids is None and len(filters) == len(wanted):
            filtered = {"$filter": " and ".join(filters)} if filters else {}
            found = await self._collected(scope, {**_IDS, **filtered}, bounded=False)
        else:
            candidates = await self._candidates(scope, wanted, filters, ids)
            found = [message for message in candidates if _matches(message, wanted)]
        return [message.id for message in mapping.newest_first(found)]

    async def _candidates(
        self, scope: Scope, wanted: Sequence[Criterion], filters: Sequence[str], ids: Sequence[str] | None
    ) -> list[Message]:
        if ids is not None and all(each.matches is not None for each in wanted):
            found = await self._reading.several(ids, Priority.INTERACTIVE)
            return [message for message in found if scope.holds(message)]
        if any(each.search is not None and each.filter is None for each in wanted):
            searches = [each.search for each in wanted if each.search is not None]
            phrase = " AND ".join(searches).replace("\\", "\\\\").replace('"', '\\"')
            found = await self._searched(scope, phrase)
            return [message for message in found if ids is None or message.id in ids]
        return await self._collected(scope, {**_QUERY, **({"$filter": " and ".join(filters)} if filters else {})})

    async def _searched(self, scope: Scope, phrase: str) -> list[Message]:
        """Return what Graph finds, from as many spans of days as it takes for each to be found whole."""
        found: dict[str, Message] = {}
        spans: list[_Span] = [(None, None)]
        calls = 0
        while spans:
            first, last = spans.pop()
            since = f" AND received>={first:%Y-%m-%d}" if first is not None else ""
            until = f" AND received<={last:%Y-%m-%d}" if last is not None else ""
            part = await self._collected(scope, {**_QUERY, "$search": f'"{phrase}{since}{until}"'})
            calls += len(part) // _PAGE + 1
            if len(part) < _SEARCHED:
                found |= {message.id: message for message in part}
            else:
                spans += _split(first, last, part)
            if (spans and calls >= _CALLS) or len(found) >= _CANDIDATES:
                raise refusal(_ONLY_A_PART)
        return list(found.values())

    async def _collected(self, scope: Scope, query: Mapping[str, str], *, bounded: bool = True) -> list[Message]:
        """Read all pages of a listing without an order; not more messages than are looked at if it is `bounded`."""
        found: list[Message] = []
        following: Mapping[str, str] = {}
        while True:
            try:
                page = read(
                    await self._client.call(Request(path=scope.messages, query={**query, **following})), Messages
                )
            except (NotFoundError, InvalidIdentifierError):
                self._mailboxes.forget()
                raise MailboxNotFoundError("there is no such mailbox") from None
            except UnsupportedOperationError as error:
                raise refusal(error.message) from error
            found += page.value
            if page.next_link is None or not page.value:
                return found
            if bounded and len(found) >= _CANDIDATES:
                raise refusal("too many messages to look at: add a term, e.g. since")
            following = dict([token_of(page.next_link, "$skiptoken", "$skip")])


def _split(first: date | None, last: date | None, part: Sequence[Message]) -> list[_Span]:
    """Return two spans instead of one, of which only a part was found.

    Mostly that is the newest: the later span shall have most of it, so that it is not split again.

    Raises:
        UnsupportedOperationError: there is nothing to split.
    """
    days = sorted(message.received_date_time.date() for message in part if message.received_date_time is not None)
    if not days or (first is not None and first == last):
        raise refusal(_ONLY_A_PART)
    # Whose days they are Exchange does not tell: one on the edge may be beyond it.
    day = days[len(days) // 5]
    if day == days[0]:
        day = next((one for one in days if one > day), day if first != day else day + _DAY)
    day = max(day, first + _DAY) if first is not None else day
    day = min(day, last) if last is not None else day
    return [(first, day - _DAY), (day, last)]


def _matches(message: Message, wanted: Sequence[Criterion]) -> bool:
    return all(each.matches is None or each.matches(message) for each in wanted)
