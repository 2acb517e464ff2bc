"""The beginning of a text in one line, as mail programs show it beside the subject (RFC 8970)."""

from __future__ import annotations

import re

from gateway.mime.html_text import html_to_text

__all__ = ["text_preview"]

#: Characters of a preview; what RFC 8970 section 3.2 recommends.
LONGEST = 200

# What is looked at: the words of a newsletter may come after a long style sheet.
_MOST_PLAIN = 16 * 1024
_MOST_HTML = 64 * 1024
_STYLE = re.compile(r"<(style|script)\b.*?(?:</\1|\Z)", re.IGNORECASE | re.DOTALL)
_QUOTED_LINE = re.compile(r"^[ \t]*>.*$", re.MULTILINE)
# Senders push what follows out of sight with characters that show nothing; others draw over what stands beside.
_UNSEEN = re.compile("[\0-\x08\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]+")


def text_preview(plain: str | None, html: str | None) -> str | None:
    """Return at most `LONGEST` characters of what a message says, without quoted lines; None if it says nothing."""
    found = _line(plain[:_MOST_PLAIN]) if plain else ""
    if not found and html:
        found = _line(html_to_text(_beginning(html)))
    return found or None


def _beginning(html: str) -> str:
    return _STYLE.sub("", html[: 4 * _MOST_HTML])[:_MOST_HTML]


def _line(text: str) -> str:
    said = _UNSEEN.sub("", _QUOTED_LINE.sub("", text))
    return " ".join(said.split())[:LONGEST].rstrip()
