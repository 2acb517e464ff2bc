"""OAuth2 apps and links to the hosted form over REST."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from gateway.model.oauth2 import AppRecord, VerifyApp
from gateway.store.apps import StoredApp
from tests.integration.api.installation import SERVICE_URL, Installation
from tests.integration.api.refusals import refusal

pytestmark = pytest.mark.anyio

MASK = "******"
APP: dict[str, Any] = {
    "name": "Contoso",
    "provider": "outlook",
    "clientId": "11111111-2222-4333-8444-555555555555",
    "clientSecret": "app-secret",
    "redirectUrl": "https://gateway.example/oauth",
}

SERVICE: dict[str, Any] = {"provider": "outlookService", "authority": "f8cdef31-a31e-4b4a-93e4-5f571e91255a"}


async def create(client: httpx.AsyncClient, **members: Any) -> str:
    answer = await client.post("/v1/oauth2", json={**APP, **members})
    assert answer.status_code == 200, answer.text
    assert answer.json()["created"] is True
    id: str = answer.json()["id"]
    return id


async def read(client: httpx.AsyncClient, app: str) -> Any:
    answer = await client.get(f"/v1/oauth2/{app}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def stored_secret(gateway: Installation, app: str) -> str | None:
    return (await gateway.services.apps.stored(app)).secrets.get("clientSecret")


async def test_an_app_is_registered_and_shown_without_its_secret(
    gateway: Installation, client: httpx.AsyncClient
) -> None:
    app = await create(client, description="for all", title="Sign in", enabled=True, authority="common")
    found = await read(client, app)
    assert found["clientSecret"] == MASK
    assert (found["clientId"], found["authority"], found["redirectUrl"]) == (
        APP["clientId"],
        "common",
        APP["redirectUrl"],
    )
    assert (found["enabled"], found["includeInListing"], found["accounts"]) == (True, True, 0)
    assert found["created"] == found["updated"] == gateway.clock().isoformat().replace("+00:00", "Z")
    assert "app-secret" not in repr(gateway.keyspace())
    assert await stored_secret(gateway, app) == "app-secret"


async def test_a_masked_secret_that_is_written_back_keeps_the_stored_one(
    gateway: Installation, client: httpx.AsyncClient
) -> None:
    app = await create(client)
    gateway.clock.advance(5)
    shown = await read(client, app)
    writable = {name: shown[name] for name in ("name", "clientId", "clientSecret", "redirectUrl", "enabled")}
    assert (await client.put(f"/v1/oauth2/{app}", json={**writable, "name": "New"})).json() == {
        "id": app,
        "updated": True,
    }
    found = await read(client, app)
    assert (found["name"], found["created"]) == ("New", shown["created"])
    assert found["updated"] > shown["updated"]
    assert await stored_secret(gateway, app) == "app-secret"


async def test_an_update_changes_what_it_names(gateway: Installation, client: httpx.AsyncClient) -> None:
    app = await create(client, title="Sign in", extraScopes=["offline_access"])
    await client.put(f"/v1/oauth2/{app}", json={"clientSecret": "new-secret", "title": None, "enabled": True})
    found = await read(client, app)
    assert (found["name"], found["enabled"], found["extraScopes"]) == ("Contoso", True, ["offline_access"])
    assert "title" not in found
    assert await stored_secret(gateway, app) == "new-secret"


@pytest.mark.parametrize("members", [{"provider": "outlook"}, {"baseScopes": "api"}])
async def test_what_cannot_change_is_refused(members: dict[str, str], client: httpx.AsyncClient) -> None:
    """An app of another kind would leave its accounts without a provider."""
    app = await create(client)
    refusal(await client.put(f"/v1/oauth2/{app}", json=members), 400)


@pytest.mark.parametrize(
    ("members", "key"),
    [
        ({"clientId": None}, "clientId"),
        ({"clientId": "no-uuid"}, "clientId"),
        ({"clientSecret": None}, "clientSecret"),
        ({"clientSecret": APP["clientId"]}, "clientSecret"),
        ({"redirectUrl": "http://gateway.example/oauth"}, "redirectUrl"),
        ({"redirectUrl": "https://gateway.example/elsewhere"}, "redirectUrl"),
        ({"redirectUrl": "javascript:alert(1)"}, "redirectUrl"),
        ({"authority": "../common"}, "authority"),
        ({"cloud": "nimbus"}, "cloud"),
        ({"provider": "gmail"}, "provider"),
    ],
)
async def test_an_app_that_cannot_work_is_refused(
    members: dict[str, Any], key: str, gateway: Installation, client: httpx.AsyncClient
) -> None:
    """At registration and at every change, with a sentence for the member."""
    app = await create(client)
    before = gateway.keyspace()
    created = await client.post("/v1/oauth2", json={**APP, **members})
    refusal(created, 400)
    assert [field["key"] for field in created.json()["fields"]] == [key]
    if key != "provider":
        refusal(await client.put(f"/v1/oauth2/{app}", json=members), 400)
    assert gateway.keyspace() == before


@pytest.mark.parametrize("name", ["clientId", "redirectUrl", "pubSubApp", "googleProjectId", "serviceClient"])
async def test_true_is_no_value_of_a_member_that_false_clears(
    name: str, gateway: Installation, client: httpx.AsyncClient
) -> None:
    """Once stored, it made every list of apps unreadable."""
    app = await create(client)
    before = gateway.keyspace()
    for answer in (
        await client.post("/v1/oauth2", json={**APP, name: True}),
        await client.put(f"/v1/oauth2/{app}", json={name: True}),
    ):
        assert refusal(answer, 400) == "InvalidRequest"
        assert [field["key"] for field in answer.json()["fields"]] == [name]
    assert gateway.keyspace() == before
    assert (await client.get("/v1/oauth2")).json()["total"] == 1


async def test_false_clears_a_member(client: httpx.AsyncClient) -> None:
    app = await create(client, **SERVICE)
    assert (await client.put(f"/v1/oauth2/{app}", json={"redirectUrl": False})).status_code == 200
    assert "redirectUrl" not in await read(client, app)


async def test_an_app_shows_what_it_does_not_say(client: httpx.AsyncClient) -> None:
    """An absent or empty authority and cloud are the usual ones, and clients read which these are."""
    found = await read(client, await create(client, cloud=""))
    assert (found["authority"], found["cloud"], found["enabled"]) == ("common", "global", False)


async def test_an_app_that_signs_in_as_itself_is_always_enabled(client: httpx.AsyncClient) -> None:
    """No form lists it, so there is nothing to switch off; clients of the wire API rely on it."""
    app = await create(client, **SERVICE, enabled=False)
    assert (await read(client, app))["enabled"] is True
    await client.put(f"/v1/oauth2/{app}", json={"enabled": False})
    assert (await read(client, app))["enabled"] is True


async def test_an_app_shows_and_its_deletion_tells_how_many_accounts_it_has(client: httpx.AsyncClient) -> None:
    app = await create(client)
    for user in ("one@example.com", "two@example.com"):
        oauth2 = {"provider": app, "auth": {"user": user}, "refreshToken": "RT"}
        created = await client.post("/v1/account", json={"account": user, "name": user, "oauth2": oauth2})
        assert created.status_code == 200
    assert (await read(client, app))["accounts"] == 2
    assert (await client.delete(f"/v1/oauth2/{app}")).json() == {"id": app, "deleted": True, "accounts": 2}
    assert refusal(await client.get(f"/v1/oauth2/{app}"), 404) == "AppNotFound"
    refusal(await client.delete(f"/v1/oauth2/{app}"), 404)


async def test_the_accounts_of_an_app_are_no_app(client: httpx.AsyncClient) -> None:
    """Whatever is put behind an id, it names no record of another kind."""
    app = await create(client)
    oauth2 = {"provider": app, "auth": {"user": "record"}, "refreshToken": "RT"}
    await client.post("/v1/account", json={"account": "a", "name": "a", "oauth2": oauth2})
    for id in (f"{app}:accounts", f"{app}:", f":{app}"):
        refusal(await client.get(f"/v1/oauth2/{id}"), 404)
        refusal(await client.delete(f"/v1/oauth2/{id}"), 404)
    assert (await read(client, app))["accounts"] == 1


async def test_apps_are_listed_in_the_order_of_creation(gateway: Installation, client: httpx.AsyncClient) -> None:
    ids = []
    for number in range(5):
        gateway.clock.advance(1)
        ids.append(await create(client, name=f"App {number}"))
    first = (await client.get("/v1/oauth2", params={"pageSize": 2})).json()
    last = (await client.get("/v1/oauth2", params={"pageSize": 2, "page": 2})).json()
    assert (first["total"], first["pages"], [app["id"] for app in first["apps"]]) == (5, 3, ids[:2])
    assert [app["id"] for app in last["apps"]] == ids[4:]
    assert {app["clientSecret"] for app in first["apps"]} == {MASK}


async def test_the_diagnosis_of_an_app_is_a_workers_work(gateway: Installation, client: httpx.AsyncClient) -> None:
    """Only its look-up is done here: no process that serves clients connects to anything."""
    refusal(await client.post("/v1/oauth2/none/verify", json={}), 404)
    app = await create(client)
    result = await gateway.services.apps.verify(app, VerifyApp(), _no_probe)
    assert [(step.id, step.status) for step in result.steps] == [("config", "ok"), ("interactive", "skip")]
    assert result.ok


async def _no_probe(app: str, user: str) -> None:
    raise AssertionError("nothing is to be opened")


# --- links to the hosted form -----------------------------------------------------------------------------------------


async def form_link(client: httpx.AsyncClient, **members: Any) -> dict[str, str]:
    answer = await client.post("/v1/authentication/form", json={"redirectUrl": "https://client.example/", **members})
    assert answer.status_code == 200, answer.text
    url = urlsplit(answer.json()["url"])
    assert f"{url.scheme}://{url.netloc}{url.path}" == f"{SERVICE_URL}/accounts/new"
    return {name: values[0] for name, values in parse_qs(url.query).items()}


def carried(query: dict[str, str]) -> Any:
    data = query["data"]
    return json.loads(base64.urlsafe_b64decode(data + "=" * (-len(data) % 4)))


async def test_a_link_carries_the_request_and_its_signature(client: httpx.AsyncClient) -> None:
    query = await form_link(client, account="a", name="Ada", email="ada@example.com", notifyFrom="now")
    found = carried(query)
    assert (found["account"], found["name"], found["email"]) == ("a", "Ada", "ada@example.com")
    assert found["redirectUrl"] == "https://client.example/"
    other = carried(await form_link(client, account="a"))
    assert found["n"] != other["n"]


async def test_a_link_leads_to_what_is_offered(client: httpx.AsyncClient) -> None:
    """Straight to the IMAP form while there is nothing else; an unknown way is left out."""
    assert (await form_link(client))["type"] == "imap"
    app = await create(client, enabled=True)
    assert "type" not in await form_link(client)
    assert (await form_link(client, type=app))["type"] == app
    assert "type" not in await form_link(client, type="none")


@pytest.mark.parametrize("url", ["javascript:alert(1)", "/relative", "ftp://x/", "https://", "x"])
async def test_a_link_returns_to_web_pages_only(url: str, client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/authentication/form", json={"redirectUrl": url})
    assert refusal(answer, 400)
    assert answer.json()["fields"][0]["key"] == "redirectUrl"


async def test_a_link_opens_the_form_and_a_forged_one_does_not(
    gateway: Installation, client: httpx.AsyncClient
) -> None:
    query = await form_link(client)
    async with gateway.client(None) as browser:
        assert (await browser.get("/accounts/new", params=query)).status_code == 200
        forged = {**query, "sig": query["sig"][::-1]}
        assert (await browser.get("/accounts/new", params=forged)).status_code in (400, 403)
        gateway.clock.advance(24 * 3600)
        assert (await browser.get("/accounts/new", params=query)).status_code in (400, 403)


async def test_without_a_service_url_no_link_is_made(gateway: Installation, client: httpx.AsyncClient) -> None:
    await gateway.services.runtime_settings.update({"serviceUrl": None})
    answer = await client.post("/v1/authentication/form", json={"redirectUrl": "https://client.example/"})
    assert refusal(answer, 400) == "MissingServiceURLSetup"


async def test_pub_sub_apps_are_listed_apart_from_all_others(gateway: Installation, client: httpx.AsyncClient) -> None:
    """No plugin here registers one, so those of the list are put into the store; secrets are masked as everywhere."""
    await create(client)
    empty = (await client.get("/v1/pubsub/status")).json()
    assert empty == {"total": 0, "page": 0, "pages": 0, "apps": []}
    for number in range(3):
        record = AppRecord(id=f"push-{number}", name=f"Push {number}", provider="gmailService", base_scopes="pubsub")
        await gateway.services.apps._apps.save(StoredApp(record=record, secrets={"serviceKey": "private"}))
    found = (await client.get("/v1/pubsub/status", params={"page": 1, "pageSize": 2})).json()
    assert (found["total"], found["page"], found["pages"]) == (3, 1, 2)
    assert [app["id"] for app in found["apps"]] == ["push-2"]
    assert found["apps"][0]["serviceKey"] == MASK
