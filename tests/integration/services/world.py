"""Services on a real Redis with an identity provider that follows a script."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any, ClassVar

import msgspec

from gateway.errors import InvalidRequestError, ReauthorizationError, Remedy
from gateway.model.account import AccountCreate, OAuth2Auth, OAuth2Config
from gateway.model.oauth2 import AppCreate
from gateway.plugins import Plugins
from gateway.provider import (
    Account,
    AuthorizationStart,
    Clock,
    Grant,
    Identity,
    IdentityProvider,
    OAuth2App,
    Provider,
    Session,
    SessionContext,
    SignedInUser,
)
from gateway.services.container import Services, build_services
from gateway.settings import Egress, Settings
from gateway.testing.clock import FakeClock

KEY = bytes(range(32))
LIFETIME = timedelta(hours=1)
PUBLIC = Egress()

Step = Callable[[], Awaitable[None]]


class ScriptedIdentity(Identity):
    """An identity provider that rotates refresh tokens: each is good for one use, except while it is unreachable.

    Attributes:
        before_answer: awaited between the check of a refresh token and the answer, once for each refresh.
        errors: raised by the next refreshes instead of an answer, one each.
        refreshes: how often each refresh token was presented.
        valid: the refresh tokens that are good.
        signs_in: who the next sign-in is.
    """

    def __init__(self, clock: Clock) -> None:
        self.before_answer: Step | None = None
        self.errors: list[Exception] = []
        self.refreshes: Counter[str] = Counter()
        self.valid: set[str] = set()
        self.revoked: list[str] = []
        self.signs_in = SignedInUser(user="ann@example.test", email="ann@example.test", emails=("ann@example.test",))
        self._clock = clock
        self._number = 0
        self._before: dict[str, str] = {}

    def comes_of(self, token: str | None, ancestor: str | None) -> bool:
        """Tell whether a refresh token is another one, or was got with it, directly or not."""
        while token is not None and token != ancestor:
            token = self._before.get(token)
        return token is not None

    def issue(self) -> Grant:
        """Return a new grant, as a sign-in does."""
        self._number += 1
        refresh = f"refresh-{self._number}"
        self.valid.add(refresh)
        return Grant(
            access_token=f"access-{self._number}",
            refresh_token=refresh,
            expires_at=self._clock() + LIFETIME,
            scopes=("mail",),
            user=self.signs_in,
        )

    def withdraw(self) -> None:
        """End every grant."""
        self.valid.clear()

    def authorization(
        self, *, state: str, login_hint: str | None = None, prompt: str | None = None
    ) -> AuthorizationStart:
        return AuthorizationStart(url=f"https://identity.test/authorize?state={state}", flow={"state": state})

    async def exchange(self, start: AuthorizationStart, params: Mapping[str, str]) -> Grant:
        if params.get("error"):
            remedy = Remedy(code="declined", title="The sign-in was cancelled", who="user")
            raise ReauthorizationError("the sign-in was cancelled", remedy=remedy)
        if params.get("code") != "good":
            raise InvalidRequestError("no such code")
        return self.issue()

    async def refresh(self, grant: Grant) -> Grant:
        token = grant.refresh_token or ""
        self.refreshes[token] += 1
        good = token in self.valid
        if self.before_answer is not None:
            await self.before_answer()
        if self.errors:
            raise self.errors.pop(0)
        if not good:
            raise ReauthorizationError("invalid_grant", native_code="AADSTS50173")
        self.valid.discard(token)
        issued = self.issue()
        self._before[issued.refresh_token or ""] = token
        return issued

    async def client_credentials(self) -> Grant:
        raise NotImplementedError

    def explain(self, response: Mapping[str, Any]) -> Remedy:
        return Remedy(code="unknown", title="unknown", who="user")

    async def revoke(self, grant: Grant) -> bool:
        self.revoked.append(grant.refresh_token or "")
        return True


class ScriptedIdentityProvider(IdentityProvider):
    """Signs in for every app through the one script."""

    name: ClassVar[str] = "scripted"
    app_types: ClassVar[frozenset[tuple[str, str]]] = frozenset({("outlook", "imap")})

    def __init__(self, clock: Clock) -> None:
        self.scripted = ScriptedIdentity(clock)

    def identity(self, app: OAuth2App) -> Identity:
        return self.scripted


class ScriptedProvider(Provider):
    """Serves the accounts of OAuth2 apps, and opens nothing."""

    name: ClassVar[str] = "scripted"
    app_types: ClassVar[frozenset[tuple[str, str]]] = frozenset({("outlook", "imap")})

    def open(self, account: Account, context: SessionContext) -> AbstractAsyncContextManager[Session]:
        raise NotImplementedError


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Connection settings of the second provider."""

    imap: Any = None
    smtp: Any = None
    ehlo_name: str | None = None


class PasswordProvider(Provider):
    """Serves accounts with servers of their own, and opens nothing."""

    name: ClassVar[str] = "servers"
    settings_key: ClassVar[str | None] = "imap"
    settings_type: ClassVar[type[msgspec.Struct] | None] = ServerSettings

    def open(self, account: Account, context: SessionContext) -> AbstractAsyncContextManager[Session]:
        raise NotImplementedError


class World:
    """Services, their clock, and the identity provider behind them."""

    def __init__(self, services: Services, identity: ScriptedIdentity, clock: FakeClock) -> None:
        self.services = services
        self.identity = identity
        self.clock = clock
        self.app = ""

    async def add_app(self) -> None:
        """Register the app that accounts sign in through."""
        await self.services.runtime_settings.update({"serviceUrl": "https://gateway.test"})
        request = AppCreate(
            name="App",
            provider="outlook",
            base_scopes="imap",
            enabled=True,
            client_id="client",
            client_secret="client-secret",
            redirect_url="https://gateway.test/oauth",
        )
        self.app = (await self.services.apps.create(request)).id

    async def add_account(self, account: str = "ann", grant: Grant | None = None) -> Grant:
        """Sign somebody in, and return the grant."""
        grant = grant or self.identity.issue()
        user = f"{account}@example.test"
        oauth2 = OAuth2Config(provider=self.app, auth=OAuth2Auth(user=user))
        await self.services.accounts.create(AccountCreate(account=account, name="", email=user, oauth2=oauth2), grant)
        return grant

    async def valid(self, account: str = "ann", **options: Any) -> Grant:
        """Return a usable grant as a session would ask for it."""
        stored = await self.services.account_store.get(account)
        assert stored is not None
        grant, _ = await self.services.grants.valid(stored.config, **options)
        return grant

    async def stored_refresh_token(self, account: str = "ann") -> str | None:
        """Return the refresh token that the gateway holds."""
        stored = await self.services.grants.peek(account)
        return stored.grant.refresh_token if stored is not None else None


@asynccontextmanager
async def open_world(
    redis_url: str, *, clock: FakeClock | None = None, egress: Egress = PUBLIC, **members: Any
) -> AsyncIterator[World]:
    """Wire services on a Redis; jobs are queued there and nobody runs them. `members` are of the settings."""
    clock = clock or FakeClock()
    identities = ScriptedIdentityProvider(clock)
    providers: dict[str, Provider] = {"scripted": ScriptedProvider(), "servers": PasswordProvider()}
    plugins = Plugins(providers=providers, identities={"scripted": identities}, sandboxes={}, installed=())
    settings = Settings(redis_url=redis_url, secret_keys=(KEY,), egress=egress, **members)
    services = build_services(settings, plugins=plugins, clock=clock)
    world = World(services, identities.scripted, clock)
    try:
        await world.add_app()
        yield world
    finally:
        await services.aclose()


async def both(*steps: Awaitable[Any]) -> list[Any]:
    """Run steps at the same time; returns results and errors."""
    return list(await asyncio.gather(*steps, return_exceptions=True))
