"""Run the program with Microsoft's client against a sandbox: ``python -m tests.graph_sdk PYTHON``.

PYTHON is the interpreter that has the client, see ``make sdk``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from gateway_sandbox.testing import ALICE, sandbox_in_thread, take_any_ports
from tests.rigs.graph_client import GRAPH_SCOPES


def main() -> int:
    """Return the exit code of the program."""
    with tempfile.TemporaryDirectory() as directory, sandbox_in_thread(take_any_ports(Path(directory))) as sandbox:
        token = sandbox.sign_in(ALICE, GRAPH_SCOPES)["access_token"]
        program = Path(__file__).with_name("program.py")
        return subprocess.run([sys.argv[1], str(program), sandbox.endpoints.origin, token], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
