"""Range requests (RFC 9110 section 14): one range of octets, so that a broken download can be resumed."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.model.stream import OctetRange

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII | re.IGNORECASE)


def asked_range(headers: Mapping[str, str], etag: str) -> OctetRange | None:
    """Return the part that a request asks for; None when it asks for the whole.

    Several ranges, other units, and what is no range at all are ignored, as RFC 9110 section 14.2 allows. So is a range
    of something else (If-Range, section 13.1.5).

    Args:
        headers: names in lower case.
        etag: entity tag, quoted, of what there is.
    """
    found = _RANGE.fullmatch(headers.get("range", "").strip())
    if found is None or found.groups() == ("", "") or headers.get("if-range", etag) != etag:
        return None
    first, last = (int(digits) if digits else None for digits in found.groups())
    if first is not None and last is not None and last < first:
        return None
    return OctetRange(first, last)
