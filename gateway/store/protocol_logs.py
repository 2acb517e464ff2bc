"""What went over the connections of an account, its last lines for some time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

from gateway.redis import Script, keys
from gateway.store.store import Store

#: How long lines are kept after the last one.
KEPT = timedelta(days=7)

#: Lines that are read at a time.
_PAGE = 1000

# An account that was deleted meanwhile must not come back in part.
# KEYS: lines, account record; ARGV: lines at most, milliseconds that they are kept, line, ...
_APPEND = Script("""
if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
for at = 3, #ARGV do redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[1], '*', 'line', ARGV[at]) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
""")


class ProtocolLogStore:
    """Streams of the data tier."""

    def __init__(self, store: Store) -> None:
        self._data = store.data

    async def append(self, account: str, lines: Sequence[str], *, most: int) -> None:
        """Add lines, and drop the oldest beyond `most`."""
        names = [keys.protocol_log(account), keys.account(account)]
        await _APPEND.run(self._data, names, most, int(KEPT.total_seconds() * 1000), *lines)

    async def read(self, account: str) -> AsyncIterator[list[bytes]]:
        """Return the lines, oldest first, some at a time."""
        start = "-"
        while True:
            found = await self._data.call("XRANGE", keys.protocol_log(account), start, "+", "COUNT", _PAGE)
            if found:
                yield [fields[b"line"] for _, fields in found]
            if len(found) < _PAGE:
                return
            start = f"({found[-1][0].decode()}"
