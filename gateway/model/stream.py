"""What a worker says of octets before it sends them."""

from __future__ import annotations

from typing import Literal

import msgspec


class StreamHead(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The head of a streamed message source or attachment; `size` in octets, None when it is not known beforehand."""

    content_type: str
    filename: str | None = None
    disposition: Literal["inline", "attachment"] = "attachment"
    size: int | None = None
