"""A worker that stands still ends; one that works goes on."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import asyncio, re
from gateway_workers.watchdog import watchdog

async def main():
    async with watchdog(0.5):
        {work}
    print("done")

asyncio.run(main())
"""


def _run(work: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(work=work)], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_process_that_is_held_by_one_call_ends() -> None:
    """The pattern keeps the interpreter to itself for longer than anybody waits."""
    ran = _run("re.fullmatch('(a+)+b', 'a' * 64)")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "fullmatch" in ran.stderr
    assert "aaaa" not in ran.stderr


def test_a_process_whose_loop_turns_goes_on() -> None:
    ran = _run("await asyncio.sleep(1.2)")
    assert (ran.returncode, ran.stdout) == (0, "done\n")
