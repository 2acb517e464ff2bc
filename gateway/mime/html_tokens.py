"""HTML cut into tags and text as browsers cut it (HTML standard, section 13.2.5), in time that grows with its length.

The parser of the standard library reads on to the end again at every tag that is not closed: a letter of some hundred
kilobytes keeps it busy for minutes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import NamedTuple

__all__ = ["RAW", "VOID", "Tag", "tokens"]

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
                return unescape(found[2] or found[3] or found[4] or "")
        return None

    def attribute_count(self) -> int:
        """Return how many attributes the tag has, those of the same name included."""
        return sum(1 for _ in _ATTRIBUTES.finditer(self.rest))


def tokens(html: str) -> Iterator[Tag | str]:
    """Yield tags and the text between them, undecoded; the content of raw elements is one text."""
    position = 0
    while True:
        found = _MARKUP.search(html, position)
        if found is None:
            break
        if found.start() > position:
            yield html[position : found.start()]
        position = found.end()
        name = found["name"]
        if name is None:
            continue
        # A letter of another alphabet may have a lower case in ASCII.
        tag = Tag(name.lower() if name.isascii() else name, bool(found["end"]), found["rest"])
        yield tag
        if tag.name in RAW and not tag.is_end:
            end = _RAW_END[tag.name].search(html, position)
            stop = len(html) if end is None else end.start()
            if stop > position:
                yield html[position:stop]
            position = stop
    if position < len(html):
        yield html[position:]
