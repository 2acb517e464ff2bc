"""``gateway dev`` as a person starts it."""

from __future__ import annotations

import json
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.acceptance.log_scan import LogScan
from tests.acceptance.processes import GatewayProcess
from tests.rigs.ports import reserve_port
from tests.rigs.processes import rig_directory, wait_until


class DevGateway:
    """A running ``gateway dev``.

    Attributes:
        url: of API, hosted pages and dashboard; also `base_url`.
        token: an API token with every right.
        data_dir: where it keeps everything.
        control_url: where the sandbox' failures are switched.
        log: what it printed.
    """

    def __init__(self, data_dir: Path, *, port: int | None = None, token: str | None = None) -> None:
        self.data_dir = data_dir
        self.token = token or secrets.token_hex(32)
        self.port = port or reserve_port()
        self.url = self.base_url = f"http://127.0.0.1:{self.port}"
        self.control_url = ""
        self.log = data_dir.parent / f"{data_dir.name}.log"
        arguments = ["dev", "--data-dir", str(data_dir), "--port", str(self.port)]
        settings = {"GATEWAY_PREPARED_TOKEN": self.token}
        self.process = GatewayProcess("dev", arguments, settings, self.log)

    def start(self) -> None:
        """Start it and wait until it says that it is ready."""
        state = self.data_dir / "dev.json"
        state.unlink(missing_ok=True)
        self.process.start()
        wait_until(lambda: self._ready(state), "gateway dev ready", 90)
        self.control_url = json.loads(state.read_text())["controlUrl"]

    def stop(self) -> None:
        """Press Ctrl-C.

        Raises:
            AssertionError: it did not end cleanly, or left processes behind.
        """
        code = self.process.stop(signal.SIGINT)
        assert code == 0, f"exit code {code}\n{self.process.log_tail()}"

    def said(self, text: str) -> bool:
        """Whether it printed this."""
        return text in self.log.read_text()

    def _ready(self, state: Path) -> bool:
        assert self.process.running, self.process.log_tail()
        if not state.exists():
            return False
        return httpx.get(f"{self.url}/health", timeout=5, trust_env=False).status_code == 200


@contextmanager
def open_dev() -> Iterator[DevGateway]:
    """Run ``gateway dev`` on a fresh data directory until the context is left."""
    with rig_directory("dev") as directory:
        dev = DevGateway(directory / "data")
        try:
            dev.start()
            yield dev
            dev.stop()
            scan = LogScan()
            # Token and password are printed at each start, on purpose; what the processes log beside that is looked at.
            scan.plant("sandbox-secret")
            scan.check(dev.log)
            said = dev.log.read_text()
            assert said.count("sandbox-password") == said.count("Ready after"), "the password was logged"
        finally:
            dev.process.kill()
