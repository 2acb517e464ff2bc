"""Turn HTML into plain text, for the text part of a message that came with HTML only."""

from __future__ import annotations

import re
from html.parser import HTMLParser

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
    writer.feed(html)
    writer.close()
    return writer.text()


class _TextWriter(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._pieces: list[str] = []
        self._line_ends = 1  # to be written before the next text
        self._skipping = 0
        self._preformatted = 0
        self._links: list[tuple[str, int]] = []

    def parse_marked_section(self, i: int, report: int = 1) -> int:
        """Read over ``<![``, as browsers do, instead of failing where no name follows (HTML standard 13.2.5.42)."""
        return self.parse_bogus_comment(i)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in _SKIPPED:
            self._skipping += 1
        elif tag == "br":
            self._line_ends += 1
        elif tag in _BLOCKS:
            self._end_line(tag)
            self._preformatted += tag == "pre"
            self._write("- " if tag == "li" else "---" if tag == "hr" else "")
            self._line_ends += tag == "hr"
        elif tag in ("td", "th"):
            self._write(" ")
        elif tag == "a":
            self._links.append((values.get("href") or "", len(self._pieces)))
        elif tag == "img":
            self._write(values.get("alt") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SKIPPED:
            self._skipping = max(0, self._skipping - 1)
        elif tag in _BLOCKS:
            self._preformatted = max(0, self._preformatted - (tag == "pre"))
            self._end_line(tag)
        elif tag == "a" and self._links:
            address, start = self._links.pop()
            label = "".join(self._pieces[start:]).strip()
            if address.startswith(("http:", "https:")) and address != label:
                self._write(f" ({address})" if label else address)

    def handle_data(self, data: str) -> None:
        self._write(data if self._preformatted else re.sub(r"[ \t\r\n\f]+", " ", data))

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
