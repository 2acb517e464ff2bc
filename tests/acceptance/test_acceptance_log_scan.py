"""The scanner that reads every log of this suite does find what it looks for."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.acceptance.log_scan import LogScan


@pytest.mark.parametrize(
    "written",
    [b"a planted+secret b", b"q=planted%2Bsecret", base64.b64encode(b"planted+secret"), b"PLANTED+SECRET".lower()],
    ids=["plain", "percent-encoded", "base64", "lower-case"],
)
def test_a_planted_value_is_found(tmp_path: Path, written: bytes) -> None:
    """Otherwise a clean result would mean nothing."""
    log = tmp_path / "process.log"
    log.write_bytes(b'{"event": "started"}\n' + written + b"\n")
    scan = LogScan()
    scan.plant("Planted+Secret" if written.startswith(b"planted") else "planted+secret")
    with pytest.raises(AssertionError, match=r"process\.log"):
        scan.check(log)
    scan.plant("something else")
    log.write_bytes(b'{"event": "started"}\n')
    scan.check(log)
