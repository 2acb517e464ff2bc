"""Other people's generators take the API document, and what they make of it talks to a gateway."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.client import Client
from tests.acceptance.letters import letter
from tests.acceptance.stack import GatewayStack
from tests.rigs.requirement import require

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "openapi" / "clients"

# All of them write to the same folder.
pytestmark = pytest.mark.xdist_group("generated clients")


@pytest.fixture(scope="module")
def clients() -> Path:
    """The folder of generated clients, made anew; linters and the TypeScript compiler have nothing to say."""
    require("node")
    # The environment that runs this is the one to use, so it is not made anew.
    command = ["make", "--old-file=.venv/.test", f"BIN={Path(sys.executable).parent}", "contract"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    return CLIENTS


@pytest.fixture
def carol(sandbox_stack: GatewayStack) -> Iterator[str]:
    """An account that has mail, of somebody whom no other account of the stack belongs to."""
    user = sandbox_stack.lab.users[2]
    sandbox_stack.lab.deliver(user, letter(user).raw)
    with sandbox_stack.connected(user) as account:
        yield account


def run(command: list[str], stack: GatewayStack, account: str, **environment: str) -> dict[str, str]:
    """Return what an example prints, by the first word of each line."""
    arguments = [stack.url, stack.token, account, stack.lab.users[1]]
    ran = subprocess.run(
        [*command, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return dict(line.split(" ", 1) for line in ran.stdout.splitlines())


def check(printed: dict[str, str], api: Client, account: str) -> None:
    """Compare what an example printed with what the gateway says."""
    listed = api.messages(account)
    assert "INBOX" in printed["mailboxes"].split(", ")
    assert int(printed["messages"]) > 0
    assert printed["subject"] in {entry.get("subject") for entry in listed["messages"]}
    assert printed["queued"]


def test_the_python_client_reads_and_sends(clients: Path, sandbox_stack: GatewayStack, carol: str) -> None:
    command = [sys.executable, str(ROOT / "openapi/examples/read_and_send.py")]
    check(run(command, sandbox_stack, carol, PYTHONPATH=str(clients / "python")), sandbox_stack.api, carol)


def test_the_typescript_client_reads_and_sends(clients: Path, sandbox_stack: GatewayStack, carol: str) -> None:
    command = ["node", str(clients / "typescript" / "read_and_send.js")]
    check(run(command, sandbox_stack, carol), sandbox_stack.api, carol)
