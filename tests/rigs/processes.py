"""Child processes that leave nothing behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil

# Servers are installed where only root's search path leads.
SERVER_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


@contextlib.contextmanager
def rig_directory(name: str) -> Iterator[Path]:
    """A temporary directory that servers running as another user may enter.

    pytest's own directories are closed to others, and their long paths exceed what a unix socket's name may have.
    """
    directory = Path(tempfile.mkdtemp(prefix=f"gw-{name}-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def wait_until(condition: Callable[[], object], what: str, timeout: float = 15.0, pause: float = 0.01) -> None:
    """Poll `condition` every `pause` seconds until it is true.

    Raises:
        TimeoutError: `timeout` seconds went by first; the text says `what` was awaited.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout} s")
        time.sleep(pause)


def accepts_connections(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something listens on the port."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


class ServerProcess:
    """A server in the foreground, with everything it forks in a process group of its own."""

    def __init__(self, command: Sequence[str], log: Path, *, user: str | None = None) -> None:
        """Prepare `command`; `user` is who it runs as, which only root can choose."""
        self._command = _tied_to_parent(command, user)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while the server runs."""
        if self._process is None:
            return None
        # Not poll(): it would bury the leader, whose number could then be another group's when `kill` comes.
        ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return self._process.pid if ended is None else None

    def start(self, ready: Callable[[], object], timeout: float = 30.0) -> None:
        """Start the server and wait until `ready()` is true.

        Raises:
            RuntimeError: the server ended instead, or was not ready in `timeout` seconds; the text ends with its log.
        """
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PATH": SERVER_PATH},
                start_new_session=True,
            )
        try:
            wait_until(lambda: self.pid is None or ready(), f"{self._command[0]} ready", timeout)
        except TimeoutError as error:
            self.kill()
            raise RuntimeError(f"{error}\n{self.log_tail()}") from None
        if self.pid is None:
            self.kill()
            raise RuntimeError(f"{' '.join(self._command)} ended at once\n{self.log_tail()}")

    def stop(self, timeout: float = 5.0) -> None:
        """Ask the server to end; after `timeout` seconds, or for what it left running, do not ask."""
        if (pid := self.pid) is not None:
            os.kill(pid, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                wait_until(lambda: self.pid is None, "end of the server", timeout)
        self.kill()

    def kill(self) -> None:
        """End the server and all its descendants at once, as a power cut would."""
        if self._process is None:
            return
        family = self._family()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        self._process.wait(5)
        self._process = None
        wait_until(lambda: not any(map(_lives, family)), f"end of what {self._command[0]} started")

    def log_tail(self, size: int = 3000) -> str:
        """The last `size` octets that the server wrote."""
        return self._log.read_bytes()[-size:].decode(errors="replace") if self._log.exists() else ""

    def _family(self) -> list[psutil.Process]:
        """Descendants, including those that went to a process group of their own."""
        if self.pid is None:
            return []
        try:
            children: list[psutil.Process] = psutil.Process(self.pid).children(recursive=True)
            return children
        except psutil.NoSuchProcess:
            return []


def _lives(process: psutil.Process) -> bool:
    """Whether it still holds files and ports; a zombie, which only its adoptive parent can bury, does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _tied_to_parent(command: Sequence[str], user: str | None) -> list[str]:
    """Have the kernel end the server when the test process is killed without a chance to clean up."""
    if shutil.which("setpriv") is None:
        return list(command)
    prefix = ["setpriv", "--pdeathsig", "TERM"]
    if user is not None and os.geteuid() == 0:
        prefix += ["--reuid", user, "--regid", "nogroup", "--clear-groups"]
    return [*prefix, *command]
