"""Runtime settings over REST."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from gateway.model.event import EVENT_TYPES
from tests.integration.api.installation import SERVICE_URL, Installation
from tests.integration.api.refusals import refusal

pytestmark = pytest.mark.anyio

SETTINGS = "/v1/settings"


async def read(client: httpx.AsyncClient, *names: str) -> Any:
    answer = await client.get(SETTINGS, params=dict.fromkeys(names, "true"))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_settings_are_made_and_read_by_name(client: httpx.AsyncClient) -> None:
    made = {"webhooksEnabled": True, "webhooks": "https://receiver.example/hook", "webhookEvents": ["messageNew"]}
    answer = await client.post(SETTINGS, json=made)
    assert answer.json() == {"updated": sorted(made), "ignored": []}
    assert await read(client, *made) == made
    assert await read(client, "notifyText") == {"notifyText": None}
    assert await read(client) == {}


async def test_time_zone_and_language_are_settings_and_a_wrong_one_is_named(client: httpx.AsyncClient) -> None:
    made = {"timezone": "Europe/Tallinn", "locale": "et"}
    assert (await client.post(SETTINGS, json=made)).json() == {"updated": ["locale", "timezone"], "ignored": []}
    answer = await client.post(SETTINGS, json={"timezone": "Tallinn"})
    message = '"timezone" must be the name of a time zone, e.g. Europe/Berlin'
    assert answer.json()["fields"] == [{"key": "timezone", "message": message}]
    assert await read(client, *made) == made


async def test_a_setting_that_is_not_asked_for_is_not_shown(client: httpx.AsyncClient) -> None:
    answer = await client.get(SETTINGS, params={"serviceUrl": "true", "webhooks": "false"})
    assert answer.json() == {"serviceUrl": SERVICE_URL}


async def test_a_setting_is_taken_back_with_null(client: httpx.AsyncClient) -> None:
    await client.post(SETTINGS, json={"webhooks": "https://receiver.example/hook", "notifyTextSize": 100})
    await client.post(SETTINGS, json={"webhooks": None, "notifyTextSize": None})
    assert await read(client, "webhooks", "notifyTextSize") == {"webhooks": None, "notifyTextSize": None}


async def test_of_a_secret_it_is_told_only_whether_there_is_one(
    gateway: Installation, client: httpx.AsyncClient
) -> None:
    assert await read(client, "serviceSecret") == {"serviceSecret": False}
    await client.post(SETTINGS, json={"serviceSecret": "a secret to sign with"})
    assert await read(client, "serviceSecret") == {"serviceSecret": True}
    assert "a secret to sign with" not in repr(gateway.keyspace())


async def test_the_login_of_a_proxy_is_not_shown(gateway: Installation, client: httpx.AsyncClient) -> None:
    made = {"proxyEnabled": True, "proxyUrl": "socks5://gate:s3cret@proxy.example:1080", "smtpStrategy": "dedicated"}
    assert (await client.post(SETTINGS, json=made)).json()["updated"] == sorted(made)
    shown = {**made, "proxyUrl": "socks5://******@proxy.example:1080"}
    assert await read(client, *made) == shown
    assert "s3cret" not in repr(gateway.keyspace())
    assert (await client.post(SETTINGS, json=shown)).status_code == 200
    assert await gateway.services.runtime_settings.get("proxyUrl") == made["proxyUrl"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"proxyUrl": "https://proxy.example"},
        {"proxyUrl": "proxy.example:1080"},
        {"localAddresses": ["localhost"]},
        {"smtpStrategy": "fastest"},
    ],
)
async def test_a_way_that_cannot_be_taken_is_refused(client: httpx.AsyncClient, wrong: dict[str, Any]) -> None:
    answer = await client.post(SETTINGS, json=wrong)
    assert answer.status_code == 400
    assert await read(client, *wrong) == dict.fromkeys(wrong)


async def test_settings_that_mean_nothing_here_are_named_and_not_stored(
    gateway: Installation, client: httpx.AsyncClient
) -> None:
    """A client that configures the incumbent goes on, and can see what it asked for in vain."""
    before = gateway.keyspace()
    answer = await client.post(SETTINGS, json={"smtpServerPort": 2525, "sentryEnabled": True, "scriptEnv": "{}"})
    assert answer.json() == {"updated": [], "ignored": ["scriptEnv", "sentryEnabled", "smtpServerPort"]}
    assert gateway.keyspace() == before
    assert await read(client, "smtpServerPort") == {"smtpServerPort": None}


async def test_names_of_events_can_be_asked_for(client: httpx.AsyncClient) -> None:
    assert await read(client, "eventTypes") == {"eventTypes": list(EVENT_TYPES)}


async def test_of_the_service_url_the_origin_is_kept(client: httpx.AsyncClient) -> None:
    await client.post(SETTINGS, json={"serviceUrl": "https://mail.example/path?query"})
    assert await read(client, "serviceUrl") == {"serviceUrl": "https://mail.example"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"noSuchSetting": 1},
        {"webhooks": "receiver.example"},
        {"webhooks": "https://receiver.example/a b"},
        {"webhooksEnabled": "yes"},
        {"notifyTextSize": -1},
        {"serviceUrl": "mail.example"},
        {"timezone": "Nowhere/Here"},
        {"timezone": "../Berlin"},
        {"timezone": ""},
        {"locale": "tlh"},
        {"eventTypes": []},
        {"webhooksCustomHeaders": [{"key": "X", "value": "a\r\nb"}]},
    ],
)
async def test_a_wrong_setting_is_refused_and_the_others_with_it(
    gateway: Installation, client: httpx.AsyncClient, wrong: dict[str, Any]
) -> None:
    before = gateway.keyspace()
    assert refusal(await client.post(SETTINGS, json={"notifyText": True, **wrong}), 400) == "InvalidRequest"
    assert gateway.keyspace() == before


async def test_a_setting_that_there_is_not_cannot_be_asked_for(client: httpx.AsyncClient) -> None:
    assert refusal(await client.get(SETTINGS, params={"noSuchSetting": "true"}), 400) == "InvalidRequest"


async def test_new_accounts_have_the_indexer_of_the_settings_unless_they_name_one(client: httpx.AsyncClient) -> None:
    await client.post(SETTINGS, json={"imapIndexer": "fast"})
    await client.post("/v1/account", json={"account": "a", "name": "a"})
    await client.post("/v1/account", json={"account": "b", "name": "b", "imapIndexer": "full"})
    found = [(await client.get(f"/v1/account/{account}")).json()["imapIndexer"] for account in "ab"]
    assert found == ["fast", "full"]
