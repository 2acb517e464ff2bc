"""Bugs in OAuth2."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from gateway.errors import ConnectError, ReauthorizationError, Remedy, ServiceUnavailableError
from gateway.provider import AuthorizationStart, Grant, Identity, OAuth2App
from tests.contract.memory_provider import MemoryIdentity, MemoryIdentityProvider
from tests.contract.planting import breaks


@breaks("test_identity_provider_has_a_name_and_apps")
class ServesOtherApps(MemoryIdentityProvider):
    app_types = frozenset({("memory", "api")})


@breaks("test_identity_provider_has_a_name_and_apps")
class FindsFaultWithEveryApp(MemoryIdentityProvider):
    def app_problems(self, app: OAuth2App) -> Mapping[str, str]:
        return {"clientId": "is not known"}


@breaks("test_identity_is_the_same_for_the_same_app")
class NewIdentityEveryTime(MemoryIdentityProvider):
    def identity(self, app: OAuth2App) -> Identity:
        self.by_app.clear()
        return super().identity(app)


class ChangedUrl(MemoryIdentity):
    """A base for bugs in the authorization URL."""

    def change(self, start: AuthorizationStart) -> AuthorizationStart:
        raise NotImplementedError

    def authorization(self, **kwargs: Any) -> AuthorizationStart:
        return self.change(super().authorization(**kwargs))


@breaks("test_authorization_carries_state_and_pkce")
class PlainChallenge(ChangedUrl):
    def change(self, start: AuthorizationStart) -> AuthorizationStart:
        return replace(start, url=start.url.replace("S256", "plain"))


@breaks("test_authorization_carries_state_and_pkce")
class FixedChallenge(ChangedUrl):
    def change(self, start: AuthorizationStart) -> AuthorizationStart:
        before, _, after = start.url.partition("code_challenge=")
        return replace(start, url=f"{before}code_challenge=always&{after.partition('&')[2]}")


@breaks("test_authorization_carries_state_and_pkce")
class FlowIsNotJson(ChangedUrl):
    def change(self, start: AuthorizationStart) -> AuthorizationStart:
        return replace(start, flow={"scopes": ("a", "b")})


@breaks("test_authorization_shows_no_secret")
class SecretInTheUrl(ChangedUrl):
    def change(self, start: AuthorizationStart) -> AuthorizationStart:
        return replace(start, url=f"{start.url}&client_secret={self.app.client_secret}")


@breaks("test_refreshed_grant_can_be_refreshed")
class KeepsTheOldRefreshToken(MemoryIdentity):
    async def refresh(self, grant: Grant) -> Grant:
        return replace(await super().refresh(grant), refresh_token=grant.refresh_token)


@breaks("test_refreshed_grant_can_be_refreshed")
class ServesTheCachedToken(MemoryIdentity):
    async def refresh(self, grant: Grant) -> Grant:
        return grant


@breaks("test_refresh_token_is_kept_when_no_new_one_comes")
class DropsTheRefreshToken(MemoryIdentity):
    def made(self, answer: Mapping[str, str], refresh_token: str | None) -> Grant:
        return super().made(answer, None)


@breaks("test_expiry_follows_our_own_clock")
class TheirClock(MemoryIdentity):
    async def refresh(self, grant: Grant) -> Grant:
        end = datetime.now(UTC) + timedelta(seconds=self.service.lifetime)
        return replace(await super().refresh(grant), expires_at=end)


@breaks("test_expiry_follows_our_own_clock")
class NaiveExpiry(MemoryIdentity):
    async def refresh(self, grant: Grant) -> Grant:
        found = await super().refresh(grant)
        return replace(found, expires_at=found.expires_at.replace(tzinfo=None))


@breaks("test_withdrawn_grant_needs_a_new_sign_in")
class WithdrawnIsTriedAgain(MemoryIdentity):
    async def refresh(self, grant: Grant) -> Grant:
        try:
            return await super().refresh(grant)
        except ReauthorizationError:
            raise ServiceUnavailableError("HTTP 400") from None


@breaks("test_withdrawn_grant_needs_a_new_sign_in")
class WithdrawnWithoutRemedy(MemoryIdentity):
    async def refresh(self, grant: Grant) -> Grant:
        try:
            return await super().refresh(grant)
        except ReauthorizationError:
            raise ReauthorizationError("the grant has gone") from None


@breaks("test_withdrawn_grant_needs_a_new_sign_in")
class TokenInTheError(MemoryIdentity):
    async def refresh(self, grant: Grant) -> Grant:
        try:
            return await super().refresh(grant)
        except ReauthorizationError as error:
            raise ReauthorizationError(f"{grant.refresh_token} has gone", remedy=error.remedy) from None


@breaks("test_unreachable_identity_provider_is_a_passing_fault")
class NetworkFaultIsInvalidGrant(MemoryIdentity):
    async def refresh(self, grant: Grant) -> Grant:
        try:
            return await super().refresh(grant)
        except ConnectError:
            raise ReauthorizationError("no token") from None


@breaks("test_unreachable_identity_provider_is_a_passing_fault")
class FaultSpoilsTheGrant(MemoryIdentity):
    async def refresh(self, grant: Grant) -> Grant:
        try:
            return await super().refresh(grant)
        except ConnectError:
            self.service.refresh_tokens.clear()
            raise


@breaks("test_cancelled_sign_in_needs_a_new_one")
class CancelIsIgnored(MemoryIdentity):
    async def exchange(self, start: AuthorizationStart, params: Mapping[str, str]) -> Grant:
        return await super().exchange(start, {})


@breaks("test_grant_shows_no_token")
class TokenInTheGrant(MemoryIdentity):
    async def refresh(self, grant: Grant) -> Grant:
        found = await super().refresh(grant)
        return replace(found, scopes=(found.access_token,))


@breaks("test_every_refusal_can_be_explained")
class UnknownRefusalRaises(MemoryIdentity):
    def explain(self, response: Mapping[str, Any]) -> Remedy:
        return Remedy(code=response["error"], title="Sign in again", who="user")
