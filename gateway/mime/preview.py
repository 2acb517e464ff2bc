"""The text that mail programs show beside the subject: the first of the body, put there unseen."""

from __future__ import annotations

import re
from html import escape

_BODY = re.compile(r"<body(?:\s[^>]*)?>", re.IGNORECASE)
_STYLE = "display:none;max-height:0;overflow:hidden;mso-hide:all"


def with_preview(html: str, preview: str) -> str:
    """Return HTML that begins, at the top of its body, with a text that is not displayed there."""
    found = _BODY.search(html)
    at = found.end() if found is not None else 0
    return f'{html[:at]}<div style="{_STYLE}">{escape(preview)}</div>{html[at:]}'
