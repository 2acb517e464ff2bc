"""HTML of strangers, made safe to be shown inside another page."""

from __future__ import annotations

import re
from html import escape

import nh3

from gateway.mime.html_text import html_to_text
from gateway.mime.html_tokens import VOID, Tag, tokens

__all__ = ["safe_html", "text_as_html"]

#: Elements within elements and attributes of one; the time that is needed grows with the square, and no letter is
#: like that.
_DEEPEST = 1000
_MOST_ATTRIBUTES = 1000
#: Elements that a browser opens again in what follows when they were not closed (HTML standard 13.2.4.3), and how
#: often it may have to: a few hundred kilobytes can ask for a hundred million.
_FORMATTING = frozenset(
    ("a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u")
)
_MOST_REOPENED = 1_000_000
#: Elements that end where the next of their kind begins (HTML standard 13.1.2.4), whatever is around them.
_SELF_ENDING = {"p", "li", "dd", "dt"}
#: Inside of these, other rules say what a tag is and does: there every start tag counts.
_UNTOLD = re.compile(r"<(?:svg|math|select|template|frameset|plaintext)\b", re.IGNORECASE)
_START = re.compile(r"<[a-z]", re.IGNORECASE)

#: What mail is made of beside what the library allows: its tables and fonts.
_TAGS = nh3.ALLOWED_TAGS | {"font", "center", "u", "tt", "big", "strike"}
_PRESENTATION = {"align", "valign", "bgcolor", "width", "height", "style", "class", "dir", "title", "lang"}
_ATTRIBUTES = {
    "*": _PRESENTATION,
    "a": {"href", "name", "target"},
    "img": {"src", "alt", "border"},
    "table": {"border", "cellpadding", "cellspacing"},
    "td": {"colspan", "rowspan", "nowrap"},
    "th": {"colspan", "rowspan", "nowrap"},
    "font": {"color", "face", "size"},
    "ol": {"start", "type"},
    "ul": {"type"},
    "li": {"value", "type"},
    "blockquote": {"cite", "type"},
}
#: Nothing that draws outside of its place or loads a document: no position, no behaviour, no URL but of images.
_STYLES = {
    *("color", "font", "font-family", "font-size", "font-style", "font-weight", "line-height", "letter-spacing"),
    *("text-align", "text-decoration", "text-indent", "text-transform", "vertical-align", "white-space", "word-break"),
    *("background-color", "border", "border-bottom", "border-collapse", "border-color", "border-left", "border-radius"),
    *("border-right", "border-spacing", "border-style", "border-top", "border-width", "direction", "display", "float"),
    *("clear", "height", "list-style-type", "margin", "margin-bottom", "margin-left", "margin-right", "margin-top"),
    *("max-height", "max-width", "min-width", "opacity", "overflow", "padding", "padding-bottom", "padding-left"),
    *("padding-right", "padding-top", "table-layout", "width"),
}
#: What calls something, or hides that it does.
_CALLING = re.compile(r"(?:url|expression|image|image-set|var|env|attr)\s*\(|[\\@]|/\*", re.IGNORECASE)
_SCHEMES = {"http", "https", "mailto", "tel", "cid", "data"}
#: The library drops the content of these with them.
_DROPPED = {"script", "style", "title", "template", "noscript", "iframe", "object", "svg", "math"}
_IMAGE = re.compile(r"data:image/(?:png|gif|jpe?g|webp|bmp)[;,]", re.IGNORECASE)


def safe_html(html: str) -> str:
    """Return what of an HTML document can be shown in a ``div``: no scripts, forms, documents; links open elsewhere.

    Remote images stay: whether they are loaded is for the one to decide who shows them. Of a document whose elements
    lie deeper in each other than any letter's, the text is left: time and memory are bounded by the length.
    """
    if _is_costly(html):
        return text_as_html(html_to_text(html))
    return nh3.clean(
        html,
        tags=_TAGS - _DROPPED,
        clean_content_tags=_DROPPED,
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute,
        url_schemes=_SCHEMES,
        filter_style_properties=_STYLES,
        link_rel="noopener noreferrer",
        set_tag_attribute_values={"a": {"target": "_blank"}},
        strip_comments=True,
    )


def _attribute(tag: str, name: str, value: str) -> str | None:
    """Refuse data: URLs but of images (RFC 2397), as any other is a document of the sender's, and styles that call."""
    if name == "style":
        return ";".join(part for part in value.split(";") if not _CALLING.search(part)) or None
    if name in ("src", "href", "cite") and value.strip().lower().startswith("data:"):
        return value if tag == "img" and name == "src" and _IMAGE.match(value.strip()) else None
    return value


def text_as_html(text: str) -> str:
    """Return plain text as HTML: lines stay lines."""
    return f'<div style="white-space:pre-wrap">{escape(text, quote=False)}</div>'


def _is_costly(html: str) -> bool:
    """Whether the tree of a document may be much larger or deeper than a letter's; never less than a browser's is."""
    if _UNTOLD.search(html):
        return len(_START.findall(html)) > _DEEPEST
    opened = _Opened()
    for token in tokens(html):
        if isinstance(token, Tag):
            opened.follow(token)
        elif opened.names and opened.names[-1] == "script" and "<!--" in token:
            # Scripts in comments in scripts hide where the first of them ends.
            return True
        opened.reopened += opened.formatting
        if opened.is_too_much:
            return True
    return False


class _Opened:
    """The elements that are open. Only an end tag right after its start certainly ends one; what stays open counts."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.formatting = 0
        self.reopened = 0
        self._attributes = 0

    def follow(self, tag: Tag) -> None:
        is_last = bool(self.names) and self.names[-1] == tag.name
        if tag.is_end:
            if is_last:
                self.names.pop()
                self.formatting -= tag.name in _FORMATTING
        elif tag.name not in VOID and not (tag.name in _SELF_ENDING and is_last):
            self.names.append(tag.name)
            self.formatting += tag.name in _FORMATTING
        if len(tag.rest) > _MOST_ATTRIBUTES:
            self._attributes = max(self._attributes, tag.attribute_count())

    @property
    def is_too_much(self) -> bool:
        return len(self.names) > _DEEPEST or self.reopened > _MOST_REOPENED or self._attributes > _MOST_ATTRIBUTES
