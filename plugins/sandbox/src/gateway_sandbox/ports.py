"""Which ports the servers use: the same as last time, else the usual ones, else any that is free."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """The ports of the three servers."""

    http: int = 4100
    imap: int = 4143
    smtp: int = 4587


@asynccontextmanager
async def taking_turns() -> AsyncIterator[None]:
    """Let one sandbox of this machine at a time choose its ports and begin to listen on them."""
    descriptor = os.open(Path(tempfile.gettempdir()) / "gateway-sandbox-ports.lock", os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        while not _locked(descriptor):  # noqa: ASYNC110  whoever holds it is another process
            await asyncio.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def choose(path: Path) -> Ports:
    """Return ports that are free now, and remember them in a file."""
    wanted = Ports()
    if path.exists():
        try:
            wanted = msgspec.json.decode(path.read_bytes(), type=Ports)
        except msgspec.DecodeError:
            path.unlink()
    chosen = Ports(http=_free(wanted.http), imap=_free(wanted.imap), smtp=_free(wanted.smtp))
    path.write_bytes(msgspec.json.encode(chosen))
    return chosen


def _free(wanted: int) -> int:
    for port in wanted, 0:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            number: int = probe.getsockname()[1]
            return number
    raise OSError("no free port")
