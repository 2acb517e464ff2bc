"""System query options (OData 4.01 part 2, section 5.1) as Outlook's part of Graph takes and refuses them.

https://learn.microsoft.com/graph/query-parameters
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from gateway_sandbox.graph_errors import bad_request
from gateway_sandbox.graph_filter import Filter, parse_filter
from gateway_sandbox.graph_search import Search, parse_search

DEFAULT_TOP = 10
MAX_TOP = 1000
#: With ``$search`` no more than these are found.
MAX_SEARCH = 1000


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One key of ``$orderby``."""

    path: str
    descending: bool


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a listing; `token` is where the page before it ended."""

    top: int
    skip: int
    select: tuple[str, ...] | None
    filter: Filter | None
    order: tuple[Order, ...]
    search: Search | None
    count: bool
    expand: str


def parse_query(options: Mapping[str, str], properties: Mapping[str, object], kind: str) -> Query:
    """Read the options.

    Args:
        options: names in lower case.
        properties: what the resource has, by name.
        kind: the name of the resource, for refusals.

    Raises:
        GraphError: an option is wrong, or two do not go together.
    """
    search = parse_search(options["$search"]) if "$search" in options else None
    if search is not None:
        _check_search(options)
    found = parse_filter(options["$filter"]) if "$filter" in options else None
    return Query(
        top=_number(options, "$top", DEFAULT_TOP, 1, MAX_TOP),
        skip=_number(options, "$skip", 0, 0, 2**31),
        select=selection(options, properties, kind),
        filter=found,
        order=_order(options.get("$orderby", ""), found),
        search=search,
        count=options.get("$count", "false").lower() == "true",
        expand=options.get("$expand", ""),
    )


def selection(options: Mapping[str, str], properties: Mapping[str, object], kind: str) -> tuple[str, ...] | None:
    """Return the properties of ``$select`` by their real names, or None when it is not given.

    Raises:
        GraphError: there is no such property.
    """
    names = [name.strip() for name in options.get("$select", "").split(",") if name.strip()]
    if not names or "*" in names:
        return None
    real = {name.lower(): name for name in properties}
    for name in names:
        if name.lower() not in real:
            message = f"Could not find a property named '{name}' on type 'Microsoft.OutlookServices.{kind}'."
            raise bad_request(f"Parsing OData Select and Expand failed: {message}", "RequestBroker--ParseUri")
    return tuple(real[name.lower()] for name in names)


def _check_search(options: Mapping[str, str]) -> None:
    for name, shown, code in (
        ("$orderby", "$orderBy", "SearchWithOrderBy"),
        ("$filter", "$filter", "SearchWithFilter"),
        ("$skip", "$skip", "SearchWithSkip"),
        ("$count", "$count", "SearchWithCount"),
    ):
        if name in options:
            raise bad_request(f"The query parameter '{shown}' is not supported with '$search'.", code)


def _number(options: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = options.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"\d{1,9}", text) or not least <= int(text) <= most:
        raise bad_request(f"Invalid value '{text}' for {name} query option found.", "ErrorInvalidUrlQuery")
    return int(text)


def _order(text: str, found: Filter | None) -> tuple[Order, ...]:
    order = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"([\w/]+)(?:\s+(asc|desc))?", word, re.IGNORECASE)
        if match is None:
            raise bad_request(f"Syntax error at position 0 in '{text}'.", "ErrorInvalidUrlQuery")
        path = _SORTABLE.get(match[1].lower())
        if path is None:
            raise bad_request(f"The property '{match[1]}' does not support sorting.", "ErrorInvalidUrlQuery")
        order.append(Order(path=path, descending=(match[2] or "").lower() == "desc"))
    if found is not None and order:
        found.check_order([key.path for key in order])
    return tuple(order)


_SORTABLE = {
    path.lower(): path
    for path in (
        *("receivedDateTime", "sentDateTime", "createdDateTime", "lastModifiedDateTime", "subject", "isRead"),
        *("hasAttachments", "importance", "isDraft", "from/emailAddress/address", "from/emailAddress/name"),
        *("sender/emailAddress/address", "sender/emailAddress/name", "displayName", "flag/flagStatus"),
    )
}
