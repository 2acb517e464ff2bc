"""Quoted history at the end of a message, folded away."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["folded"]

# As the cleaner writes them: names in lower case, values in double quotes.
_TAG = re.compile(r'<(/?)([a-z][a-z0-9]*)((?:"[^"]*"|[^">])*)>')
_VOID = {"br", "hr", "img", "wbr", "col"}
#: Elements that a ``details`` cannot stand between.
_CELLS = {"td", "th", "li", "dd", "dt", "caption"}
#: The cleaner leaves no classes and no ids but those by which mail programs mark what is answered: all of it in an
#: element, or its head.
_QUOTE = re.compile(r' (?:class="|type="cite")')
_HEAD = re.compile(r' id="')
_STYLE = re.compile(r' style="([^"]*)"')
# A head in any language: bold labels, each on a line of its own, and soon the time of sending.
_BOLD = re.compile(r"<(?:b|strong)(?: [^>]*)?>")
_BEGINS_BOLD = re.compile(rf"(?:\s|&nbsp;|<(?!/|(?:b|strong)[ >])[^>]*>)*{_BOLD.pattern}")
_LABEL = re.compile(r"[^:\uff1a]{1,40}[:\uff1a]")
_LINE_END = re.compile(r"<br>|</(?:p|div|tr|li)>")
_YEAR = re.compile(r"(?<!\d)\d{4}(?!\d)")
_TIME = re.compile(r"(?<!\d)\d{1,2} ?[:.h] ?\d\d(?!\d)")
_FEWEST_LABELS = 3
_LONGEST_HEAD = 4096
_CLOSING = re.compile(r"(?:\s|&nbsp;|\xa0|</[a-z0-9]+>|<br>|<(?:p|div)>)*")
#: The class names are the ones that clients of the wire API have styles for.
_OPEN = '<details class="ee-collapsed-thread"><summary class="ee-collapsed-thread-toggle"></summary>'


def folded(html: str) -> str:
    """Return cleaned HTML whose last quotation, with nothing after it, is in a ``details`` element that is closed.

    A quotation is an element that is marked as one, or the head of a message as Outlook writes it, below a line, and
    the message behind it with nothing around both.
    """
    for start, end in _Reading(html).quotations():
        if _CLOSING.fullmatch(html, end) and _says_something(html[:start]):
            return f"{html[:start]}{_OPEN}{html[start:end]}</details>{html[end:]}"
    return html


class _Quotation:
    """One that began.

    Attributes:
        start: where.
        outside: how many elements are open there.
        head: how many are open around its head, None when an element holds all of it.
    """

    def __init__(self, start: int, outside: int, head: int | None = None) -> None:
        self.start = start
        self.outside = outside
        self.head = head
        self._floor: int | None = None
        #: Whether it goes on to the end of the element that it began in; None while only its head was read.
        self.is_open_ended = None if head is not None else False

    def say(self) -> None:
        """Follow text or an image."""
        if self.is_open_ended is None and self._floor is not None:
            self.is_open_ended = self._floor == self.outside

    def close(self, depth: int) -> None:
        """Follow an end tag after which so many elements are open."""
        if self._floor is not None or depth == self.head:
            self._floor = depth if self._floor is None else min(self._floor, depth)

    def is_over(self, depth: int) -> bool:
        """Whether that end tag was its last, or that of the element that it began in."""
        return depth < self.outside or (depth == self.outside and self.is_open_ended is False)


class _Reading:
    """Follows the elements of a document."""

    def __init__(self, html: str) -> None:
        self._html = html
        self._depth = 0
        #: Behind the last that was said, and behind all elements that ended since; and how many are open there.
        self._edge = (0, 0)
        self._quotation: _Quotation | None = None

    def quotations(self) -> Iterator[tuple[int, int]]:
        """Yield where quotations start and end; none is within another."""
        last = 0
        for tag in _TAG.finditer(self._html):
            self._say(last, tag.start())
            last = tag.end()
            closing, name, attributes = tag.groups()
            if name in _VOID:
                self._say(tag.start(), last)
            elif not closing:
                self._open(tag, name, attributes)
            elif (found := self._close(tag)) is not None:
                yield found
        self._say(last, len(self._html))
        if self._quotation is not None and self._quotation.is_open_ended:
            yield self._quotation.start, len(self._html)

    def _say(self, start: int, end: int) -> None:
        if not _says_something(self._html[start:end]):
            return
        self._edge = (end, self._depth)
        if self._quotation is not None:
            self._quotation.say()

    def _open(self, tag: re.Match[str], name: str, attributes: str) -> None:
        if self._quotation is None:
            if _QUOTE.search(attributes):
                self._quotation = _Quotation(tag.start(), self._depth)
            elif name == "div" and self._is_head(tag.end(), attributes):
                self._quotation = _Quotation(*self._edge, head=self._depth)
        self._depth += 1
        if name in _CELLS:
            self._edge = (tag.end(), self._depth)

    def _is_head(self, start: int, attributes: str) -> bool:
        return _HEAD.search(attributes) is not None or (
            _has_line_above(attributes) and _is_labelled(self._html[start : start + _LONGEST_HEAD])
        )

    def _close(self, tag: re.Match[str]) -> tuple[int, int] | None:
        self._depth -= 1
        if self._depth < self._edge[1]:
            self._edge = (tag.end(), self._depth)
        quotation = self._quotation
        if quotation is None:
            return None
        quotation.close(self._depth)
        if not quotation.is_over(self._depth):
            return None
        self._quotation = None
        if quotation.is_open_ended is None:
            return None
        return quotation.start, tag.start() if quotation.is_open_ended else tag.end()


def _has_line_above(attributes: str) -> bool:
    """Whether there is a line of a width in points; other programs and writers count in pixels."""
    style = _STYLE.search(attributes)
    styles = dict(part.partition(":")[::2] for part in style[1].split(";")) if style else {}
    words = styles.get("border-top", "").split()
    if styles.get("border-style", "").split() == ["solid", "none", "none"]:
        words = ["solid", *styles.get("border-width", "").split()]
    return "solid" in words and any(word.endswith("pt") for word in words)


def _is_labelled(html: str) -> bool:
    if not _BEGINS_BOLD.match(html):
        return False
    lines = [_LINE_END.split(part, 1) for part in _BOLD.split(html)[1 : _FEWEST_LABELS + 1]]
    texts = [_text(line[0]) for line in lines]
    return (
        len(lines) == _FEWEST_LABELS
        and all(len(line) > 1 for line in lines)
        and all(_LABEL.match(text) for text in texts)
        # The sender comes first.
        and any(_YEAR.search(text) and _TIME.search(text) for text in texts[1:])
    )


def _says_something(html: str) -> bool:
    """Whether there is text or an image: a message that is nothing but a quotation stays open."""
    return "<img" in html or bool(_text(html))


def _text(html: str) -> str:
    return _TAG.sub("", html).replace("&nbsp;", " ").strip()
