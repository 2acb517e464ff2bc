"""``$filter``: the part of OData's grammar (OData 4.01 part 2, section 5.1.1) that Exchange can evaluate."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from gateway_sandbox.graph_errors import GraphError, bad_request, too_complex

Predicate = Callable[[dict[str, Any]], bool]
Getter = Callable[[dict[str, Any]], Any]
#: Spaces, and string, time, number, word or path, punctuation.
_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<time>\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d)?)?)|(?P<number>-?\d+)"
    r"|(?P<word>[A-Za-z_][\w/.]*)|(?P<mark>[(),:]))"
)
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda left, right: bool(left == right),
    "ne": lambda left, right: bool(left != right),
    "gt": lambda left, right: left is not None and bool(left > right),
    "ge": lambda left, right: left is not None and bool(left >= right),
    "lt": lambda left, right: left is not None and bool(left < right),
    "le": lambda left, right: left is not None and bool(left <= right),
}
_FUNCTIONS: dict[str, Callable[[str, str], bool]] = {
    "startswith": lambda text, part: text.startswith(part),
    "contains": lambda text, part: part in text,
}
_PATHS = {
    path.lower(): path
    for path in (
        *("receivedDateTime", "sentDateTime", "createdDateTime", "lastModifiedDateTime", "subject", "isRead"),
        *("hasAttachments", "importance", "internetMessageId", "conversationId", "parentFolderId", "body/content"),
        *(
            "id",
            "isDraft",
            "inferenceClassification",
            "flag/flagStatus",
            "from/emailAddress/address",
            "from/emailAddress/name",
        ),
        *("sender/emailAddress/address", "sender/emailAddress/name", "displayName", "isHidden", "bodyPreview"),
        *("childFolderCount", "totalItemCount", "unreadItemCount", "changeKey"),
    )
}


class Filter:
    """A filter that was understood.

    Attributes:
        paths: the properties in it, in their order.
        matches: whether a resource passes.
    """

    def __init__(self, matches: Predicate, paths: Sequence[str]) -> None:
        self.matches = matches
        self.paths = tuple(dict.fromkeys(paths))

    def check_order(self, order: Sequence[str]) -> None:
        """Check that the properties of ``$orderby`` come first in the filter, in the same order.

        Raises:
            GraphError: they do not.
        """
        if self.paths[: len(order)] != tuple(order):
            raise too_complex()


def parse_filter(text: str) -> Filter:
    """Read a filter.

    Raises:
        GraphError: it is not one, or more than Exchange can do.
    """
    parser = _Parser(text)
    return Filter(parser.parse(), parser.paths)


def _value(resource: dict[str, Any], path: str) -> Any:
    value: Any = resource
    for name in path.split("/"):
        value = value.get(name) if isinstance(value, dict) else None
    return value


class _Parser:
    """Recursive descent: or, and, not, comparison."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        self._next = 0
        self.paths: list[str] = []
        position = 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                raise self._error(position)
            self._tokens.append((match.lastgroup, match[match.lastgroup]))
            position = match.end()

    def parse(self) -> Predicate:
        predicate = self._or()
        if self._next < len(self._tokens):
            raise self._error()
        return predicate

    def _or(self) -> Predicate:
        terms = [self._and()]
        while self._take_word("or"):
            terms.append(self._and())
        return terms[0] if len(terms) == 1 else lambda resource: any(term(resource) for term in terms)

    def _and(self) -> Predicate:
        terms = [self._unary()]
        while self._take_word("and"):
            terms.append(self._unary())
        return terms[0] if len(terms) == 1 else lambda resource: all(term(resource) for term in terms)

    def _unary(self) -> Predicate:
        if self._take_word("not"):
            negated = self._unary()
            return lambda resource: not negated(resource)
        if self._take_mark("("):
            inner = self._or()
            self._expect(")")
            return inner
        kind, word = self._take()
        if kind != "word":
            raise self._error()
        if word.lower() in _FUNCTIONS:
            return self._function(word.lower())
        if word.lower().endswith(("/any", "/all")):
            return self._any(word)
        if self._peek() == ("mark", "("):
            raise _invalid_nodes()
        return self._comparison(word)

    def _comparison(self, word: str) -> Predicate:
        get, path = self._property(word)
        kind, operator = self._take()
        compare = _COMPARISONS.get(operator.lower())
        if kind != "word" or compare is None:
            raise self._error()
        wanted = self._literal(path)
        return lambda resource: compare(_comparable(get(resource), wanted), wanted)

    def _function(self, name: str) -> Predicate:
        self._expect("(")
        get, path = self._property(self._take()[1])
        self._expect(",")
        wanted = self._literal(path)
        self._expect(")")
        if not isinstance(wanted, str):
            raise _invalid_nodes()
        test = _FUNCTIONS[name]
        predicate: Predicate = lambda resource: test(str(get(resource) or "").casefold(), wanted)  # noqa: E731
        if self._take_word("eq"):
            negated = self._take()[1].lower() == "false"
            return lambda resource: predicate(resource) is not negated
        return predicate

    def _any(self, word: str) -> Predicate:
        """Read ``categories/any(c:c eq 'x')``; recipients cannot be filtered, as in reality."""
        if word.lower() != "categories/any":
            raise _invalid_nodes()
        self._expect("(")
        variable = self._take()[1]
        self._expect(":")
        if self._take()[1] != variable or not self._take_word("eq"):
            raise _invalid_nodes()
        wanted = self._literal("categories")
        self._expect(")")
        self.paths.append("categories")
        return lambda resource: any(name.casefold() == wanted for name in resource["categories"])

    def _property(self, word: str) -> tuple[Getter, str]:
        path = _PATHS.get(word.lower())
        if path is None:
            raise _invalid_nodes()
        self.paths.append(path)
        return lambda resource: _value(resource, path), path

    def _literal(self, path: str) -> Any:
        kind, text = self._take()
        if kind == "string":
            plain = text[1:-1].replace("''", "'")
            return plain if path in _EXACT else plain.casefold()
        if kind == "time":
            try:
                moment = datetime.fromisoformat(text)
            except ValueError as error:
                raise self._error() from error
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        if kind == "number":
            return int(text)
        if text.lower() not in {"true", "false", "null"}:
            raise self._error()
        return {"true": True, "false": False, "null": None}[text.lower()]

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._next] if self._next < len(self._tokens) else ("", "")

    def _take(self) -> tuple[str, str]:
        if self._next >= len(self._tokens):
            raise self._error(len(self._text))
        self._next += 1
        return self._tokens[self._next - 1]

    def _take_word(self, word: str) -> bool:
        kind, text = self._peek()
        taken = kind == "word" and text.lower() == word
        self._next += taken
        return taken

    def _take_mark(self, mark: str) -> bool:
        taken = self._peek() == ("mark", mark)
        self._next += taken
        return taken

    def _expect(self, mark: str) -> None:
        if not self._take_mark(mark):
            raise self._error()

    def _error(self, position: int | None = None) -> GraphError:
        where = self._next if position is None else position
        message = f"Invalid filter clause: Syntax error at position {where} in '{self._text}'."
        return bad_request(message, "ErrorInvalidUrlQueryFilter")


#: Compared with respect to case.
_EXACT = frozenset({"id", "conversationId", "parentFolderId", "changeKey"})


def _comparable(value: Any, wanted: Any) -> Any:
    if isinstance(wanted, datetime):
        return None if value is None else datetime.fromisoformat(value)
    if isinstance(value, str) and isinstance(wanted, str) and wanted == wanted.casefold():
        return value.casefold()
    return value if type(value) is type(wanted) or wanted is None else None


def _invalid_nodes() -> GraphError:
    return bad_request("The query filter contains one or more invalid nodes.", "ErrorInvalidUrlQueryFilter")
