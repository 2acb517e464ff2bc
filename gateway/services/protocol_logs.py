"""Protocol logs: kept of the accounts that have `logs`, or of all when the setting `logs` says so."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator

import msgspec
import structlog

from gateway.provider import Clock, ProtocolLog, Speaker
from gateway.redis import UNREACHABLE
from gateway.services.runtime_settings import LogSettings, RuntimeSettingsService
from gateway.store.accounts import AccountConfig
from gateway.store.protocol_logs import ProtocolLogStore

log = structlog.get_logger(__name__)

#: Lines of each account that are kept unless the settings say otherwise.
DEFAULT_LINES = 10_000

#: Characters of a line that are kept.
LONGEST_LINE = 512

#: Seconds for which lines are gathered before they are written, and lines that wait for it at most.
GATHERED = 0.5
_WAITING = 5_000


class ProtocolLogs:
    """Lends recorders to sessions, and reads what they wrote."""

    def __init__(self, store: ProtocolLogStore, settings: RuntimeSettingsService, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._writing: set[asyncio.Task[None]] = set()

    async def recorder(self, config: AccountConfig) -> ProtocolLog | None:
        """Return what takes the lines of a new session; None when nobody wants to know."""
        found = await self._settings.get("logs")
        settings = msgspec.convert(found, LogSettings) if found is not None else LogSettings()
        most = DEFAULT_LINES if settings.max_log_lines is None else settings.max_log_lines
        if most == 0 or not (config.logs or settings.all):
            return None
        return _Recorder(config.account, most, self._store, self._clock, self._writing)

    async def read(self, account: str) -> AsyncIterator[bytes]:
        """Return the log of an account as text, in pieces."""
        empty = True
        async for lines in self._store.read(account):
            empty = False
            yield b"\n".join((*lines, b""))
        if empty:
            yield f"No logs found for {account}\n".encode()

    async def settle(self) -> None:
        """Wait until what was gathered is written."""
        # What was handed to the loop just now is not begun yet.
        await asyncio.sleep(0)
        while self._writing:
            await asyncio.wait(self._writing)


class _Recorder:
    """Gathers lines, from any thread, and writes them from the event loop in which it was made."""

    def __init__(
        self, account: str, most: int, store: ProtocolLogStore, clock: Clock, writing: set[asyncio.Task[None]]
    ) -> None:
        self._account = account
        self._most = most
        self._store = store
        self._clock = clock
        self._writing = writing
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        # Should Redis be away, or the conversation faster than it: the oldest go.
        self._lines: deque[str] = deque(maxlen=_WAITING)
        self._begun = False

    def note(self, connection: str, speaker: Speaker, text: str) -> None:
        """See `ProtocolLog.note`."""
        now = self._clock().isoformat(timespec="milliseconds").removesuffix("+00:00")
        shown = "".join(char if char.isprintable() else "\ufffd" for char in text[:LONGEST_LINE])
        more = f" ... ({len(text)} characters)" if len(text) > LONGEST_LINE else ""
        with self._lock:
            self._lines.append(f"{now}Z {connection} {speaker}: {shown}{more}")
            if self._begun:
                return
            self._begun = True
        # The loop may have ended before a thread that reads.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        task = self._loop.create_task(self._write())
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self) -> None:
        await asyncio.sleep(GATHERED)
        with self._lock:
            lines, self._begun = list(self._lines), False
            self._lines.clear()
        try:
            await self._store.append(self._account, lines, most=self._most)
        except UNREACHABLE as error:
            log.warning("protocol_log_not_written", lines=len(lines), error=type(error).__name__)
