"""The gateway's own commands as child processes, with their settings in the environment and their logs in a file."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGTERM, Signals

import psutil

from tests.rigs.processes import wait_until


class GatewayProcess:
    """One `gateway` command. It ends with the test process, however that ends: its standard input closes."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        settings: Mapping[str, str],
        log: Path,
        *,
        directory: Path | None = None,
    ) -> None:
        """Prepare ``gateway`` with `arguments`; `settings` are all the ``GATEWAY_`` variables that it sees.

        It is started in `directory`, by default in this process' own.
        """
        self.name = name
        self.log = log
        self._command = [sys.executable, "-P", "-m", "gateway", *arguments]
        self._directory = directory
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("GATEWAY_")}
        self._environment = {**inherited, **settings, "PYTHONUNBUFFERED": "1"}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; nothing is known yet about how far it has come."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=self._directory,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id, also after its end."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return None if self._process is None else self._process.poll()

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def send(self, number: Signals) -> None:
        """Send a signal to it alone, not to its children."""
        assert self._process is not None, f"{self.name} was not started"
        self._process.send_signal(number)

    def wait(self, timeout: float) -> int:
        """Return its exit code.

        Raises:
            subprocess.TimeoutExpired: it still runs after `timeout` seconds.
        """
        assert self._process is not None, f"{self.name} was not started"
        code = self._process.wait(timeout)
        if self._process.stdin is not None:
            self._process.stdin.close()
        return code

    def stop(self, number: Signals = SIGTERM, timeout: float = 40.0) -> int:
        """Ask it to end and return its exit code; what does not end in time is killed.

        Raises:
            AssertionError: it had to be killed, or left processes behind.
        """
        assert self._process is not None, f"{self.name} was not started"
        family = self.family()
        if self.running:
            self.send(number)
        try:
            code = self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop within {timeout} s\n{self.log_tail()}") from None
        left = [process for process in family if _alive(process)]
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        assert not left, f"{self.name} left processes behind: {len(left)}"
        return code

    def kill(self) -> None:
        """End it and everything it started as a power cut would."""
        if self._process is None:
            return
        family = self.family()
        if self._process.poll() is None:
            self._process.kill()
        self.wait(10)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        wait_until(lambda: not any(_alive(process) for process in family), f"the end of what {self.name} started")

    def family(self) -> list[psutil.Process]:
        """Everything it started that runs."""
        try:
            found: list[psutil.Process] = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return found

    def log_tail(self, size: int = 6000) -> str:
        """The end of what it wrote."""
        return self.log.read_bytes()[-size:].decode(errors="replace") if self.log.exists() else ""


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
