"""Loads: the generator is run in a process of its own, and what everybody used meanwhile is metered."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping

from tests.bench.installation import Gateway
from tests.bench.load import Call, Job, Seen
from tests.bench.meters import cpu_seconds


def run_load(
    gateway: Gateway,
    pids: Mapping[str, int],
    calls: list[Call],
    at_once: int,
    *,
    seconds: float = 0.0,
    count: int = 0,
) -> tuple[Seen, dict[str, float]]:
    """Run the load generator; return what it saw, and the CPU seconds that each tree used meanwhile.

    Raises:
        RuntimeError: something was refused, so that the times mean nothing.
    """
    job = Job(
        host="127.0.0.1",
        port=gateway.port,
        token=gateway.token,
        calls=calls,
        at_once=at_once,
        seconds=seconds,
        count=count,
    )
    before = cpu_seconds(pids)
    command = [sys.executable, "-m", "tests.bench.load"]
    ran = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, check=True)
    after = cpu_seconds(pids)
    seen: Seen = json.loads(ran.stdout)
    if seen["refused"]:
        raise RuntimeError(f"{calls[0]['path']}: answered with {seen['refused']} of {seen['count']}")
    used = {name: after[name] - before[name] for name in after}
    return seen, {**used, "client": seen["cpu"]}


def speed(seen: Seen) -> dict[str, float]:
    """Return the times and the rate of a load."""
    return {
        "p50 ms": seen["p50"] * 1000,
        "p95 ms": seen["p95"] * 1000,
        "req/s": seen["count"] / seen["seconds"],
    }


def cpu_each(cpu: Mapping[str, float], seen: Seen) -> dict[str, float]:
    """Return the CPU time for each request, in milliseconds."""
    return {f"{name} CPU": seconds * 1000 / seen["count"] for name, seconds in cpu.items()}


def get(path: str) -> Call:
    """Return a request."""
    return Call(method="GET", path=path, body=None)


def post(path: str, payload: object) -> Call:
    """Return a request with a body."""
    return Call(method="POST", path=path, body=json.dumps(payload))
