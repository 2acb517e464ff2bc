"""What processes may hold of a message that passes through them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psutil

from tests.acceptance.processes import GatewayProcess

MEBIBYTE = 1024 * 1024
#: What a process may grow by, however large the message is.
MOST_GROWTH = 64 * MEBIBYTE


@contextmanager
def growth_bounded(processes: list[GatewayProcess]) -> Iterator[None]:
    """Watch the resident memory of processes, and fail if one of them grew by more than `MOST_GROWTH`."""
    watched = {process.name: psutil.Process(process.pid) for process in processes}
    before = {name: process.memory_info().rss for name, process in watched.items()}
    most, ended = dict(before), threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            for name, process in watched.items():
                most[name] = max(most[name], process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    grown = {name: (most[name] - before[name]) // MEBIBYTE for name in watched}
    assert max(grown.values()) < MOST_GROWTH // MEBIBYTE, grown


def digest_of(api: httpx.Client, path: str) -> str:
    """Return the digest of a download that nobody holds as a whole."""
    digest = hashlib.sha256()
    with api.stream("GET", path) as answer:
        assert answer.status_code == 200
        for chunk in answer.iter_bytes(MEBIBYTE):
            digest.update(chunk)
    return digest.hexdigest()
