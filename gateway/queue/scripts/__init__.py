"""The Lua scripts of the queue. They write what RQ 3.0 writes; `tests/integration/queue` compares the two.

Keys of jobs are built from ids that were just popped, so they are not declared: one slot holds them all.
"""

from __future__ import annotations

from importlib.resources import files

from gateway.redis.script import Script


def load(name: str) -> Script:
    """Return the script in ``<name>.lua``."""
    return Script(files(__package__).joinpath(f"{name}.lua").read_text())


ENQUEUE = load("enqueue")
START = load("start")
FINISH = load("finish")
