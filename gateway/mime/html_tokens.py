"""HTML cut into tags and text as browsers cut it (HTML standard, section 13.2.5), in time that grows with its length.

The parser of the standard library reads on to the end again at every tag that is not closed: a letter of some hundred
kilobytes keeps it busy for minutes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import escape, unescape
from typing import NamedTuple

__all__ = ["RAW", "VOID", "Tag", "tokens", "with_attributes"]

#: Elements that have no end.
VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
)
#: Elements whose content is no markup.
RAW = frozenset(("script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes", "noscript"))

# White space is these five characters and no others. All repetition is possessive: nothing is read twice.
_VALUE = r"""(?:"([^"]*+)(?:"|\Z)|'([^']*+)(?:'|\Z)|([^\t\n\f\r >"'][^\t\n\f\r >]*+)|(?=>)|\Z)"""
_ATTRIBUTE = r"([^\t\n\f\r />][^\t\n\f\r />=]*+)(?:[\t\n\f\r ]*+=[\t\n\f\r ]*+" + _VALUE + ")?+"
_UNNAMED = re.sub(r"\((?!\?)", "(?:", _ATTRIBUTE)
_TAG = r"<(?P<end>/?)(?P<name>[a-zA-Z][^\t\n\f\r />]*+)(?P<rest>(?:[\t\n\f\r /]++|" + _UNNAMED + r")*+)(?:>|\Z)"
_COMMENT = r"<!--(?:-?>|.*?(?:--!?>|\Z))|<(?:[!?]|/[^a-zA-Z])(?<!/>)[^>]*+(?:>|\Z)|</>"
_MARKUP = re.compile(f"{_TAG}|{_COMMENT}", re.DOTALL)
_ATTRIBUTES = re.compile(_ATTRIBUTE)
_RAW_END = {name: re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE | re.ASCII) for name in RAW}


class Tag(NamedTuple):
    """A start or end tag; the name is in lower case, attributes are as they were written."""

    name: str
    is_end: bool
    rest: str

    def attribute(self, name: str) -> str | None:
        """Return the value of an attribute, decoded; the first of its name counts."""
        for found in _ATTRIBUTES.finditer(self.rest):
            if found[1].lower() == name:
                return _value(found)
        return None

    def attribute_count(self) -> int:
        """Return how many attributes the tag has, those of the same name included."""
        return sum(1 for _ in _ATTRIBUTES.finditer(self.rest))


def tokens(html: str) -> Iterator[Tag | str]:
    """Yield tags and the text between them, undecoded; the content of raw elements is one text."""
    for found, start, end in _pieces(html):
        if found is None:
            yield html[start:end]
        elif found["name"] is not None:
            yield _tag(found)


def with_attributes(html: str, change: Callable[[str, str, str], str | None]) -> str:
    """Return HTML with other values of attributes of start tags; all else is as it was, octet by octet.

    Args:
        html: a page or a part of one.
        change: gets the names of an element and of an attribute, in lower case, and its value, decoded; returns
            another value, or None to leave it as it is written. Of attributes of one name the first counts.
    """
    made, kept = [], 0
    for found, _, _ in _pieces(html):
        if found is None or found["end"] or found["name"] is None:
            continue
        offset, element, seen = found.start("rest"), _tag(found).name, set()
        for each in _ATTRIBUTES.finditer(found["rest"]):
            name = each[1].lower()
            value = None if name in seen else change(element, name, _value(each))
            seen.add(name)
            if value is not None:
                made += [html[kept : offset + each.start()], f'{each[1]}="{escape(value)}"']
                kept = offset + each.end()
    return "".join((*made, html[kept:]))


def _pieces(html: str) -> Iterator[tuple[re.Match[str] | None, int, int]]:
    """Yield markup, and text as None, each with where it begins and ends."""
    position = 0
    while (found := _MARKUP.search(html, position)) is not None:
        if found.start() > position:
            yield None, position, found.start()
        position = found.end()
        yield found, found.start(), position
        if found["name"] is not None and not found["end"] and (name := _tag(found).name) in RAW:
            end = _RAW_END[name].search(html, position)
            stop = len(html) if end is None else end.start()
            if stop > position:
                yield None, position, stop
            position = stop
    if position < len(html):
        yield None, position, len(html)


def _tag(found: re.Match[str]) -> Tag:
    name = found["name"]
    # A letter of another alphabet may have a lower case in ASCII.
    return Tag(name.lower() if name.isascii() else name, bool(found["end"]), found["rest"])


def _value(attribute: re.Match[str]) -> str:
    return unescape(attribute[2] or attribute[3] or attribute[4] or "")
