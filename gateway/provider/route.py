"""The way that connections to a mail server take: from which address of this machine, and through which proxy."""

from __future__ import annotations

from typing import Any, ClassVar

from gateway.provider.structs import SecretStruct


class Route(SecretStruct, frozen=True, kw_only=True):
    """How to reach a mail server, and what to say of oneself there. `gateway.smtp.dial` follows it.

    Attributes:
        proxy: URL of a proxy, with its user and password; None for none.
        local_address: IP address of this machine to connect from; None leaves it to the system.
        ehlo_name: how to greet submission servers; None for the socket's own address (RFC 5321 section 4.1.3).
        client: what to tell IMAP servers of this client, name and value (RFC 2971); empty for nothing.
        refusal: told the IP address of a proxy, returns why it must not be connected to, or None; a
            ``Callable[[str], str | None]``.
    """

    __shown__: ClassVar[tuple[str, ...]] = ("local_address", "ehlo_name")

    proxy: str | None = None
    local_address: str | None = None
    ehlo_name: str | None = None
    client: tuple[tuple[str, str], ...] = ()
    refusal: Any = None

    @property
    def direct(self) -> bool:
        """Whether the system may connect as it likes."""
        return self.proxy is None and self.local_address is None


#: No way in particular.
DIRECT = Route()
