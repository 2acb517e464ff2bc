"""The Lua scripts of the mailbox index. Each stays within the keys of one account."""

from __future__ import annotations

from importlib.resources import files

from gateway.redis.script import Script


def load(name: str) -> Script:
    """Return the script in ``<name>.lua``."""
    return Script(files(__package__).joinpath(f"{name}.lua").read_text())


FENCE = load("fence")
APPLY = load("apply")
PAGE = load("page")
CONFIRM = load("confirm")
UNCONFIRM = load("unconfirm")
DIRTY = load("dirty")
FORGET = load("forget")
START = load("start")
REWORD = load("reword")
SIGHTS = load("sights")
