"""Grants under concurrency: what is newest is never lost, and only the identity provider declares one dead."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gateway.api.errors import status_of
from gateway.errors import (
    ConnectError,
    GatewayError,
    MailboxUnavailableError,
    RateLimitError,
    ReauthorizationError,
    ServiceUnavailableError,
)
from gateway.model.account import AccountCreate, AccountUpdate, OAuth2Auth, OAuth2Config
from gateway.model.account_errors import LastError, TokenRequestFlag
from gateway.provider import Grant
from gateway.store.due import DueWork
from tests.integration.services.world import LIFETIME, World, both

pytestmark = pytest.mark.anyio


async def test_a_usable_token_is_not_renewed(world: World) -> None:
    """A refresh for each call would be throttled within minutes."""
    grant = await world.add_account()
    assert (await world.valid()).access_token == grant.access_token
    assert not world.identity.refreshes


async def test_many_callers_renew_once(world: World) -> None:
    """A rotated refresh token that is presented twice ends the grant at strict providers."""
    grant = await world.add_account()
    world.clock.advance(LIFETIME.total_seconds())
    found = await asyncio.gather(*(world.valid() for _ in range(20)))
    assert len({item.access_token for item in found}) == 1
    assert world.identity.refreshes == {grant.refresh_token: 1}


async def test_a_refused_token_is_renewed_unless_somebody_did_already(world: World) -> None:
    """Two sessions have the same token refused; the second one must take what the first one got."""
    grant = await world.add_account()
    first = await world.valid(refused=grant.access_token)
    second = await world.valid(refused=grant.access_token)
    assert first.access_token == second.access_token != grant.access_token
    assert world.identity.refreshes.total() == 1


async def test_a_new_sign_in_during_a_refresh_wins(world: World) -> None:
    """The refresh started from the grant before; its result is older than what the person just granted."""
    await world.add_account()
    world.clock.advance(LIFETIME.total_seconds())
    newest: list[Grant] = []

    async def sign_in() -> None:
        world.identity.before_answer = None
        newest.append(world.identity.issue())
        await world.services.grants.store("ann", newest[0])

    world.identity.before_answer = sign_in
    found = await world.valid()
    assert found.access_token == newest[0].access_token
    assert await world.stored_refresh_token() == newest[0].refresh_token


async def test_a_refusal_of_the_old_grant_does_not_kill_the_new_one(world: World) -> None:
    """A lost race reads again before it judges."""
    await world.add_account()
    world.clock.advance(LIFETIME.total_seconds())
    world.identity.withdraw()

    async def sign_in() -> None:
        world.identity.before_answer = None
        await world.services.grants.store("ann", world.identity.issue())

    world.identity.before_answer = sign_in
    assert (await world.valid()).access_token
    stored = await world.services.grants.peek("ann")
    assert stored is not None
    assert stored.dead is None


async def test_an_edit_of_the_account_during_a_refresh_loses_no_token(world: World) -> None:
    """An administrator who changes the name at the wrong moment used to write the old tokens back."""
    await world.add_account()
    world.clock.advance(LIFETIME.total_seconds())

    async def edit() -> None:
        await world.services.accounts.update("ann", AccountUpdate(name="Ann", email="a@example.test"))

    world.identity.before_answer = edit
    found = await world.valid()
    assert await world.stored_refresh_token() == found.refresh_token
    assert (await world.services.accounts.get("ann")).name == "Ann"


async def test_a_masked_token_in_an_edit_keeps_the_stored_one(world: World) -> None:
    """Clients write back what they read; new access tokens may come with the mask of the refresh token."""
    grant = await world.add_account()
    auth = OAuth2Auth(user="ann@example.test")
    masked = OAuth2Config(provider=world.app, auth=auth, access_token="******", refresh_token="******")
    await world.services.accounts.update("ann", AccountUpdate(oauth2=masked))
    assert await world.stored_refresh_token() == grant.refresh_token
    mixed = OAuth2Config(provider=world.app, auth=auth, access_token="access-by-hand", refresh_token="******")
    await world.services.accounts.update("ann", AccountUpdate(oauth2=mixed))
    assert await world.stored_refresh_token() == grant.refresh_token
    assert (await world.valid()).access_token == "access-by-hand"
    partial = OAuth2Config(partial=True, access_token="access-by-hand-2")
    await world.services.accounts.update("ann", AccountUpdate(oauth2=partial))
    assert await world.stored_refresh_token() == grant.refresh_token


async def test_a_dead_grant_is_asked_about_once(world: World) -> None:
    """Asking again is only refused again, and thousands of such accounts are an attack on the identity provider."""
    grant = await world.add_account()
    world.identity.withdraw()
    world.clock.advance(LIFETIME.total_seconds())
    for error in await both(*(world.valid() for _ in range(10))):
        assert isinstance(error, ReauthorizationError)
        assert error.native_code == "AADSTS50173"
    with pytest.raises(ReauthorizationError):
        await world.valid()
    assert world.identity.refreshes == {grant.refresh_token: 1}


async def test_a_dead_grant_is_tried_again_when_somebody_says_so(world: World) -> None:
    """A reconnect by hand is one more try; a new sign-in needs none."""
    await world.add_account()
    world.identity.withdraw()
    world.clock.advance(LIFETIME.total_seconds())
    with pytest.raises(ReauthorizationError):
        await world.valid()
    await world.services.accounts.reconnect("ann")
    with pytest.raises(ReauthorizationError):
        await world.valid()
    assert world.identity.refreshes.total() == 2
    await world.add_account()
    assert (await world.valid()).access_token
    assert world.identity.refreshes.total() == 2


@pytest.mark.parametrize(
    "error",
    [
        ConnectError("no route"),
        RateLimitError("slow down", retry_after=5),
        ServiceUnavailableError("503"),
        GatewayError("unreadable"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_passing_trouble_leaves_the_grant_as_good_as_before(world: World, error: Exception) -> None:
    """Shown as bad credentials, a DNS fault would log every user out."""
    await world.add_account()
    world.clock.advance(LIFETIME.total_seconds())
    world.identity.errors = [error]
    with pytest.raises(type(error)):
        await world.valid()
    stored = await world.services.grants.peek("ann")
    assert stored is not None
    assert stored.dead is None
    assert (await world.valid()).access_token


async def test_a_token_that_still_works_outlives_its_refresh_token(world: World) -> None:
    """Renewal runs ahead: its refusal must not take away what is good for five more minutes."""
    grant = await world.add_account()
    world.identity.withdraw()
    world.clock.advance((LIFETIME - timedelta(minutes=4)).total_seconds())
    stored = await world.services.account_store.get("ann")
    assert stored is not None
    with pytest.raises(ReauthorizationError):
        await world.services.grants.renew_ahead(stored.config)
    assert (await world.valid()).access_token == grant.access_token


async def test_renewal_is_due_before_the_token_ends(world: World) -> None:
    """So that no caller waits for it."""
    await world.add_account()
    world.clock.advance((LIFETIME - timedelta(minutes=6)).total_seconds())
    assert DueWork("grant.renew", "ann") not in await world.services.due.claim(world.clock())
    world.clock.advance(61)
    assert DueWork("grant.renew", "ann") in await world.services.due.claim(world.clock())


async def test_a_delegated_account_uses_and_renews_the_grant_of_its_holder(world: World) -> None:
    """One person's grant serves several accounts; two of them at a time still refresh once."""
    await world.add_account()
    auth = OAuth2Auth(user="shared@example.test", delegated_user="shared@example.test", delegated_account="ann")
    request = AccountCreate(account="shared", name="", oauth2=OAuth2Config(provider=world.app, auth=auth))
    await world.services.accounts.create(request)
    world.clock.advance(LIFETIME.total_seconds())
    one, other = await asyncio.gather(world.valid("ann"), world.valid("shared"))
    assert one.access_token == other.access_token
    assert world.identity.refreshes.total() == 1
    await world.services.accounts.delete("ann")
    with pytest.raises(ReauthorizationError):
        await world.valid("shared")


async def test_a_refused_renewal_is_described_without_its_secrets(world: World) -> None:
    """Clients tell it from a refused password by the code, and show which request it was."""
    await world.add_account()
    world.clock.advance(LIFETIME.total_seconds())
    told = {"status": 400, "response": {"error": "invalid_grant"}, "userFlag": {"message": "Revoked"}}
    world.identity.errors = [ReauthorizationError("invalid_grant", native_code="AADSTS50173", token_request=told)]
    with pytest.raises(ReauthorizationError) as refused:
        await world.valid()
    await world.services.account_health.outcome("ann", refused.value)
    found = await world.services.accounts.get("ann")
    assert found.state == "authenticationError"
    assert isinstance(found.last_error, LastError)
    assert found.last_error.server_response_code == "OauthRenewError"
    request = found.last_error.token_request
    assert request is not None
    assert (request.grant, request.provider, request.client_id) == ("refresh_token", "outlook", "client")
    assert (request.status, request.code, request.scopes) == (400, "AADSTS50173", ("mail",))
    assert found.oauth2 is not None
    assert found.oauth2.user_flag == request.user_flag == TokenRequestFlag(message="Revoked")
    shown = msgspec.json.encode(found).decode()
    assert "client-secret" not in shown
    assert "refresh-1" not in shown


async def test_an_access_token_that_cannot_be_handed_out_parks_the_account(world: World) -> None:
    """A client that only ever asks for tokens would otherwise see a connected account for ever."""
    await world.services.runtime_settings.update({"enableOAuthTokensApi": True})
    await world.add_account()
    world.identity.withdraw()
    world.clock.advance(LIFETIME.total_seconds())
    for _ in range(2):
        with pytest.raises(ReauthorizationError) as refused:
            await world.services.accounts.oauth_token("ann")
        assert (refused.value.error_code, refused.value.details["authentication_failed"]) == ("OauthRenewError", True)
        assert refused.value.details["token_request"]["grant"] == "refresh_token"
        assert status_of(refused.value) == 403
    assert (await world.services.accounts.recent_state("ann"))[0] == "authenticationError"
    assert world.identity.refreshes.total() == 1


async def test_a_mailbox_that_cannot_be_opened_is_no_refused_sign_in(world: World) -> None:
    """Clients answer an authentication error by asking the user to sign in again, which would mend nothing."""
    await world.add_account()
    await world.services.account_health.outcome("ann", MailboxUnavailableError("not connected"))
    assert (await world.services.accounts.recent_state("ann"))[0] == "connectError"


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_at_once_the_newest_grant_stays(world: World, seed: int) -> None:
    """Refreshers, an administrator, a person who signs in again and one who revokes, in every order.

    At rest the stored refresh token comes of the latest sign-in, no good one that does is anywhere else, none was
    presented twice, and the account works exactly if the stored one is good.
    """
    chance = random.Random(seed)
    latest = [await world.add_account()]

    async def pause() -> None:
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)

    async def sign_in() -> None:
        await pause()
        latest.append(world.identity.issue())
        await world.services.grants.store("ann", latest[-1])

    async def revoke() -> None:
        await pause()
        world.identity.withdraw()

    async def edit() -> None:
        await pause()
        await world.services.accounts.update("ann", AccountUpdate(name=f"Ann {chance.random()}"))

    async def refresh() -> Any:
        await pause()
        return await world.valid()

    world.identity.before_answer = pause
    for _ in range(4):
        world.clock.advance(LIFETIME.total_seconds())
        steps = [refresh(), refresh(), refresh(), *(chance.choice((sign_in, revoke, edit))() for _ in range(3))]
        chance.shuffle(steps)
        for outcome in await both(*steps):
            assert outcome is None or isinstance(outcome, Grant | ReauthorizationError), outcome
    world.identity.before_answer = None
    stored = await world.stored_refresh_token()
    signed_in = latest[-1].refresh_token
    assert world.identity.comes_of(stored, signed_in)
    assert {token for token in world.identity.valid if world.identity.comes_of(token, signed_in)} <= {stored}
    assert all(count == 1 for count in world.identity.refreshes.values())
    world.clock.advance(LIFETIME.total_seconds())
    if stored in world.identity.valid:
        assert (await world.valid()).access_token
    else:
        with pytest.raises(ReauthorizationError):
            await world.valid()


async def test_a_caller_that_gives_up_costs_neither_the_new_token_nor_the_lock(world: World) -> None:
    """A worker lets go of accounts in the middle of anything; the old refresh token is used up by then."""
    await world.add_account()
    world.clock.advance(7200)
    asked, answer = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        asked.set()
        await answer.wait()

    world.identity.before_answer = wait
    caller = asyncio.create_task(world.valid())
    await asked.wait()
    caller.cancel()
    await asyncio.wait({caller})
    assert caller.cancelled()
    world.identity.before_answer = None
    answer.set()
    await world.services.grants.settle()
    grant = await world.valid()
    assert grant.refresh_token in world.identity.valid
    assert sum(world.identity.refreshes.values()) == 1
