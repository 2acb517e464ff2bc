"""The watch of the memory service."""

from __future__ import annotations

import socket

from gateway.provider import SocketWatch


class MemoryWatch(SocketWatch):
    """The service rings with "!"; a probe comes back as "?" through its end of the bell."""

    def __init__(self, bell: tuple[socket.socket, socket.socket]) -> None:
        self._ours, self._theirs = bell
        self._ours.setblocking(False)
        self._answered = True

    def fileno(self) -> int:
        return self._ours.fileno()

    def poll(self) -> bool:
        try:
            heard = self._ours.recv(1024)
        except BlockingIOError:
            return False
        self._answered = self._answered or b"?" in heard
        return b"!" in heard

    def probe(self) -> None:
        if self._answered:
            self._answered = False
            self._theirs.send(b"?")

    @property
    def answered(self) -> bool:
        return self._answered

    @property
    def dead(self) -> bool:
        return False

    async def close(self) -> None:
        self._ours.close()
