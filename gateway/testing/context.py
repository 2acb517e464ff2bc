"""What the gateway lends to a session, in memory."""

from __future__ import annotations

from typing import NamedTuple

from gateway.errors import ReauthorizationError
from gateway.provider import Account, Login, OAuth2App, Service, SessionContext

__all__ = ["AccountUnderTest", "FixedCredentials", "MemoryNumbers", "session_context"]


class FixedCredentials:
    """Credentials with one login for every service.

    Attributes:
        refused: logins that a session gave back as refused by the server, in order.
    """

    def __init__(self, login: Login | None, *, renewed: Login | None = None) -> None:
        """Prepare them.

        Args:
            login: what is handed out; None when there is nothing to log in with.
            renewed: what is handed out once `login` was refused.
        """
        self._login = login
        self._renewed = renewed
        self.refused: list[Login] = []

    async def login(self, service: Service, *, refused: Login | None = None) -> Login:
        """Return the login; see `gateway.provider.Credentials`."""
        if refused is not None:
            self.refused.append(refused)
            if self._renewed is not None:
                self._login = self._renewed
        if self._login is None:
            raise ReauthorizationError("there is nothing to log in with")
        return self._login


class MemoryNumbers:
    """A numbering that lasts as long as the object."""

    def __init__(self) -> None:
        self._names: list[str] = []

    async def number(self, name: str) -> int:
        """Return the number of `name`; see `gateway.provider.Numbers`."""
        if name not in self._names:
            self._names.append(name)
        return self._names.index(name) + 1

    async def name(self, number: int) -> str | None:
        """Return the name that has this number, or None."""
        return self._names[number - 1] if 0 < number <= len(self._names) else None


class AccountUnderTest(NamedTuple):
    """An account and what its sessions are opened with."""

    account: Account
    context: SessionContext


def session_context(login: Login | None, *, app: OAuth2App | None = None) -> SessionContext:
    """Return a context with one fixed login and an empty numbering."""
    return SessionContext(credentials=FixedCredentials(login), numbers=MemoryNumbers(), app=app)
