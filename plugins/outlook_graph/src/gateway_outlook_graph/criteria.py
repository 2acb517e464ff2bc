"""A search taken apart: what Graph filters, what it searches for, and what is looked at here.

https://learn.microsoft.com/graph/filter-query-parameter, https://learn.microsoft.com/graph/search-query-parameter
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from gateway.errors import UnsupportedOperationError
from gateway.model.message import SearchQuery
from gateway_outlook_graph import mapping
from gateway_outlook_graph.ids import may_be_id
from gateway_outlook_graph.resources import Message, Recipient

Predicate = Callable[[Message], bool]
_FIRST, _LAST = datetime(1900, 1, 2, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
_BARE_ID = re.compile(r"[^<>@\s]+@[^<>@\s]+")


class Criterion(msgspec.Struct, frozen=True, kw_only=True):
    """One condition, in the ways in which it can be put.

    Attributes:
        filter: in OData.
        search: in KQL; finds words, and may find too much. Beside a `filter` it narrows what others search for.
        matches: whether a message fulfils it; None where only the service can tell.
    """

    filter: str | None = None
    search: str | None = None
    matches: Predicate | None = None


def criteria(query: SearchQuery) -> list[Criterion]:
    """Return the conditions of a search, without those for ids (`wanted_ids`).

    Raises:
        UnsupportedOperationError: one of them means nothing here; the text names it.
    """
    meaningless = {
        "seq": query.seq,
        "uid": query.uid,
        "modseq": query.modseq,
        "gmailRaw": query.gmail_raw,
        "deleted": query.deleted or None,
    }
    for term, value in meaningless.items():
        if value is not None:
            raise refusal(f"Microsoft Graph cannot search by {term}", term=term)
    return [*_states(query), *_texts(query), *_times(query), *_sizes(query), *_headers(query), *_labels(query)]


def refusal(text: str, *, term: str | None = None) -> UnsupportedOperationError:
    """Return what a search that Graph cannot make is refused with; `term` is as the API names it."""
    return UnsupportedOperationError(text, code="UnsupportedSearchTerm", term=term)


def wanted_ids(query: SearchQuery) -> list[str] | None:
    """Return the ids that a search is limited to, without those that cannot be any; None when it is not limited."""
    ids = query.email_ids
    if ids is None and query.email_id is not None:
        ids = (query.email_id,)
    return None if ids is None else [id for id in dict.fromkeys(ids) if may_be_id(id)]


def _states(query: SearchQuery) -> Iterator[Criterion]:
    seen = {value for value in (query.seen, None if query.unseen is None else not query.unseen) if value is not None}
    for value in sorted(seen):
        yield Criterion(filter=f"isRead eq {_boolean(value)}", matches=_has("\\Seen", value))
    if query.draft is not None:
        yield Criterion(filter=f"isDraft eq {_boolean(query.draft)}", matches=_has("\\Draft", query.draft))
    if query.flagged is not None:
        operator = "eq" if query.flagged else "ne"
        yield Criterion(filter=f"flag/flagStatus {operator} 'flagged'", matches=_has("\\Flagged", query.flagged))
    if query.answered is not None:
        yield Criterion(matches=_has("\\Answered", query.answered))
    if query.thread_id is not None:
        thread = query.thread_id
        yield Criterion(
            filter=f"conversationId eq {_literal(thread)}", matches=lambda message: message.conversation_id == thread
        )


def _texts(query: SearchQuery) -> Iterator[Criterion]:
    if query.from_:
        text = _literal(query.from_)
        names = ("from/emailAddress/address", "from/emailAddress/name")
        either = " or ".join(f"contains({name},{text})" for name in names)
        yield Criterion(filter=f"({either})", matches=_in_addresses("from", query.from_))
    if query.subject:
        subject = query.subject.casefold()
        yield Criterion(
            filter=f"contains(subject,{_literal(query.subject)})",
            matches=lambda message: subject in (message.subject or "").casefold(),
        )
    for name in ("to", "cc", "bcc"):
        if value := getattr(query, name):
            yield Criterion(search=f'{name}:"{_phrase(value)}"', matches=_in_addresses(name, value))
    if query.body:
        yield Criterion(search=f'body:"{_phrase(query.body)}"')


def _times(query: SearchQuery) -> Iterator[Criterion]:
    """Compare to the second, as Graph does.

    In words it is days, and a day more on either side, as Exchange does not tell whose days it means.
    """
    more = timedelta(days=1)
    for name, word, before, since in (
        ("receivedDateTime", "received", query.before, query.since),
        ("sentDateTime", "sent", query.sent_before, query.sent_since),
    ):
        if before is not None:
            told = _tellable(before)
            yield Criterion(
                filter=f"{name} lt {_time(told)}",
                search=f"{word}<={told + more:%Y-%m-%d}",
                matches=_earlier(name, before, True),
            )
        if since is not None:
            told = _tellable(since)
            yield Criterion(
                filter=f"{name} ge {_time(told)}",
                search=f"{word}>={told - more:%Y-%m-%d}",
                matches=_earlier(name, since, False),
            )


def _sizes(query: SearchQuery) -> Iterator[Criterion]:
    if query.larger is not None:
        yield Criterion(search=f"size>{query.larger}")
    if query.smaller is not None:
        yield Criterion(search=f"size<{query.smaller}")


def _headers(query: SearchQuery) -> Iterator[Criterion]:
    for name, value in (query.header or {}).items():
        if name.lower() == "message-id" and (whole := _message_id(value)) is not None:
            yield Criterion(filter=f"internetMessageId eq {_literal(whole)}", matches=_in_message_id(whole))
        elif name.lower() == "message-id" and value:
            yield Criterion(matches=_in_message_id(value))
        else:
            yield Criterion(matches=_header(name.lower(), value.casefold()))


def _labels(query: SearchQuery) -> Iterator[Criterion]:
    if query.labels is None:
        return
    for label in query.labels.has:
        yield Criterion(filter=f"categories/any(c:c eq {_literal(label)})", matches=_labelled(label, True))
    for label in query.labels.not_:
        yield Criterion(matches=_labelled(label, False))


def _has(flag: str, wanted: bool) -> Predicate:
    return lambda message: (flag in mapping.flags(message)) is wanted


def _labelled(label: str, wanted: bool) -> Predicate:
    return lambda message: (label in (message.categories or ())) is wanted


def _message_id(value: str) -> str | None:
    """Return a Message-ID that is told as a whole, with or without its angle brackets; None when it is a part of one.

    Microsoft does not say that Graph filters by parts of it.
    """
    value = value.strip()
    if value.startswith("<") and value.endswith(">"):
        return value
    return f"<{value}>" if _BARE_ID.fullmatch(value) else None


def _in_message_id(value: str) -> Predicate:
    wanted = value.casefold()
    return lambda message: wanted in (message.internet_message_id or "").casefold()


def _header(name: str, value: str) -> Predicate:
    def matches(message: Message) -> bool:
        values = mapping.headers(message).get(name)
        return values is not None and any(value in each.casefold() for each in values)

    return matches


def _in_addresses(name: str, value: str) -> Predicate:
    wanted = value.casefold()

    def matches(message: Message) -> bool:
        found: dict[str, Iterable[Recipient | None]] = {
            "from": (message.from_,),
            "to": message.to_recipients or (),
            "cc": message.cc_recipients or (),
            "bcc": message.bcc_recipients or (),
        }
        shown = (each.email_address for each in found[name] if each is not None and each.email_address is not None)
        return any(wanted in f"{each.name or ''} <{each.address or ''}>".casefold() for each in shown)

    return matches


def _earlier(name: str, moment: datetime, wanted: bool) -> Predicate:
    def matches(message: Message) -> bool:
        time = message.received_date_time if name == "receivedDateTime" else message.sent_date_time
        return time is not None and (time < moment) is wanted

    return matches


def _tellable(moment: datetime) -> datetime:
    """Return a time that Exchange can be told, also a day before or after it: no mail is beyond these."""
    return min(max(moment, _FIRST), _LAST).astimezone(UTC)


def _time(moment: datetime) -> str:
    return f"{moment.replace(tzinfo=None).isoformat()}Z"


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _phrase(text: str) -> str:
    """Return text for a phrase of KQL, in which no quotation mark can be."""
    return " ".join(text.replace('"', " ").replace("\\", " ").split())
