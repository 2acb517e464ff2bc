"""The Lua scripts of the queue. They write what RQ 3.0 writes; `tests/integration/queue` compares the two.

Keys of jobs, of workers and of their queues are built from what was just read, so they are not declared: one slot holds
them all.
"""

from __future__ import annotations

from importlib.resources import files

from gateway.redis.script import Script


def load(*names: str) -> Script:
    """Return the script that the files ``<name>.lua`` make one after the other."""
    return Script("\n".join(files(__package__).joinpath(f"{name}.lua").read_text() for name in names))


ENQUEUE = load("enqueue")
START = load("start")
FINISH = load("finish")

OWNER = load("ownership", "owner")
CLAIM = load("ownership", "claim")
BALANCE = load("ownership", "balance")
RELEASE = load("ownership", "release")
RETURN_JOBS = load("ownership", "return_jobs")
FREE = load("ownership", "free")
RECONCILE = load("ownership", "reconcile")
FORGET = load("ownership", "forget")
