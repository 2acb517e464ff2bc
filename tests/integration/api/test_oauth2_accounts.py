"""OAuth2 accounts over REST: tokens, whose they are, who lends them, how they come to be."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.integration.api.accounts import IMAP, MASK, change, create, create_app, read
from tests.integration.api.installation import Installation
from tests.integration.api.refusals import refusal

pytestmark = pytest.mark.anyio


async def test_tokens_that_are_given_are_stored_and_masked(gateway: Installation, client: httpx.AsyncClient) -> None:
    app = await create_app(client)
    oauth2 = {"provider": app, "auth": {"user": "u@example.com"}, "accessToken": "AT-1", "refreshToken": "RT-1"}
    await create(client, "a", oauth2={**oauth2, "expires": "2025-06-01T00:00:00+02:00"})
    found = await read(client, "a")
    assert (found["type"], found["app"], found["baseScopes"]) == ("outlook", app, "imap")
    assert (found["oauth2"]["accessToken"], found["oauth2"]["refreshToken"]) == (MASK, MASK)
    assert found["oauth2"]["auth"] == {"user": "u@example.com"}
    assert found["oauth2"]["expires"] == "2025-05-31T22:00:00Z"
    assert not any(token in repr(gateway.keyspace()) for token in ("AT-1", "RT-1"))
    changed = await change(client, "a", oauth2={**oauth2, "accessToken": MASK, "refreshToken": MASK})
    assert changed["oauth2"]["refreshToken"] == MASK
    stored = await gateway.services.grants.peek("a")
    assert stored is not None
    assert stored.grant.refresh_token == "RT-1"


@pytest.mark.parametrize("expires", ["9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z", "1970-01-01"])
async def test_dates_at_the_ends_of_time(expires: str, client: httpx.AsyncClient) -> None:
    """An account whose token was said to live for ever can still be read."""
    app = await create_app(client)
    oauth2 = {"provider": app, "auth": {"user": "u"}, "accessToken": "AT", "refreshToken": "RT", "expires": expires}
    await create(client, "a", oauth2=oauth2)
    assert (await read(client, "a"))["oauth2"]["auth"] == {"user": "u"}
    assert (await client.delete("/v1/account/a")).json()["deleted"] is True


async def test_an_oauth2_user_belongs_to_one_account(gateway: Installation, client: httpx.AsyncClient) -> None:
    """Two accounts would renew each other's tokens away; a shared mailbox is another user."""
    app = await create_app(client)
    oauth2: dict[str, Any] = {"provider": app, "auth": {"user": "u@example.com"}, "refreshToken": "RT"}
    await create(client, "a", oauth2=oauth2)
    before = gateway.keyspace()
    answer = await client.post("/v1/account", json={"account": "b", "name": "b", "oauth2": oauth2})
    assert (refusal(answer, 400), answer.json()["existingAccount"]) == ("AccountAlreadyExists", "a")
    assert gateway.keyspace() == before
    shared = {**oauth2, "auth": {"user": "u@example.com", "delegatedUser": "shared@example.com"}}
    await create(client, "b", oauth2=shared)
    await client.delete("/v1/account/a")
    await create(client, "c", oauth2=oauth2)


async def test_an_account_that_nobody_lends_a_sign_in_to_says_so(client: httpx.AsyncClient) -> None:
    """The lender may be created later, and may be deleted any time; an account cannot lend to itself."""
    app = await create_app(client)
    auth = {"user": "u", "delegatedUser": "shared@example.com", "delegatedAccount": "lender"}
    oauth2: dict[str, Any] = {"provider": app, "auth": auth}
    await create(client, "shared", oauth2=oauth2)
    (listed,) = (await client.get("/v1/accounts")).json()["accounts"]
    assert listed["type"] == (await read(client, "shared"))["type"] == "invalid"
    assert listed["delegationError"]
    await create(client, "lender", oauth2={"provider": app, "auth": {"user": "u"}, "refreshToken": "RT"})
    assert (await read(client, "shared"))["type"] == "delegated"
    found = {each["account"]: each for each in (await client.get("/v1/accounts")).json()["accounts"]}
    assert "delegationError" not in found["shared"]
    itself = {**oauth2, "auth": {**auth, "delegatedAccount": "shared"}}
    answer = await client.put("/v1/account/shared", json={"oauth2": itself})
    refusal(answer, 400)
    assert answer.json()["fields"][0]["key"] == "oauth2.auth.delegatedAccount"


async def test_authorize_answers_the_providers_link_and_creates_nothing(
    gateway: Installation, client: httpx.AsyncClient
) -> None:
    app = await create_app(client)
    oauth2 = {"authorize": True, "provider": app, "redirectUrl": "https://client.example/back"}
    answer = await create(client, "a", email="u@example.com", oauth2=oauth2)
    assert set(answer) == {"redirect"}
    assert answer["redirect"].startswith("https://login.microsoftonline.com/")
    assert "code_challenge=" in answer["redirect"]
    refusal(await client.get("/v1/account/a"), 404)
    assert "u@example.com" not in repr(gateway.keyspace())


async def test_the_access_token_is_handed_out_only_where_that_is_switched_on(
    gateway: Installation, client: httpx.AsyncClient
) -> None:
    app = await create_app(client)
    expires = gateway.clock().replace(year=gateway.clock().year + 1).isoformat()
    oauth2 = {"provider": app, "auth": {"user": "u"}, "accessToken": "AT", "refreshToken": "RT", "expires": expires}
    await create(client, "a", oauth2=oauth2)
    await create(client, "b", imap=IMAP)
    assert refusal(await client.get("/v1/account/a/oauth-token"), 403) == "ApiEndpointDisabled"
    await gateway.services.runtime_settings.update({"enableOAuthTokensApi": True})
    found = (await client.get("/v1/account/a/oauth-token")).json()
    assert (found["accessToken"], found["user"], found["app"], found["cached"]) == ("AT", "u", app, True)
    assert refusal(await client.get("/v1/account/b/oauth-token"), 403) == "AccountNotOAuth2"
