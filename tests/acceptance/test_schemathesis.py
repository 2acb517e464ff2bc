"""The API does what its document says, whatever is sent: schemathesis calls every operation of a running gateway.

More of it by hand, in the folder `schemathesis`, on a gateway with a connected account `alice`:
`PYTHONPATH=. schemathesis --config-file schemathesis.toml run URL/openapi.json -H "Authorization: Bearer TOKEN"
--max-examples 500 --seed N`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.api.catalogue import OPERATIONS
from tests.acceptance.stack import GatewayStack, open_stack
from tests.rigs.sandbox_lab import SandboxLab

CONFIGURATION = Path(__file__).parent / "schemathesis"


@pytest.fixture
def stack(sandbox_lab: SandboxLab) -> Iterator[GatewayStack]:
    """A gateway of this test's own, as its settings and accounts are changed at random."""
    with open_stack(sandbox_lab) as stack:
        stack.connect(stack.lab.users[0], "alice")
        yield stack


def test_answers_are_documented_and_need_a_token_whatever_is_sent(stack: GatewayStack, tmp_path: Path) -> None:
    """No crash, no status, media type or member that is not in the document, no answer without a token."""
    # It keeps notes where it runs.
    directory = shutil.copytree(CONFIGURATION, tmp_path / "schemathesis")
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", "schemathesis.toml"]
    options = ["-u", stack.url, "-H", f"Authorization: Bearer {stack.token}", "-H", "X-EE-Timeout: 2000"]
    ran = subprocess.run(
        [*command, "run", f"{stack.url}/openapi.json", *options, "--no-color", "--continue-on-failure"],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(directory)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, "\n".join(line[:1000] for line in ran.stdout.splitlines()) + ran.stderr
    # All but the stream, on an account that was there until the end.
    assert f"Tested: {len(OPERATIONS) - 1}\n" in ran.stdout, ran.stdout
    assert stack.api.account("alice")["state"] == "connected"
