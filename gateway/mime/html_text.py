"""Turn HTML into plain text, for the text part of a message that came with HTML only."""

from __future__ import annotations

import re
from html import unescape

from gateway.mime.html_tokens import Tag, tokens

__all__ = ["html_to_text"]

_SKIPPED = {"script", "style", "head", "title", "template", "noscript"}
_BLOCKS = {
    *("address", "article", "aside", "blockquote", "center", "dd", "div", "dl", "dt", "fieldset", "figure", "footer"),
    *("form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section"),
    *("table", "tr", "ul"),
}
_SPACED = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "blockquote", "pre"}


def html_to_text(html: str) -> str:
    """Return the readable text of an HTML document: blocks on lines of their own, links followed by their address."""
    writer = _TextWriter()
    for token in tokens(html):
        if isinstance(token, str):
            writer.write_text(unescape(token))
        elif token.is_end:
            writer.end(token.name)
        else:
            writer.start(token)
    return writer.text()


class _TextWriter:
    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._line_ends = 1  # to be written before the next text
        self._skipping = 0
        self._preformatted = 0
        self._links: list[tuple[str, int]] = []

    def start(self, tag: Tag) -> None:
        name = tag.name
        if name in _SKIPPED:
            self._skipping += 1
        elif name == "br":
            self._line_ends += 1
        elif name in _BLOCKS:
            self._end_line(name)
            self._preformatted += name == "pre"
            self._write("- " if name == "li" else "---" if name == "hr" else "")
            self._line_ends += name == "hr"
        elif name in ("td", "th"):
            self._write(" ")
        elif name == "a":
            self._links.append((tag.attribute("href") or "", len(self._pieces)))
        elif name == "img":
            self._write(tag.attribute("alt") or "")

    def end(self, name: str) -> None:
        if name in _SKIPPED:
            self._skipping = max(0, self._skipping - 1)
        elif name in _BLOCKS:
            self._preformatted = max(0, self._preformatted - (name == "pre"))
            self._end_line(name)
        elif name == "a" and self._links:
            address, start = self._links.pop()
            label = "".join(self._pieces[start:]).strip()
            if address.startswith(("http:", "https:")) and address != label:
                self._write(f" ({address})" if label else address)

    def write_text(self, text: str) -> None:
        self._write(text if self._preformatted else re.sub(r"[ \t\r\n\f]+", " ", text))

    def _end_line(self, tag: str) -> None:
        self._line_ends = max(self._line_ends, 2 if tag in _SPACED else 1)

    def _write(self, text: str) -> None:
        if self._line_ends and not self._preformatted:
            text = text.lstrip(" ")
        if self._skipping or not text:
            return
        self._pieces += ("\n" * min(self._line_ends, 2), text if self._preformatted else text.replace("\xa0", " "))
        self._line_ends = 0

    def text(self) -> str:
        """Return what was written, without space at the ends of lines."""
        joined = re.sub(r"(?<=\S) {2,}", " ", "".join(self._pieces))
        return "\n".join(line.rstrip() for line in joined.split("\n")).strip("\n")
