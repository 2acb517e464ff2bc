"""Lists of messages: filter, search, order, pages.

https://learn.microsoft.com/graph/api/user-list-messages
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from gateway_sandbox.graph_call import PREFIX, Call
from gateway_sandbox.graph_errors import bad_request
from gateway_sandbox.graph_mail import Mail, sorted_by
from gateway_sandbox.graph_query import MAX_SEARCH, Order, Query, parse_query
from gateway_sandbox.graph_resources import PROPERTIES, Shown, importance
from gateway_sandbox.graph_search import Search, Searched
from gateway_sandbox.web import Response

#: Expanded and filtered beside what a message shows.
SELECTABLE = {**PROPERTIES, "attachments": None, "singleValueExtendedProperties": None, "extensions": None}
#: The usual orders, for which not all messages need be read.
_NEWEST_FIRST = ((), (Order(path="receivedDateTime", descending=True),))


class Listing:
    """Answers lists and counts of messages."""

    def __init__(self, mail: Mail) -> None:
        self._mail = mail

    async def page(self, call: Call) -> Response:
        """Answer one page of the messages of a folder, or of all."""
        query = parse_query(call.query, SELECTABLE, "Message")
        start = _position(call) if query.search is not None else query.skip
        total, page = self._page(call, query, start)
        answer: dict[str, Any] = {"@odata.context": call.context("messages")}
        if query.count:
            answer["@odata.count"] = total
        answer["value"] = [self._mail.resource(shown, query.select, query.expand) for shown in page]
        following = start + query.top
        if following < total:
            token = {"$skiptoken": _token(following)} if query.search is not None else {"$skip": str(following)}
            answer["@odata.nextLink"] = next_link(call, {"$top": str(query.top), **token})
        return call.answer(answer)

    async def number(self, call: Call) -> Response:
        """Answer the number of messages as text."""
        query = parse_query(call.query, SELECTABLE, "Message")
        return Response(body=str(len(self._found(call, query))).encode(), content_type="text/plain")

    def _page(self, call: Call, query: Query, start: int) -> tuple[int, list[Shown]]:
        """Return how many messages there are, and those of a page."""
        if query.filter is not None or query.search is not None or query.order not in _NEWEST_FIRST:
            found = self._found(call, query)
            return len(found), found[start : start + query.top]
        folder = self._mail.folder(call) if "folder" in call.arguments else None
        counts = self._mail.items.counts(call.owner)
        total = sum(number for number, _ in counts.values()) if folder is None else counts.get(folder, (0, 0))[0]
        items = self._mail.items.newest(call.owner, folder, query.top, start)
        return total, [self._mail.shown(call, item) for item in items]

    def _found(self, call: Call, query: Query) -> list[Shown]:
        items = (
            self._mail.items.of_mailbox(self._mail.folder(call))
            if "folder" in call.arguments
            else self._mail.items.of_owner(call.owner)
        )
        shown = [self._mail.shown(call, item) for item in items]
        if query.filter is not None:
            names = {path.partition("/")[0] for path in query.filter.paths}
            matches = query.filter.matches
            known = names & PROPERTIES.keys()
            shown = [one for one in shown if matches({name: PROPERTIES[name](one) for name in known})]
        if query.search is not None:
            return self._searched(shown, query.search)
        keys = [(_sort_key(order.path), order.descending) for order in query.order]
        return sorted_by(shown, keys)

    def _searched(self, shown: list[Shown], search: Search) -> list[Shown]:
        now = self._mail.clock()
        matching = [one for one in shown if search.matches(_searched(one, now))]
        return sorted_by(matching, [])[:MAX_SEARCH]


def next_link(call: Call, changes: dict[str, str]) -> str:
    """Return the address of the next page: the same call with other options."""
    path = "/".join(quote(segment) for segment in call.request.path.removeprefix(PREFIX).split("/"))
    options = {name: value for name, value in call.query.items() if name not in {"$skip", "$skiptoken"}}
    return f"{call.base}{path}?{urlencode({**options, **changes}, safe='$', quote_via=quote)}"


def _sort_key(path: str) -> Any:
    if path in {"receivedDateTime", "createdDateTime"}:
        # More exact than what is shown.
        return lambda shown: (shown.item.received, shown.item.id)
    name, *rest = path.split("/")

    def key(shown: Shown) -> Any:
        value = PROPERTIES[name](shown)
        for part in rest:
            value = (value or {}).get(part)
        return value.casefold() if isinstance(value, str) else (value if value is not None else "")

    return key


def _searched(shown: Shown, now: datetime) -> Searched:
    parsed = shown.parsed
    texts = {
        name: " ".join(f"{address.name} {address.address}" for address in parsed.addresses(name))
        for name in ("from", "to", "cc", "bcc")
    }
    texts |= {
        "subject": parsed.field("subject") or "",
        "body": parsed.plain,
        "attachment": " ".join(attached.name for attached in parsed.attachments),
        "category": " ".join(shown.item.properties.categories),
    }
    facts = {
        "received": shown.item.received,
        "sent": parsed.sent() or shown.item.received,
        "size": sum(len(attached.content) for attached in parsed.attachments) + len(parsed.plain),
        "hasattachment": parsed.has_attachments,
        "importance": importance(shown),
        "kind": "email",
        "isread": r"\Seen" in shown.item.flags,
        "isflagged": r"\Flagged" in shown.item.flags,
    }
    return Searched(texts=texts, facts=facts, now=now)


def _token(position: int) -> str:
    return base64.urlsafe_b64encode(f"s{position}".encode()).decode()


def _position(call: Call) -> int:
    if "$skiptoken" not in call.query:
        return 0
    try:
        text = base64.urlsafe_b64decode(call.query["$skiptoken"]).decode()
        return int(text.removeprefix("s"))
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise bad_request("The skip token is not valid.", "ErrorInvalidUrlQuery") from error
