"""Range requests (RFC 9110 section 14): one range of octets, so that a broken download can be resumed."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.api.call import Span
from gateway.errors import RequestError

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII | re.IGNORECASE)


def asked_span(headers: Mapping[str, str], size: int, etag: str) -> Span | None:
    """Return the part that a request asks for; None when it asks for the whole.

    Several ranges, other units, and what is no range at all are ignored, as RFC 9110 section 14.2 allows. So is a range
    of something else (If-Range, section 13.1.5).

    Raises:
        RequestError: there is no such part (code RangeNotSatisfiable).
    """
    found = _RANGE.fullmatch(headers.get("range", "").strip())
    if found is None or found.groups() == ("", "") or headers.get("if-range", etag) != etag:
        return None
    first, last = found.groups()
    if not first:
        begin, end = max(0, size - int(last)), size - 1
    else:
        begin, end = int(first), min(int(last), size - 1) if last else size - 1
        if last and int(last) < begin:
            return None
    if begin >= size or begin > end:
        raise RequestError("there is no such range", code="RangeNotSatisfiable")
    return Span(begin, end, size)
