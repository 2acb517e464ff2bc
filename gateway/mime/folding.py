"""Quoted history at the end of a message, folded away."""

from __future__ import annotations

import re

from gateway.mime.safe_html import QUOTE_CLASSES

__all__ = ["folded"]

# As the cleaner writes them: names in lower case, values in double quotes.
_TAG = re.compile(r'<(/?)([a-z][a-z0-9]*)((?:"[^"]*"|[^">])*)>')
_VOID = {"br", "hr", "img", "wbr", "col"}
_QUOTE = re.compile(rf'(?:class="[^"]*\b(?:{"|".join(sorted(QUOTE_CLASSES))})\b|type="cite")')
_CLOSING = re.compile(r"(?:\s|&nbsp;|\xa0|</[a-z0-9]+>|<br>|<(?:p|div)>)*")
#: The class names are the ones that clients of the wire API have styles for.
_OPEN = '<details class="ee-collapsed-thread"><summary class="ee-collapsed-thread-toggle"></summary>'


def folded(html: str) -> str:
    """Return cleaned HTML whose last quotation, with nothing after it, is in a ``details`` element that is closed."""
    start = 0
    within = depth = 0
    for tag in _TAG.finditer(html):
        closing, name, attributes = tag.groups()
        if name in _VOID:
            continue
        if not closing:
            if not within and _QUOTE.search(attributes):
                start, within = tag.start(), depth + 1
            depth += 1
            continue
        if within and depth == within:
            end = tag.end()
            if _CLOSING.fullmatch(html, end) and _says_something(html[:start]):
                return f"{html[:start]}{_OPEN}{html[start:end]}</details>{html[end:]}"
            within = 0
        depth -= 1
    return html


def _says_something(html: str) -> bool:
    """Whether there is text or an image: a message that is nothing but a quotation stays open."""
    return "<img" in html or bool(_TAG.sub("", html).replace("&nbsp;", "").strip())
