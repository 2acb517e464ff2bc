"""A pretend mail service to try the gateway with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import ClassVar

from gateway.provider.structs import Struct


class SandboxInfo(Struct, frozen=True, kw_only=True):
    """A running sandbox.

    Attributes:
        control_url: where failures are switched on and off.
        ca_file: the authority that signed its servers' certificates.
        other_mailboxes: those that nobody picks on the sign-in page, a line about each: shared ones and who opens them,
            ones with a password and their servers.
    """

    control_url: str
    ca_file: Path | None = None
    other_mailboxes: tuple[str, ...] = ()


class Sandbox(ABC):
    """A pretend mail service on loopback, for trying and testing without an account or the internet.

    Attributes:
        app: members of ``POST /v1/oauth2`` for the app that is registered there.
        users: addresses that can sign in.
    """

    name: ClassVar[str]
    app: ClassVar[Mapping[str, str]]
    users: ClassVar[tuple[str, ...]]

    @abstractmethod
    def running(self, data_dir: Path) -> AbstractAsyncContextManager[SandboxInfo]:
        """Serve until the context is left; what happened survives in `data_dir`."""
