"""Server answers that are fit for error messages and logs."""

from __future__ import annotations

import re

_MAX_LENGTH = 300
# Anything in angle brackets (paths, message ids) and every word with an at sign, also percent-encoded.
_PRIVATE = re.compile(r"""<[^<>]*>|(?:"[^"]*")?\S*(?:@|%40)\S*""")
# RFC 3463 section 2; Microsoft's details go to four digits. Part of no address: 5.1.2.3 is none.
_ENHANCED_STATUS = re.compile(r"(?<![\w.])([245]\.\d{1,3}\.\d{1,4})(?![\w]|\.\d)")


def masked(text: str) -> str:
    """Return a server's words on one line, cut to 300 characters, without addresses or anything in ``<...>``."""
    return " ".join(_PRIVATE.sub("<…>", text[: 4 * _MAX_LENGTH]).split())[:_MAX_LENGTH]


def enhanced_status(text: str) -> str | None:
    """Return the first enhanced status code (RFC 3463) of an answer, e.g. "5.7.139"."""
    found = _ENHANCED_STATUS.search(text)
    return found[1] if found else None
