"""Tell automatic replies from mail written by a person (RFC 3834)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_SUBJECT = re.compile(r"(?:auto(?:matic)?[- ]?(?:reply|response)|out of (?:the )?office|oof:|ooo:)", re.IGNORECASE)
_MARKERS = ("x-auto-response-suppress", "x-autoresponder", "x-autorespond", "x-autoreply")


def is_auto_reply(headers: Mapping[str, Sequence[str]]) -> bool:
    """Tell whether a message answers by itself: an out-of-office note, a "we got your mail".

    Args:
        headers: lower-case name -> decoded values, as in `MessageDetail.headers`.
    """

    def first(name: str) -> str:
        return next(iter(headers.get(name, ())), "").strip()

    subject = first("subject")
    if _SUBJECT.match(subject) or (subject.lower().startswith("auto:") and first("in-reply-to")):
        return True
    # RFC 3834 section 5.2; parameters may follow the keyword.
    if re.match(r"auto-replied\b", first("auto-submitted"), re.IGNORECASE):
        return True
    return first("precedence").lower() in ("auto_reply", "auto-reply") or any(first(name) for name in _MARKERS)
