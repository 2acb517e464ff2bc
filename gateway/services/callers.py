"""Who follows a link in a sent mail."""

from __future__ import annotations

import msgspec


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request came from."""

    remote_address: str | None = None
    user_agent: str | None = None
