"""The OAuth2 side of a provider: who signs in, at which service, with which tokens (RFC 6749, 7636)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from gateway.errors import Remedy
from gateway.provider.account import OAuth2App
from gateway.provider.structs import SecretStruct, Struct


class SignedInUser(Struct, frozen=True, kw_only=True):
    """Who signed in, as the identity provider says.

    Attributes:
        user: login name (user principal name, `preferred_username`).
        email: mail address.
        emails: every address the identity provider vouches for, lower case.
    """

    user: str
    email: str
    name: str = ""
    emails: tuple[str, ...] = ()


class Grant(SecretStruct, frozen=True, kw_only=True):
    """Tokens (RFC 6749 sections 4.1.4 and 6) and who they speak for."""

    __shown__ = ("expires_at", "scopes")

    access_token: str
    expires_at: datetime
    refresh_token: str | None = None
    scopes: tuple[str, ...] = ()
    token_type: str = "Bearer"
    user: SignedInUser | None = None


class AuthorizationStart(SecretStruct, frozen=True, kw_only=True):
    """A sign-in that was begun: the URL for the browser, and what `Identity.exchange` needs back (JSON-able)."""

    url: str
    flow: dict[str, Any]


class Identity(ABC):
    """The OAuth2 side of a provider for one app: authorization URL, token exchange, renewal (RFC 6749, 7636)."""

    @abstractmethod
    def authorization(
        self, *, state: str, login_hint: str | None = None, prompt: str | None = None
    ) -> AuthorizationStart:
        """Begin an authorization code flow with PKCE. No input or output happens."""

    @abstractmethod
    async def exchange(self, start: AuthorizationStart, params: Mapping[str, str]) -> Grant:
        """Redeem the parameters of the redirect for a grant that names its user.

        Raises:
            ConsentRequiredError: an administrator has to consent; the remedy holds the link for it.
            AppRefusedError: the app is wrongly registered (secret, redirect URL, permissions).
            ReauthorizationError: the user cancelled, or the code is no longer valid.
            TransientError: try again.
        """

    @abstractmethod
    async def refresh(self, grant: Grant) -> Grant:
        """Renew a grant; the result always holds the refresh token to use next (rotation).

        Raises:
            ReauthorizationError: only when the identity provider says that the grant itself is gone.
            TransientError: network fault, throttling or 5xx; the grant is as good as before.
        """

    @abstractmethod
    async def client_credentials(self) -> Grant:
        """Get a token for the app itself (RFC 6749 section 4.4).

        Raises:
            UnsupportedOperationError: this kind of app signs in users.
        """

    @abstractmethod
    def explain(self, response: Mapping[str, Any]) -> Remedy:
        """Explain an OAuth2 error response (RFC 6749 sections 4.1.2.1 and 5.2) to the person who must act."""

    async def revoke(self, grant: Grant) -> bool:
        """Withdraw a grant (RFC 7009); False when the identity provider has no way to do it."""
        return False


class AppGuide(Struct, frozen=True, kw_only=True):
    """What the page for a new application shows: choices, and which buttons to press at the provider's portal.

    Attributes:
        clouds: names, the default first.
        authorities: (value, label) pairs; a tenant id may be typed as well.
        permissions: the permissions to add, in the portal's words.
        steps: sentences, in order; `{redirect_url}` stands for the redirect URL.
    """

    title: str
    clouds: tuple[str, ...] = ()
    authorities: tuple[tuple[str, str], ...] = ()
    permissions: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()


class IdentityProvider(ABC):
    """One kind of identity service, for all apps that are registered there. Holds no account state.

    It stands apart from `Provider`, because one identity service signs in for several kinds of mail access.

    Attributes:
        name: a lower-case identifier, unique among the installed plugins.
        app_types: pairs (OAuth2 app provider, base scopes) that it signs in for.
    """

    name: ClassVar[str]
    app_types: ClassVar[frozenset[tuple[str, str]]]

    @abstractmethod
    def identity(self, app: OAuth2App) -> Identity:
        """Return the OAuth2 side of an app: the same object for the same app."""

    def app_problems(self, app: OAuth2App) -> Mapping[str, str]:
        """Return what is wrong with an app's fields: API field name -> sentence; empty when it can work."""
        return {}

    def app_guide(self, app_provider: str, base_scopes: str) -> AppGuide | None:
        """Return how to register such an app at the service's portal; None when it has nothing to say."""
        return None
