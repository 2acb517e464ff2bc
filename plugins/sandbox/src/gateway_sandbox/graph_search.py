"""``$search``: keywords and properties of KQL, as Outlook's search takes them.

https://learn.microsoft.com/graph/search-query-parameter
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import msgspec

from gateway_sandbox.graph_errors import GraphError, bad_request

Predicate = Callable[["Searched"], bool]
_TOKEN = re.compile(
    r"\s*(?:(?P<mark>[()])|(?:(?P<name>[A-Za-z]+)\s*(?P<operator>:|>=|<=|<>|>|<|=)\s*)?"
    r'(?:"(?P<phrase>[^"]*)"|(?P<word>[^\s()"]+)))'
)
_WORDS = re.compile(r"\w+")
_DATES = frozenset({"received", "sent"})


class Searched(msgspec.Struct, frozen=True, kw_only=True):
    """What a search looks at: texts and facts by KQL's property names."""

    texts: Mapping[str, str]
    facts: Mapping[str, Any]
    now: datetime


class Search:
    """A search that was understood."""

    def __init__(self, matches: Predicate) -> None:
        self.matches = matches


def parse_search(text: str) -> Search:
    """Read a search clause.

    Raises:
        GraphError: it is not in quotation marks though it must be, or no search.
    """
    text = text.strip()
    if text.startswith('"'):
        if len(text) < 2 or not text.endswith('"'):
            raise _syntax_error(text, len(text))
        text = text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    else:
        for position, character in enumerate(text):
            if character not in " ()" and not character.isalnum():
                message = f"Syntax error: character '{character}' is not valid at position {position} in '{text}'."
                raise bad_request(message)
    if not text.strip():
        raise bad_request("The search query is empty.", "ErrorInvalidUrlQuery")
    return Search(_Parser(text).parse())


class _Parser:
    """Recursive descent: OR, AND (also by mere sequence), NOT, keyword."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[dict[str, str | None]] = []
        self._next = 0
        position = 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if match is None:
                raise _syntax_error(text, position)
            self._tokens.append(match.groupdict())
            position = match.end()

    def parse(self) -> Predicate:
        predicate = self._or()
        if self._next < len(self._tokens):
            raise _syntax_error(self._text, self._next)
        return predicate

    def _or(self) -> Predicate:
        terms = [self._and()]
        while self._take("OR"):
            terms.append(self._and())
        return lambda message: any(term(message) for term in terms)

    def _and(self) -> Predicate:
        terms = [self._not()]
        while self._next < len(self._tokens) and not self._at(")") and not self._at("OR"):
            self._take("AND")
            terms.append(self._not())
        return lambda message: all(term(message) for term in terms)

    def _not(self) -> Predicate:
        if self._take("NOT"):
            negated = self._not()
            return lambda message: not negated(message)
        if self._take("("):
            inner = self._or()
            if not self._take(")"):
                raise _syntax_error(self._text, len(self._text))
            return inner
        if self._next >= len(self._tokens) or self._at(")"):
            raise _syntax_error(self._text, len(self._text))
        token = self._tokens[self._next]
        self._next += 1
        return _keyword(token)

    def _at(self, word: str) -> bool:
        if self._next >= len(self._tokens):
            return False
        token = self._tokens[self._next]
        return token["name"] is None and word in (token["mark"], token["word"])

    def _take(self, word: str) -> bool:
        taken = self._at(word)
        self._next += taken
        return taken


def _keyword(token: Mapping[str, str | None]) -> Predicate:
    value = token["phrase"] if token["phrase"] is not None else token["word"] or ""
    if token["name"] is None:
        return _text_predicate(_EVERYWHERE, value)
    name, operator = token["name"].lower(), token["operator"] or ":"
    if name in _DATES:
        return _date_predicate(name, operator, value)
    if name == "size":
        return _size_predicate(operator, value)
    if name in _FACTS:
        wanted = value.casefold()
        return lambda message: str(message.facts[_FACTS[name]]).casefold() == wanted
    if name in _TEXTS:
        return _text_predicate(_TEXTS[name], value)
    # A property that is not there makes KQL look for the words themselves.
    return _text_predicate(_EVERYWHERE, f"{token['name']} {value}")


def _text_predicate(names: tuple[str, ...], value: str) -> Predicate:
    prefix = value.endswith("*")
    wanted = _words(value)
    if not wanted:
        return lambda message: False
    return lambda message: any(_contains(_words(message.texts[name]), wanted, prefix=prefix) for name in names)


def _contains(words: list[str], wanted: list[str], *, prefix: bool) -> bool:
    *first, last = wanted
    for start in range(len(words) - len(wanted) + 1):
        end = words[start + len(first)]
        if words[start : start + len(first)] == first and (end.startswith(last) if prefix else end == last):
            return True
    return False


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return _WORDS.findall("".join(character for character in plain if not unicodedata.combining(character)))


def _date_predicate(name: str, operator: str, value: str) -> Predicate:
    low, _, high = value.partition("..")
    if high:
        return lambda message: _day(low, message.now) <= message.facts[name] < _day(high, message.now) + _DAY

    def matches(message: Searched) -> bool:
        begin, moment = _day(low, message.now), message.facts[name]
        end = begin + timedelta(days=7) if value.lower() == "this week" else begin + _DAY
        return bool(
            {
                ">=": moment >= begin,
                ">": moment >= end,
                "<=": moment < end,
                "<": moment < begin,
                "<>": not begin <= moment < end,
            }.get(operator, begin <= moment < end)
        )

    return matches


_DAY = timedelta(days=1)


def _day(text: str, now: datetime) -> datetime:
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    named = {"today": today, "yesterday": today - _DAY, "this week": today - timedelta(days=today.weekday())}
    if text.lower() in named:
        return named[text.lower()]
    for form in ("%Y-%m-%d", "%m/%d/%Y", "%Y-%m-%dT%H:%M:%SZ"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise bad_request(f"The date '{text}' is not valid.", "ErrorInvalidUrlQuery")


def _size_predicate(operator: str, value: str) -> Predicate:
    low, _, high = value.partition("..")
    if not low.isdigit() or (high and not high.isdigit()):
        raise bad_request(f"The size '{value}' is not valid.", "ErrorInvalidUrlQuery")
    least, most = int(low), int(high or low)
    tests: dict[str, Callable[[int], bool]] = {
        ">=": lambda size: size >= least,
        ">": lambda size: size > least,
        "<=": lambda size: size <= least,
        "<": lambda size: size < least,
        "<>": lambda size: size != least,
    }
    test = tests.get(operator)
    if test is None:
        return lambda message: bool(least <= message.facts["size"] <= most)
    return lambda message: test(message.facts["size"])


_TEXTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "attachment": ("attachment",),
        "bcc": ("bcc",),
        "body": ("body",),
        "cc": ("cc",),
        "from": ("from",),
        "participants": ("from", "to", "cc", "bcc"),
        "recipients": ("to", "cc", "bcc"),
        "subject": ("subject",),
        "to": ("to",),
        "category": ("category",),
    }
)
_FACTS = MappingProxyType(
    {
        "hasattachment": "hasattachment",
        "hasattachments": "hasattachment",
        "importance": "importance",
        "kind": "kind",
        "isread": "isread",
        "isflagged": "isflagged",
    }
)
#: Where words without a property are looked for.
_EVERYWHERE = ("from", "subject", "body", "to", "cc", "bcc", "attachment")


def _syntax_error(text: str, position: int) -> GraphError:
    return bad_request(f"Syntax error: at position {position} in '{text}'.")
