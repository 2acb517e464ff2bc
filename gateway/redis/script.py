"""Lua scripts that survive a restart of the server."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

from redis.exceptions import NoScriptError


class _Caller(Protocol):
    async def call(self, *command: Any) -> Any: ...


class Script:
    """One Lua script, sent by its SHA-1 and in full only when the server does not know it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    async def run(self, caller: _Caller, keys: Sequence[str | bytes], *arguments: Any) -> Any:
        """Run the script through a `Coalescer`."""
        try:
            return await caller.call("EVALSHA", self.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return await caller.call("EVAL", self.source, len(keys), *keys, *arguments)
