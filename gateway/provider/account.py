"""Accounts, and what proves the right to open them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from gateway.provider.route import Route
from gateway.provider.structs import SecretStruct, Service, Struct


class Login(SecretStruct, frozen=True, kw_only=True):
    """A user name with either a password or an OAuth2 access token; see also `NOBODY`."""

    user: str
    password: str | None = None
    access_token: str | None = None


#: The login where nobody logs in, as at submission servers that know their clients by their addresses.
NOBODY = Login(user="")


class Credentials(Protocol):
    """Hands out logins at the moment of use, because access tokens change under a long-lived session."""

    async def login(self, service: Service, *, refused: Login | None = None) -> Login:
        """Return a login for a service.

        Args:
            service: what it is for; passwords of IMAP and SMTP may differ.
            refused: a login that the server has just refused. If its access token is still the stored one, it is
                renewed first; a password is returned unchanged.

        Raises:
            ReauthorizationError: there is nothing left to log in with.
            ConnectError, RateLimitError: the token could not be renewed for a passing reason.
        """
        ...


class Numbers(Protocol):
    """A durable numbering of names within one account, for compact ids (first name 1, next 2, ...)."""

    async def number(self, name: str) -> int:
        """Return the number of `name`, giving it the next free one if it has none."""
        ...

    async def name(self, number: int) -> str | None:
        """Return the name that has this number, or None."""
        ...


class Account(Struct, frozen=True, kw_only=True):
    """What a provider needs to know of an account, besides credentials.

    Attributes:
        id: the gateway's id of it.
        user: the login name, e.g. the user principal name.
        email: the address mail is sent from.
        name: display name.
        settings: an instance of the provider's `settings_type`.
        shared: address of a shared mailbox that `user` opens with their own grant, else None.
        special_use: mailbox paths that the account's owner fixed, e.g. {"\\Sent": "Outbox/Done"}.
    """

    id: str
    user: str
    email: str
    name: str = ""
    settings: Any = None
    shared: str | None = None
    special_use: Mapping[str, str] = msgspec.field(default_factory=dict)


#: The ``state`` of a link for administrators is this followed by the app's id: an answer that carries it belongs to no
#: user's sign-in, and tells which accounts may try again.
CONSENT_STATE = "consent-"


class OAuth2App(SecretStruct, frozen=True, kw_only=True):
    """A registered OAuth2 application (RFC 6749 section 2), secret in the clear.

    Attributes:
        provider: the kind of identity service, e.g. "outlook", "outlookService".
        base_scopes: "imap" or "api": which family of permissions the app asks for.
        authority: who may sign in: "common", "consumers", "organizations" or a tenant id.
        cloud: name of the service's cloud.
    """

    __shown__ = ("id", "provider", "base_scopes", "authority", "cloud")

    id: str
    provider: str
    base_scopes: str
    client_id: str
    client_secret: str = ""
    authority: str = "common"
    cloud: str = "global"
    tenant: str | None = None
    redirect_url: str = ""
    extra_scopes: tuple[str, ...] = ()
    skip_scopes: tuple[str, ...] = ()


class SessionContext(Struct, frozen=True, kw_only=True):
    """What the gateway lends to a session: credentials, the account's numbering, and its OAuth2 app if it has one.

    Attributes:
        routes: which way connections to each service take; absent means a direct one.
        protocol_log: takes what goes over the session's connections; None when nobody wants to know.
    """

    credentials: Any  # Credentials; a protocol is not a msgspec type
    numbers: Any  # Numbers
    app: OAuth2App | None = None
    routes: Mapping[Service, Route] = msgspec.field(default_factory=dict)
    protocol_log: Any = None  # ProtocolLog | None
