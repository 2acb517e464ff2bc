"""OAuth2 against Microsoft's identity service, through MSAL (RFC 6749, RFC 7636, OpenID Connect Core).

MSAL brings PKCE, state and nonce. Its token cache is left empty for users: the gateway keeps their grants itself,
encrypted. MSAL blocks, so every operation is one thread hop.
"""

from __future__ import annotations

import asyncio
import secrets
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from msal import ConfidentialClientApplication, TokenCache

from gateway.errors import InvalidRequestError, ReauthorizationError, Remedy, UnsupportedOperationError
from gateway.provider import AuthorizationStart, Clock, Grant, Identity, OAuth2App
from gateway_microsoft import classify, explain
from gateway_microsoft.claims import misdirected, signed_in_user
from gateway_microsoft.clouds import Cloud, cloud_of, load_clouds
from gateway_microsoft.scopes import APP_ONLY, requested_scopes, resource_scopes
from gateway_microsoft.transport import Transport

# Lifetime of an access token when the answer does not tell it (RFC 6749 section 5.1), seconds.
_LIFETIME = 3600
# Parameters of the redirect that are passed on. "client_info" is not signed and counts for nothing.
_PARAMS = ("code", "state")
_MSAL_ADDS = frozenset({"offline_access", "openid", "profile"})


class _NullCache(TokenCache):  # type: ignore[misc]
    """A token cache that keeps nothing; MSAL's would collect the tokens of every account in memory."""

    def add(self, event: dict[str, Any], now: float | None = None) -> None:
        """Forget the tokens."""

    def find(self, *args: Any, **kwargs: Any) -> list[dict[str, Any]]:
        """Find nothing."""
        return []

    def search(self, *args: Any, **kwargs: Any) -> list[dict[str, Any]]:
        """Find nothing."""
        return []


class MicrosoftIdentity(Identity):
    """The OAuth2 side of one app in one cloud. Threads may share it."""

    def __init__(self, app: OAuth2App, cloud: Cloud, clock: Clock, *, transport: Transport | None = None) -> None:
        """Prepare MSAL; no input or output happens, except for a cloud that asks for MSAL's instance discovery.

        Args:
            app: the registered app.
            cloud: where it is registered.
            clock: the present time, aware UTC.
            transport: HTTP client to use instead of an own one.
        """
        self.app = app
        self.cloud = cloud
        self._clock = clock
        self._transport = transport or Transport(cloud)
        self._scopes = requested_scopes(app, cloud)
        app_only = app.provider == APP_ONLY
        skipped = [scope for scope in ("offline_access", "profile") if scope not in self._scopes]
        self._msal: Any = ConfidentialClientApplication(
            app.client_id,
            client_credential=app.client_secret or None,
            authority=f"{cloud.login.replace('http://', 'https://', 1)}/{app.authority}",
            # Tokens of the app itself are few, and shared by all mailboxes of a tenant.
            token_cache=TokenCache() if app_only else _NullCache(),
            http_client=self._transport,
            exclude_scopes=skipped,
            instance_discovery=cloud.instance_discovery,
            azure_region=False,
        )

    def authorization(
        self, *, state: str, login_hint: str | None = None, prompt: str | None = None
    ) -> AuthorizationStart:
        """Begin an authorization code flow with PKCE, state and nonce; the person chooses an account by default.

        Raises:
            UnsupportedOperationError: this kind of app signs in as itself.
        """
        if self.app.provider == APP_ONLY:
            raise UnsupportedOperationError("this app signs in as itself, not as a user")
        with warnings.catch_warnings():
            # MSAL prefers a form post; the redirect of a sign-in arrives as a GET here, and PKCE protects the code.
            warnings.filterwarnings("ignore", message="response_mode='form_post'")
            flow = self._msal.initiate_auth_code_flow(
                _msal_scopes(self._scopes),
                redirect_uri=self.app.redirect_url,
                state=state,
                prompt=prompt or "select_account",
                login_hint=login_hint,
            )
        return AuthorizationStart(url=self._transport.public_url(flow.pop("auth_uri")), flow=flow)

    async def exchange(self, start: AuthorizationStart, params: Mapping[str, str]) -> Grant:
        """Redeem the parameters of the redirect for a grant that names its user. See `Identity.exchange`."""
        if not secrets.compare_digest(str(start.flow.get("state")).encode(), params.get("state", "").encode()):
            raise classify.misdirected()
        if (refused := explain.parse_error(params)) is not None:
            raise classify.oauth_error(refused, self.app, self.cloud)
        if not params.get("code"):
            raise InvalidRequestError("the redirect holds neither a code nor an error")
        passed = {name: params[name] for name in _PARAMS}
        # MSAL takes things out of the flow that it is given.
        flow = dict(start.flow)
        began = self._clock()
        result = await self._call(lambda: self._msal.acquire_token_by_auth_code_flow(flow, passed))
        claims = result.get("id_token_claims")
        if not isinstance(claims, dict) or (user := signed_in_user(claims)) is None:
            raise classify.unreadable()
        if misdirected(claims, self.app.client_id, began):
            raise classify.misdirected()
        return self._grant(result, began, Grant(access_token="", expires_at=began, user=user, scopes=self._scopes))

    async def refresh(self, grant: Grant) -> Grant:
        """Renew a grant with the scopes it was given for, whatever the app asks for by now.

        Raises:
            ReauthorizationError: the grant is gone, or has no refresh token.
            ConsentRequiredError, AppRefusedError: see `Identity.exchange`.
            TransientError: the grant is as good as before.
        """
        token = grant.refresh_token
        if not token:
            raise ReauthorizationError("there is no refresh token: somebody has to sign in again")
        scopes = _msal_scopes(grant.scopes) or _msal_scopes(self._scopes)
        began = self._clock()
        result = await self._call(lambda: self._msal.acquire_token_by_refresh_token(token, scopes))
        return self._grant(result, began, grant)

    async def client_credentials(self) -> Grant:
        """Get a token for the app itself; MSAL keeps it until five minutes before it expires.

        Raises:
            UnsupportedOperationError: this kind of app signs in users.
            AppRefusedError: the app is wrongly registered.
            TransientError: try again.
        """
        if self.app.provider != APP_ONLY:
            raise UnsupportedOperationError("this app signs in users, not itself")
        began = self._clock()
        result = await self._call(lambda: self._msal.acquire_token_for_client(list(self._scopes)))
        return self._grant(result, began, Grant(access_token="", expires_at=began, scopes=self._scopes))

    def explain(self, response: Mapping[str, Any]) -> Remedy:
        """Explain an OAuth2 error response to the person who must act."""
        error = explain.parse_error(response) or explain.OAuthError(error="unknown")
        return explain.remedy(error, self.app, self.cloud)

    async def _call(self, function: Callable[[], Any]) -> dict[str, Any]:
        """Run a blocking MSAL call in a thread and return its answer, which holds an access token."""
        return await asyncio.to_thread(self._run, function)

    def _run(self, function: Callable[[], Any]) -> dict[str, Any]:
        try:
            result = function()
        except classify.NATIVE_ERRORS as error:
            raise classify.native_error(error, self.app, self.cloud, self._clock()) from error
        if not isinstance(result, dict) or "access_token" not in result:
            raise classify.unreadable()
        return result

    def _grant(self, result: dict[str, Any], began: datetime, before: Grant) -> Grant:
        scope = result.get("scope")
        claims = result.get("id_token_claims")
        return Grant(
            access_token=result["access_token"],
            expires_at=began + timedelta(seconds=_seconds(result.get("expires_in"))),
            refresh_token=result.get("refresh_token") or before.refresh_token,
            scopes=tuple(scope.split()) if isinstance(scope, str) and scope.strip() else before.scopes,
            token_type=result.get("token_type") or "Bearer",
            user=before.user or (signed_in_user(claims) if isinstance(claims, dict) else None),
        )


class Identities:
    """The identities of all apps, the same object for the same app as long as neither it nor its cloud changes."""

    def __init__(self, data_dir: Path | None, clock: Clock, *, size: int = 64) -> None:
        """Prepare.

        Args:
            data_dir: where the installation's own clouds file is, if there is one.
            clock: the present time, aware UTC.
            size: how many identities are kept.
        """
        self._data_dir = data_dir
        self._clock = clock
        self._size = size
        self._kept: OrderedDict[tuple[OAuth2App, Cloud], MicrosoftIdentity] = OrderedDict()

    @property
    def clouds(self) -> Mapping[str, Cloud]:
        """All clouds, as they are now. Raises `ConfigurationError` for a broken file."""
        return load_clouds(self._data_dir)

    def identity(self, app: OAuth2App) -> MicrosoftIdentity:
        """Return the identity of an app.

        Raises:
            AppRefusedError: there is no such cloud.
        """
        key = (app, cloud_of(app.cloud, self._data_dir))
        identity = self._kept.get(key)
        if identity is None:
            identity = self._kept[key] = MicrosoftIdentity(app, key[1], self._clock)
        self._kept.move_to_end(key)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)
        return identity


def _msal_scopes(scopes: tuple[str, ...]) -> list[str]:
    """Return the scopes as MSAL wants them: it adds some by itself and refuses them as arguments."""
    return [scope for scope in scopes if scope not in _MSAL_ADDS] if resource_scopes(scopes) else []


def _seconds(expires_in: object) -> int:
    try:
        return int(str(expires_in))
    except ValueError:
        return _LIFETIME
