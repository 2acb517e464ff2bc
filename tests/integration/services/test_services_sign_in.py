"""Hosted sign-in: bound to a browser, used once, and never bound to the wrong mailbox."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from gateway.errors import InvalidRequestError, ReauthorizationError, RequestError, ResourceNotFoundError
from gateway.model.account import AccountCreate, FormRequest
from gateway.model.oauth2 import AppUpdate
from gateway.provider import SignedInUser
from gateway.services.sign_in import SignInFailedError
from gateway.services.sign_in_payload import BegunSignIn, SignInForm
from tests.integration.services.world import World

pytestmark = pytest.mark.anyio

PAGE = "https://client.test/done"


async def opened(world: World, **members: Any) -> SignInForm:
    """Make a link and open it."""
    request = msgspec.convert({"redirectUrl": PAGE, "account": "ann", **members}, FormRequest)
    return await follow(world, (await world.services.sign_in.form_link(request)).url)


async def follow(world: World, url: str) -> SignInForm:
    """Open a link."""
    query = dict(parse_qsl(urlsplit(url).query))
    return await world.services.sign_in.open_link(query["data"], query["sig"], query.get("type"))


async def begun(world: World, **members: Any) -> BegunSignIn:
    """Begin a sign-in from a new link."""
    return await world.services.sign_in.begin(await opened(world, **members), world.app)


def callback(begun: BegunSignIn, **params: str) -> dict[str, str]:
    """The parameters that the identity provider sends the browser back with."""
    return {"state": begun.state, "code": "good", **params}


async def failure(world: World, params: dict[str, str], secret: str | None) -> SignInFailedError:
    """Return how a sign-in fails."""
    with pytest.raises(SignInFailedError) as failed:
        await world.services.sign_in.complete(params, secret)
    return failed.value


async def test_a_sign_in_makes_the_account_of_its_link(world: World) -> None:
    """With the address that the identity provider vouches for."""
    start = await begun(world, name="Ann")
    outcome = await world.services.sign_in.complete(callback(start), start.browser_secret)
    assert (outcome.account, outcome.state, outcome.redirect_url) == ("ann", "new", PAGE)
    assert (await world.services.accounts.get("ann")).email == "ann@example.test"


@pytest.mark.parametrize("secret", [None, "", "guessed"])
async def test_another_browser_cannot_finish_a_sign_in(world: World, secret: str | None) -> None:
    """And the right one still can: a stranger must not be able to use the state up."""
    start = await begun(world)
    assert (await failure(world, callback(start), secret)).error_code == "SessionMismatch"
    assert (await world.services.sign_in.complete(callback(start), start.browser_secret)).account == "ann"


async def test_a_callback_works_once(world: World) -> None:
    """Also when two arrive at the same time."""
    start = await begun(world)
    steps = [world.services.sign_in.complete(callback(start), start.browser_secret) for _ in range(5)]
    outcomes = await asyncio.gather(*steps, return_exceptions=True)
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
    assert (await failure(world, callback(start), start.browser_secret)).error_code == "SessionExpired"


@pytest.mark.parametrize("state", ["", "unknown", "x" * 1000])
async def test_an_unknown_state_is_refused(world: World, state: str) -> None:
    """Without asking the identity provider anything."""
    assert (await failure(world, {"state": state, "code": "good"}, "s")).error_code == "SessionExpired"


async def test_a_link_is_used_up_by_success_only(world: World) -> None:
    """Who cancels may try again with the same link; two tabs of one link make one account."""
    request = FormRequest(redirect_url=PAGE, account="ann")
    url = (await world.services.sign_in.form_link(request)).url
    form = await follow(world, url)
    cancelled = await world.services.sign_in.begin(form, world.app)
    failed = await failure(world, callback(cancelled, error="access_denied"), cancelled.browser_secret)
    assert failed.redirect_url == PAGE
    assert failed.retry_url == form.link
    assert failed.remedy is not None
    first, second = [await world.services.sign_in.begin(form, world.app) for _ in range(2)]
    await world.services.sign_in.complete(callback(first), first.browser_secret)
    assert (await failure(world, callback(second), second.browser_secret)).error_code == "InvalidLink"
    with pytest.raises(RequestError) as refused:
        await follow(world, url)
    assert refused.value.error_code == "InvalidLink"


async def test_links_cannot_be_changed_and_end(world: World) -> None:
    """Signed, and good for just under a day."""
    url = (await world.services.sign_in.form_link(FormRequest(redirect_url=PAGE, account="ann"))).url
    await follow(world, url)
    query = dict(parse_qsl(urlsplit(url).query))
    for data, sig in ((query["data"][:-2] + "AA", query["sig"]), (query["data"], "AAAA"), ("%", "é"), ("", "")):
        with pytest.raises(RequestError) as refused:
            await world.services.sign_in.open_link(data, sig, None)
        assert refused.value.error_code == "InvalidLink"
    world.clock.advance(timedelta(hours=24).total_seconds())
    with pytest.raises(RequestError):
        await follow(world, url)


async def test_the_wrong_mailbox_is_refused_and_its_grant_withdrawn(world: World) -> None:
    """Whatever happened to be signed in at the provider is not bound to the account."""
    start = await begun(world, expectedEmail="ANN@example.test")
    world.identity.signs_in = SignedInUser(user="eve@example.test", email="eve@example.test", emails=())
    failed = await failure(world, callback(start), start.browser_secret)
    assert failed.error_code == "UnexpectedMailbox"
    assert len(world.identity.revoked) == 1
    with pytest.raises(ResourceNotFoundError):
        await world.services.accounts.get("ann")
    alias = SignedInUser(user="a.nn@example.test", email="a.nn@example.test", emails=("ann@example.test",))
    world.identity.signs_in = alias
    again = await begun(world, expectedEmail="ANN@example.test")
    await world.services.sign_in.complete(callback(again), again.browser_secret)


async def test_a_taken_mailbox_keeps_its_account(world: World) -> None:
    """The person is told, the existing account stays as it was, and the link still works for somebody else."""
    await world.add_account()
    start = await begun(world, account="second")
    failed = await failure(world, callback(start), start.browser_secret)
    assert failed.error_code == "AccountAlreadyExists"
    with pytest.raises(ResourceNotFoundError):
        await world.services.accounts.get("second")


async def test_a_sign_in_repairs_a_dead_grant(world: World) -> None:
    """The account that waited for it goes on."""
    await world.add_account()
    world.identity.withdraw()
    world.clock.advance(7200)
    with pytest.raises(ReauthorizationError):
        await world.valid()
    start = await begun(world)
    outcome = await world.services.sign_in.complete(callback(start), start.browser_secret)
    assert outcome.state == "existing"
    assert (await world.valid()).access_token


async def test_parked_payloads_come_back_with_the_redirect(world: World) -> None:
    """`oauth2.authorize`: what the client asked for, with who signed in; the client's own link needs no cookie."""
    wire = {
        "account": "ann",
        "name": "Chosen",
        "path": ["INBOX"],
        "oauth2": {"authorize": True, "provider": world.app, "redirectUrl": PAGE},
    }
    created = await world.services.sign_in.authorize(msgspec.convert(wire, AccountCreate))
    assert created.redirect is not None
    state = dict(parse_qsl(urlsplit(created.redirect).query))["state"]
    outcome = await world.services.sign_in.complete({"state": state, "code": "good"}, None)
    assert (outcome.account, outcome.redirect_url) == ("ann", PAGE)
    found = await world.services.accounts.get("ann")
    assert (found.name, found.path) == ("Chosen", ("INBOX",))


async def test_a_disabled_app_is_not_offered(world: World) -> None:
    """Nor can it be named in an old link."""
    form = await opened(world)
    assert [choice.id for choice in form.choices] == [world.app]
    await world.services.apps.update(world.app, AppUpdate(enabled=False))
    form = await opened(world)
    assert form.choices == ()
    with pytest.raises(ResourceNotFoundError):
        await world.services.sign_in.begin(form, world.app)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "//evil.test", "data:text/html,x", "not a url"])
async def test_a_link_leads_back_to_web_pages_only(world: World, url: str) -> None:
    """An open redirect to a script would run in the hosted page's name."""
    with pytest.raises(InvalidRequestError):
        await world.services.sign_in.form_link(FormRequest(redirect_url=url))


async def test_nothing_of_a_sign_in_is_readable_in_redis(world: World) -> None:
    """The PKCE verifier is a secret as long as the sign-in is under way."""
    start = await begun(world, email="ann@example.test")
    database = world.services.databases.control
    keys = [key async for key in database.scan_iter(match="*sign-in*", count=1000)]
    assert keys
    for key in keys:
        value = repr(await database.get(key))
        assert start.browser_secret not in value
        assert "ann@example.test" not in value
