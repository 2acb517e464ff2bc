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
    "div": {"id"},
    "a": {"href", "target"},
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
#: By which the large mail programs mark the message that is answered, and Outlook the head of it. With any other class
#: or id the sender would reach for what the page around has styles and scripts for.
_QUOTES = {"gmail_quote", "yahoo_quoted", "protonmail_quote", "moz-cite-prefix"}
_HEADS = {"divRplyFwdMsg"}
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
#: What calls something, computes, or hides that it does: of functions only colours are needed.
_CALLING = re.compile(r"(?<!\brgb)(?<!\brgba)(?<!\bhsl)(?<!\bhsla)\(|[\\@]|/\*", re.IGNORECASE)
#: A number below zero, which pulls over what stands beside; a name may hold such signs.
_NEGATIVE = re.compile(r"(?<![^\W\d])(?<!-)-\s*[.\d]")
#: A length beyond any letter's, from 1000 pixels on: it would push aside what stands beside.
_HUGE = re.compile(r"(?<![#\w.])(?:\d{4,}|\d{3,}(?:\.\d*)?(?!px|pt|mm|deg)[a-z]|[\d.]+e\+?\d)", re.IGNORECASE)
_REFUSED = (_CALLING, _NEGATIVE, _HUGE)
_LENGTHS = {"width", "height", "border", "cellpadding", "cellspacing"}
_SCHEMES = {"http", "https", "mailto", "tel", "cid", "data"}
#: The library drops the content of these with them.
_DROPPED = {"script", "style", "title", "template", "noscript", "iframe", "object", "svg", "math"}
#: URLs that lead elsewhere from any page: "https:/x" is a path for a page that is at https itself.
_ABSOLUTE = re.compile(r"https?://[^/\\]|(?:mailto|tel|cid):", re.IGNORECASE)
#: Browsers leave out the white space of these wherever it is (URL standard, section 4.4).
_LEFT_OUT = str.maketrans("", "", "\t\n\r")
_BLANKS = "".join(map(chr, range(33)))
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
    """Refuse what reaches for the page around: classes, ids, relative URLs, styles that call, pull or push.

    Of data: URLs (RFC 2397) only images stay, as any other is a document of the sender's.
    """
    if name == "class":
        return " ".join(each for each in value.split() if each in _QUOTES) or None
    if name == "id":
        return value if value in _HEADS else None
    if name == "style":
        parts = (part for part in value.split(";") if not any(each.search(part) for each in _REFUSED))
        return ";".join(parts) or None
    if name in _LENGTHS:
        return None if _HUGE.search(value) else value
    if name in ("src", "href", "cite"):
        url = value.translate(_LEFT_OUT).strip(_BLANKS)
        is_image = tag == "img" and name == "src" and _IMAGE.match(url)
        return url if is_image or _ABSOLUTE.match(url) else None
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
