"""Existing clients of the wire API are not asked for anything they do not send."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Compares a document with the wire API's operations; not a part of this repository.
TOOL = ROOT.parent / "shared" / "tools" / "compat.py"


@pytest.mark.skipif(not TOOL.exists(), reason="the list of the wire API's operations is not at hand")
def test_nothing_is_newly_required() -> None:
    """Of the operations that the gateway has, with all their members."""
    document = ROOT / "openapi" / "openapi.json"
    run = subprocess.run([sys.executable, TOOL, document], capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "BREAKS" not in run.stdout
    total = next(line for line in run.stdout.splitlines() if line.startswith("TOTAL"))
    assert int(total.split()[1].partition("/")[0]) >= 40
