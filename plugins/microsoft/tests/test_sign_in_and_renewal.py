"""MSAL, for real, against a token endpoint on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from gateway.errors import (
    AppRefusedError,
    ConsentRequiredError,
    InvalidRequestError,
    ReauthorizationError,
    ServiceUnavailableError,
    UnsupportedOperationError,
)
from gateway.provider import Grant, OAuth2App
from gateway_microsoft import Identities, MicrosoftIdentity

if TYPE_CHECKING:
    from conftest import Clock, TokenServer

    MakeIdentity = Callable[..., MicrosoftIdentity]

pytestmark = pytest.mark.anyio
TENANT = "5a9db0c5-0000-4000-8000-00000000c057"


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


async def test_a_person_signs_in_with_pkce_state_and_nonce(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock
) -> None:
    """The endpoint checks the code verifier (RFC 7636) and the nonce comes back in the ID token."""
    identity = make_identity()
    start = identity.authorization(state="the-state", login_hint="bob@contoso.test")
    asked = query(start.url)
    assert start.url.startswith(f"{endpoint.origin}/common/oauth2/v2.0/authorize?")
    assert (asked["state"], asked["login_hint"], asked["prompt"]) == (
        "the-state",
        "bob@contoso.test",
        "select_account",
    )
    # What a store does with it in between.
    start = msgspec.json.decode(msgspec.json.encode(start), type=type(start))
    grant = await identity.exchange(start, endpoint.sign_in(start.url))
    assert grant.access_token == "access-1"
    assert grant.refresh_token == "refresh-1"
    assert grant.expires_at == clock() + timedelta(seconds=3599)
    assert "https://outlook.office.com/IMAP.AccessAsUser.All" in grant.scopes
    assert endpoint.forms[0]["client_secret"] == "the-secret"
    assert endpoint.lines == ["POST /common/oauth2/v2.0/token"]


async def test_making_an_authorization_url_asks_nobody(endpoint: TokenServer, make_identity: MakeIdentity) -> None:
    """The contract says so: a page must not wait for Microsoft to show a button."""
    make_identity().authorization(state="s", prompt="consent")
    assert endpoint.lines == []


async def test_a_given_prompt_is_used(make_identity: MakeIdentity) -> None:
    """Asking for consent again needs it."""
    assert query(make_identity().authorization(state="s", prompt="consent").url)["prompt"] == "consent"


async def test_the_user_comes_from_the_claims_in_lower_case(endpoint: TokenServer, make_identity: MakeIdentity) -> None:
    """Addresses are compared; the login name is kept as Microsoft spells it."""
    endpoint.claims["email"] = "Bob.Builder@Contoso.test"
    identity = make_identity()
    start = identity.authorization(state="s")
    user = (await identity.exchange(start, endpoint.sign_in(start.url))).user
    assert user is not None
    assert (user.user, user.email, user.name) == ("Bob@Contoso.test", "bob.builder@contoso.test", "Bob")
    assert user.emails == ("bob.builder@contoso.test", "bob@contoso.test")


async def test_an_address_that_microsoft_calls_unverified_proves_nothing(
    endpoint: TokenServer, make_identity: MakeIdentity
) -> None:
    """Any tenant can write any address into the claim; only xms_edov says whether its domain was verified."""
    endpoint.claims |= {"email": "victim@other.test", "xms_edov": False}
    identity = make_identity()
    start = identity.authorization(state="s")
    user = (await identity.exchange(start, endpoint.sign_in(start.url))).user
    assert user is not None
    assert (user.email, user.emails) == ("bob@contoso.test", ("bob@contoso.test",))


async def test_client_info_is_not_even_looked_at(endpoint: TokenServer, make_identity: MakeIdentity) -> None:
    """It is in the address bar, unsigned: neither rubbish nor a forged identity in it may matter."""
    identity = make_identity()
    start = identity.authorization(state="s")
    grant = await identity.exchange(start, {**endpoint.sign_in(start.url), "client_info": "%%%not base64"})
    assert grant.user is not None
    assert grant.user.user == "Bob@Contoso.test"


@pytest.mark.parametrize("state", ["other", "", "thé-state"])
async def test_another_state_is_refused_without_asking_microsoft(
    endpoint: TokenServer, make_identity: MakeIdentity, state: str
) -> None:
    """State is what protects against forged redirects (RFC 6749 section 10.12)."""
    identity = make_identity()
    start = identity.authorization(state="the-state")
    with pytest.raises(ReauthorizationError) as caught:
        await identity.exchange(start, {**endpoint.sign_in(start.url), "state": state})
    assert caught.value.native_code == "misdirected"
    assert endpoint.lines == []


async def test_a_redirect_without_code_and_error_is_the_callers_fault(
    endpoint: TokenServer, make_identity: MakeIdentity
) -> None:
    """Nobody has refused anything."""
    with pytest.raises(InvalidRequestError):
        await make_identity().exchange(make_identity().authorization(state="s"), {"state": "s"})


@pytest.mark.parametrize(
    "claims",
    [{"nonce": "another"}, {"aud": "00000000-0000-4000-8000-000000000000"}, {"exp": 1_000_000_000}, {"aud": None}],
)
async def test_an_id_token_of_another_sign_in_is_refused(
    endpoint: TokenServer, make_identity: MakeIdentity, claims: dict[str, Any]
) -> None:
    """OpenID Connect Core section 3.1.3.7: nonce, audience and lifetime; the text must not hold the nonce."""
    endpoint.claims |= claims
    identity = make_identity()
    start = identity.authorization(state="s")
    with pytest.raises(ReauthorizationError) as caught:
        await identity.exchange(start, endpoint.sign_in(start.url))
    assert caught.value.native_code == "misdirected"
    assert "another" not in str(caught.value).replace("another sign-in", "")


@pytest.mark.parametrize("token", ["rubbish", "a.b.c", "a.e30.c", "..", "a.bnVsbA.c"])
async def test_an_unreadable_id_token_is_a_passing_fault(
    endpoint: TokenServer, make_identity: MakeIdentity, token: str
) -> None:
    """Nothing is known about the grant, so nobody has to do anything."""
    endpoint.id_token = token
    identity = make_identity()
    start = identity.authorization(state="s")
    with pytest.raises((ServiceUnavailableError, ReauthorizationError)) as caught:
        await identity.exchange(start, endpoint.sign_in(start.url))
    assert token == "a.e30.c" or isinstance(caught.value, ServiceUnavailableError)


async def test_the_errors_of_the_redirect_are_classified(make_identity: MakeIdentity) -> None:
    """RFC 6749 section 4.1.2.1: they come through the browser and never reach the token endpoint."""
    identity = make_identity()
    start = identity.authorization(state="s")
    declined = {"state": "s", "error": "access_denied", "error_description": "AADSTS65004: User declined to consent."}
    with pytest.raises(ReauthorizationError, match="declined"):
        await identity.exchange(start, declined)
    with pytest.raises(ReauthorizationError, match="refused"):
        await identity.exchange(start, {"state": "s", "error": "access_denied", "error_subcode": "cancel"})
    admin = {"state": "s", "error": "access_denied", "error_description": "AADSTS90094: needs admin permission"}
    with pytest.raises(ConsentRequiredError) as caught:
        await identity.exchange(start, admin)
    assert caught.value.remedy is not None
    assert caught.value.remedy.who == "tenant_admin"


async def test_renewal_uses_the_scopes_of_the_grant_not_those_of_the_app(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock
) -> None:
    """An app that was edited asks for more than people have consented to; their accounts must go on working."""
    identity = make_identity(extra_scopes=("POP.AccessAsUser.All",))
    granted = ("openid", "email", "https://outlook.office.com/IMAP.AccessAsUser.All")
    await identity.refresh(Grant(access_token="", expires_at=clock(), refresh_token="r", scopes=granted))
    asked = set(endpoint.forms[-1]["scope"].split())
    assert asked == {*granted, "profile", "offline_access"}
    await identity.refresh(Grant(access_token="", expires_at=clock(), refresh_token="r"))
    assert "https://outlook.office.com/POP.AccessAsUser.All" in endpoint.forms[-1]["scope"]


async def test_renewal_keeps_what_the_answer_leaves_out(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock
) -> None:
    """RFC 6749 section 6: a new refresh token is optional, and losing the old one loses the account."""
    endpoint.answer({"access_token": "new", "expires_in": "60"})
    scopes = ("https://outlook.office.com/SMTP.Send",)
    old = Grant(access_token="old", expires_at=clock(), refresh_token="keep me", scopes=scopes)
    clock.now += timedelta(days=1)
    grant = await make_identity().refresh(old)
    assert (grant.access_token, grant.refresh_token, grant.scopes) == ("new", "keep me", scopes)
    assert grant.expires_at == clock() + timedelta(seconds=60)


async def test_renewal_takes_the_new_refresh_token(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock
) -> None:
    """Rotation."""
    grant = await make_identity().refresh(Grant(access_token="", expires_at=clock(), refresh_token="old"))
    assert (endpoint.forms[0]["refresh_token"], grant.refresh_token) == ("old", "refresh-1")


async def test_there_is_no_renewal_without_a_refresh_token(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock
) -> None:
    """Imported accounts may have an access token only."""
    with pytest.raises(ReauthorizationError):
        await make_identity().refresh(Grant(access_token="a", expires_at=clock()))
    assert endpoint.lines == []


async def test_try_again_now_really_tries_again(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock
) -> None:
    """MSAL alone would repeat a refusal from memory for a minute, and a 429 for as long as it said."""
    identity, grant = make_identity(), Grant(access_token="", expires_at=clock(), refresh_token="r")
    endpoint.refuse("invalid_grant", 50173)
    with pytest.raises(ReauthorizationError):
        await identity.refresh(grant)
    endpoint.answer({"error": "temporarily_unavailable"}, 429, retry_after="3600")
    with pytest.raises(Exception, match="limits"):
        await identity.refresh(grant)
    endpoint.answer({"access_token": "now", "expires_in": 60}, retry_after="3600")
    assert (await identity.refresh(grant)).access_token == "now"
    endpoint.answer({"access_token": "later", "expires_in": 60})
    assert (await identity.refresh(grant)).access_token == "later"
    assert len(endpoint.forms) == 4


async def test_tokens_of_users_are_not_collected_in_memory(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock
) -> None:
    """MSAL's own cache keeps the tokens of every account for ever and searches them one by one."""
    identity = make_identity()
    await identity.refresh(Grant(access_token="", expires_at=clock(), refresh_token="r"))
    assert identity._msal.token_cache._cache == {}


async def test_an_app_of_its_own_gets_a_token_once(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock
) -> None:
    """One token serves all mailboxes of a tenant (RFC 6749 section 4.4)."""
    identity = make_identity(provider="outlookService", base_scopes="api", authority=TENANT)
    first, second = await identity.client_credentials(), await identity.client_credentials()
    assert first.access_token == second.access_token == "access-1"
    assert [form["scope"] for form in endpoint.forms] == ["https://graph.microsoft.com/.default"]
    assert (first.refresh_token, first.user) == (None, None)
    assert first.expires_at == clock() + timedelta(seconds=3599)


async def test_each_kind_of_app_does_only_its_own_flow(make_identity: MakeIdentity) -> None:
    """A clear answer instead of a request that Microsoft refuses."""
    with pytest.raises(UnsupportedOperationError):
        await make_identity().client_credentials()
    with pytest.raises(UnsupportedOperationError):
        make_identity(provider="outlookService", authority=TENANT).authorization(state="s")


async def test_many_renewals_at_once_do_not_mix(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock
) -> None:
    """All accounts of an app share one MSAL object and its connections."""
    identity = make_identity()
    grants = [Grant(access_token="", expires_at=clock(), refresh_token=f"r{number}") for number in range(16)]
    renewed = await asyncio.gather(*(identity.refresh(grant) for grant in grants))
    assert len({grant.access_token for grant in renewed}) == 16
    assert {form["refresh_token"] for form in endpoint.forms} == {f"r{number}" for number in range(16)}


async def test_offline_access_can_be_left_out(endpoint: TokenServer, make_identity: MakeIdentity) -> None:
    """MSAL adds it unless it is told not to."""
    asked = query(make_identity(skip_scopes=("offline_access",)).authorization(state="s").url)
    assert "offline_access" not in asked["scope"]
    assert "openid" in asked["scope"]


def test_the_same_app_has_the_same_identity_until_it_is_edited(app: OAuth2App, clock: Clock) -> None:
    """A new secret must be used at once; connections and tokens of an unchanged app are kept."""
    identities = Identities(None, clock, size=2)
    first = identities.identity(app)
    edited = msgspec.structs.replace(app, client_secret="new")
    assert identities.identity(msgspec.structs.replace(app)) is first
    assert identities.identity(edited) is not first
    identities.identity(msgspec.structs.replace(app, cloud="china"))
    assert identities.identity(app) is not first, "only two are kept"


def test_an_app_in_a_cloud_that_is_gone_is_refused_in_words(app: OAuth2App, clock: Clock) -> None:
    """The sandbox's entry disappears when its data directory does."""
    with pytest.raises(AppRefusedError, match="nowhere"):
        Identities(None, clock).identity(msgspec.structs.replace(app, cloud="nowhere"))


def test_no_secret_shows_in_the_text_of_an_identity(make_identity: MakeIdentity) -> None:
    """Objects end up in logs."""
    identity = make_identity()
    assert "the-secret" not in repr(identity) + repr(identity.app)
