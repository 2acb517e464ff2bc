"""Lua scripts that survive a restart of the server."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from redis.exceptions import NoScriptError

from gateway.redis.coalescer import Sent


class _Caller(Protocol):
    def call(self, *command: Any) -> Awaitable[Any]: ...


class Script:
    """One Lua script, sent by its SHA-1 and in full only when the server does not know it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    def run(self, caller: _Caller, keys: Sequence[str | bytes], *arguments: Any) -> Sent[Any]:
        """Send the script through a `Coalescer`; what is returned is its answer."""
        sent = caller.call("EVALSHA", self.sha, len(keys), *keys, *arguments)

        async def answer() -> Any:
            try:
                return await sent
            except NoScriptError:
                return await caller.call("EVAL", self.source, len(keys), *keys, *arguments)

        return Sent(answer)
