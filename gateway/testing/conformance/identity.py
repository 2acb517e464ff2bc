"""OAuth2: signing in, renewing, and what happens when the identity provider says no, or nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.errors import ReauthorizationError, Remedy, TransientError
from gateway.provider import Grant, Identity
from gateway.testing.conformance.base import Conformance
from gateway.testing.worlds import IdentityWorld

__all__ = ["IdentityConformance"]

#: A grant may be taken for shorter than it is, to renew it in time, but not by more than this.
_CAUTION = timedelta(minutes=10)


class IdentityConformance(Conformance):
    """The contract of `gateway.provider.IdentityProvider`, one promise to a test."""

    @pytest.fixture
    def identity_world(self) -> IdentityWorld | None:
        """The identity provider under test and the service that it talks to; None skips these tests."""
        return None

    @pytest.fixture
    def world(self, identity_world: IdentityWorld | None) -> IdentityWorld:
        """The same, or the reason why there is none."""
        if identity_world is None:
            pytest.skip("no fixture `identity_world`")
        return identity_world

    @pytest.fixture
    def identity(self, world: IdentityWorld) -> Identity:
        """The OAuth2 side for the app that the service knows."""
        return world.provider.identity(world.app)

    def test_identity_provider_has_a_name_and_apps(self, world: IdentityWorld) -> None:
        """Apps find it by their type, operators by its name; an app that works has no problems."""
        assert re.fullmatch(r"[a-z][a-z0-9_]*", world.provider.name)
        assert (world.app.provider, world.app.base_scopes) in world.provider.app_types
        assert not world.provider.app_problems(world.app)

    def test_identity_is_the_same_for_the_same_app(self, world: IdentityWorld, identity: Identity) -> None:
        """It keeps discovery documents and connections, which must not be fetched for every token."""
        assert world.provider.identity(world.app) is identity

    def test_authorization_carries_state_and_pkce(self, world: IdentityWorld, identity: Identity) -> None:
        """The state ties the answer to the browser, S256 ties the code to us (RFC 7636, RFC 9700 section 2.1)."""
        start = identity.authorization(state="state-1", login_hint="zoe@example.org")
        query = parse_qs(urlsplit(start.url).query)
        assert query["state"] == ["state-1"]
        assert query["code_challenge_method"] == ["S256"]
        assert query["client_id"] == [world.app.client_id]
        assert query["login_hint"] == ["zoe@example.org"]
        assert json.loads(json.dumps(start.flow)) == start.flow, "the flow is stored as JSON"
        other = identity.authorization(state="state-2")
        assert parse_qs(urlsplit(other.url).query)["code_challenge"] != query["code_challenge"]

    def test_authorization_shows_no_secret(self, world: IdentityWorld, identity: Identity) -> None:
        """The URL goes through the browser's history; the flow through logs if it had a text form."""
        start = identity.authorization(state="state-1")
        assert world.app.client_secret
        assert world.app.client_secret not in start.url
        assert not [value for value in start.flow.values() if isinstance(value, str) and value in repr(start)]

    async def test_refreshed_grant_can_be_refreshed(self, world: IdentityWorld, identity: Identity) -> None:
        """With rotation the old refresh token is dead: who keeps it loses the account an hour later."""
        first = await world.grant()
        second = await identity.refresh(first)
        third = await identity.refresh(second)
        assert len({first.access_token, second.access_token, third.access_token}) == 3
        assert third.refresh_token

    async def test_refresh_token_is_kept_when_no_new_one_comes(self, world: IdentityWorld, identity: Identity) -> None:
        """RFC 6749 section 6: issuing a new one is optional."""
        if world.keep_refresh_tokens is None:
            pytest.skip("this identity provider always sends one")
        first = await world.grant()
        await world.keep_refresh_tokens()
        second = await identity.refresh(first)
        assert second.refresh_token == first.refresh_token
        assert (await identity.refresh(second)).access_token

    async def test_expiry_follows_our_own_clock(self, world: IdentityWorld, identity: Identity) -> None:
        """Clocks differ; ``expires_in`` counts from the answer, whatever time the other side believes it is."""
        grant = await identity.refresh(await world.grant())
        end = world.clock() + timedelta(seconds=world.lifetime)
        assert grant.expires_at.utcoffset() == timedelta(0)
        assert end - _CAUTION <= grant.expires_at <= end + timedelta(seconds=5)

    async def test_withdrawn_grant_needs_a_new_sign_in(self, world: IdentityWorld, identity: Identity) -> None:
        """``invalid_grant`` parks the account until its user acts; trying again would be of no use."""
        grant = await world.grant()
        await world.withdraw()
        with pytest.raises(ReauthorizationError) as caught:
            await identity.refresh(grant)
        assert caught.value.remedy is not None, "the person who must act is told how"
        _assert_hidden(caught.value, grant)

    async def test_unreachable_identity_provider_is_a_passing_fault(
        self, world: IdentityWorld, identity: Identity
    ) -> None:
        """A network fault taken for ``invalid_grant`` asks every user to sign in again; and the grant stays good."""
        grant = await world.grant()
        await world.disconnect()
        with pytest.raises(TransientError) as caught:
            await identity.refresh(grant)
        _assert_hidden(caught.value, grant)
        await world.reconnect()
        assert (await identity.refresh(grant)).access_token

    async def test_cancelled_sign_in_needs_a_new_one(self, identity: Identity) -> None:
        """The user pressed "Cancel" (RFC 6749 section 4.1.2.1)."""
        start = identity.authorization(state="state-1")
        with pytest.raises(ReauthorizationError):
            await identity.exchange(start, {"state": "state-1", "error": "access_denied"})

    async def test_grant_shows_no_token(self, world: IdentityWorld, identity: Identity) -> None:
        """Grants pass through tracebacks and logs."""
        grant = await identity.refresh(await world.grant())
        _assert_hidden(grant, grant)
        _assert_hidden(identity, grant)

    def test_every_refusal_can_be_explained(self, identity: Identity) -> None:
        """Identity providers answer what they like; the person who reads it gets a sentence and who must act."""
        for response in (
            {"error": "invalid_grant", "error_description": "gone"},
            {"error": "invalid_client"},
            {"error": "never heard of"},
            {"error": None, "error_description": 7, "error_codes": "?"},
            {},
        ):
            remedy = identity.explain(response)
            assert isinstance(remedy, Remedy)
            assert remedy.code
            assert remedy.title
            assert remedy.who


def _assert_hidden(shown: object, grant: Grant) -> None:
    texts = [_full_text(shown, write) for write in (repr, str)]
    for token in (grant.access_token, grant.refresh_token):
        assert not [text for text in texts if token and token in text], "a token is shown"


def _full_text(shown: object, write: Callable[[object], str]) -> str:
    text = write(shown)
    while isinstance(shown, BaseException) and (shown.__cause__ or shown.__context__):
        shown = shown.__cause__ or shown.__context__
        text += write(shown)
    return text
