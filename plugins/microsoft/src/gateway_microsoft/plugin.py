"""Microsoft's identity service as the gateway sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from gateway import hookimpl
from gateway.provider import AppGuide, Environment, Identity, IdentityProvider, OAuth2App
from gateway_microsoft.guide import app_guide
from gateway_microsoft.identity import Identities
from gateway_microsoft.problems import app_problems


class MicrosoftIdentityProvider(IdentityProvider):
    """Signs in for apps of the Microsoft Entra admin center: people, or the app itself."""

    name: ClassVar[str] = "microsoft"
    app_types: ClassVar[frozenset[tuple[str, str]]] = frozenset(
        {("outlook", "imap"), ("outlook", "api"), ("outlookService", "imap"), ("outlookService", "api")}
    )

    def __init__(self, environment: Environment) -> None:
        """Prepare.

        Args:
            environment: its data directory may hold an own clouds file.
        """
        self._identities = Identities(environment.data_dir, environment.clock)

    def identity(self, app: OAuth2App) -> Identity:
        """See `IdentityProvider.identity`.

        Raises:
            AppRefusedError: the app's cloud is not known here.
        """
        return self._identities.identity(app)

    def app_problems(self, app: OAuth2App) -> Mapping[str, str]:
        """See `IdentityProvider.app_problems`."""
        return app_problems(app, self._identities.clouds)

    def app_guide(self, app_provider: str, base_scopes: str) -> AppGuide | None:
        """See `IdentityProvider.app_guide`."""
        return app_guide(app_provider, base_scopes, self._identities.clouds)


@hookimpl
def gateway_register_identities(register: Callable[[IdentityProvider], None], environment: Environment) -> None:
    """Register the identity provider."""
    register(MicrosoftIdentityProvider(environment))
