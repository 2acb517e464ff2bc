"""TCP ports that no other test process will take."""

from __future__ import annotations

import errno
import fcntl
import random
import socket
import tempfile
from pathlib import Path
from typing import IO

# Below Linux' default range for outgoing connections (32768-60999): no client socket can be given one of these.
_RANGE = range(20_000, 32_000)
_held: list[IO[str]] = []


def reserve_port() -> int:
    """A port free on 127.0.0.1 and 127.0.0.2, kept for this process until it ends.

    Asking the kernel for port 0 and closing the socket again would leave a gap in which another process gets the same
    number; a lock file for each port has no such gap, whatever number of test runs share the machine.

    Raises:
        RuntimeError: every port of the range is taken.
    """
    locks = Path(tempfile.gettempdir()) / "gateway-rig-ports"
    locks.mkdir(exist_ok=True)
    for port in random.sample(_RANGE, len(_RANGE)):
        lock = (locks / str(port)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        if _is_free(port):
            _held.append(lock)
            return port
        lock.close()
    raise RuntimeError(f"no free port between {_RANGE.start} and {_RANGE.stop}")


def _is_free(port: int) -> bool:
    try:
        for host in ("127.0.0.1", "127.0.0.2"):
            with socket.socket() as probe:
                # Ports in TIME_WAIT are usable by servers, which all set this option; a listening one still refuses.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True
