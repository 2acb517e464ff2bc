"""The two ways in which a session learns that something may have changed; see `gateway.provider.push` for a third."""

from __future__ import annotations

from abc import ABC, abstractmethod

from gateway.provider.structs import Struct


class SocketWatch(ABC):
    """A watch that is a socket to wait on: when it is readable, `poll`, which tells whether to ask for changes.

    None of its methods but `close` ever waits.
    """

    @abstractmethod
    def fileno(self) -> int:
        """Return the descriptor to select on."""

    @abstractmethod
    def poll(self) -> bool:
        """Read everything that is there; True when something may have changed. Never blocks."""

    @abstractmethod
    def probe(self) -> None:
        """Ask the other side for a sign of life; `poll` sees it come. Without effect while the last one is awaited."""

    @property
    @abstractmethod
    def answered(self) -> bool:
        """False while the sign of life that the last `probe` asked for is outstanding."""

    @property
    @abstractmethod
    def dead(self) -> bool:
        """The other side is gone; nothing will ever come again."""

    @abstractmethod
    async def close(self) -> None:
        """End the watch; unless it is dead, the session can be used again. Does no harm twice."""


class PollWatch(Struct, frozen=True, kw_only=True):
    """A watch that is only a period, in seconds, after which to ask again; where the service calls, later."""

    period: float


Watch = SocketWatch | PollWatch
