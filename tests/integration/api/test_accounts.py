"""Accounts over REST: create, look up, change, list, delete."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from gateway.redis import keys
from gateway.store.accounts import AccountSecrets
from tests.integration.api.accounts import IMAP, MASK, SMTP, change, create, create_app, read
from tests.integration.api.installation import Installation
from tests.integration.api.refusals import refusal

pytestmark = pytest.mark.anyio


async def secrets(gateway: Installation, account: str) -> AccountSecrets:
    return await gateway.services.account_store.secrets(account)


async def test_an_account_is_created_and_shown_without_its_secrets(
    gateway: Installation, client: httpx.AsyncClient
) -> None:
    """Passwords are masked in answers and sealed in the store."""
    assert await create(client, "a", email="somebody@example.com", imap=IMAP, smtp=SMTP) == {
        "account": "a",
        "state": "new",
    }
    found = await read(client, "a")
    assert (found["account"], found["name"], found["email"]) == ("a", "Somebody", "somebody@example.com")
    assert (found["state"], found["type"]) == ("init", "imap")
    assert found["imap"]["auth"] == found["smtp"]["auth"] == {"user": "u", "pass": MASK}
    assert (found["imap"]["host"], found["imap"]["port"], found["imap"]["secure"]) == ("imap.example.com", 993, True)
    assert "-secret" not in repr(gateway.keyspace())
    assert (await secrets(gateway, "a")).imap_password == "imap-secret"


async def test_a_new_account_is_handed_to_a_worker(gateway: Installation, client: httpx.AsyncClient) -> None:
    await create(client, "a", imap=IMAP)
    jobs = [name for name in gateway.keyspace() if name.startswith(keys.rq_job("").encode())]
    assert len(jobs) == 1
    await create(client, "nothing-to-connect")
    assert len([name for name in gateway.keyspace() if name.startswith(keys.rq_job("").encode())]) == 1


async def test_an_id_may_be_left_to_the_gateway(client: httpx.AsyncClient) -> None:
    ids = [(await create(client, given))["account"] for given in (None, "", None)]
    assert len(set(ids)) == 3
    for id in ids:
        assert (await read(client, id))["account"] == id


@pytest.mark.parametrize(
    "account", ["a b", "a/b", "ä@example.com", "%2f", "\U0001f4a9", "a" * 256, "a:b", "a?b#c", ".."]
)
async def test_an_id_may_hold_nearly_anything(account: str, client: httpx.AsyncClient) -> None:
    await create(client, account)
    escaped = quote(account, safe="").replace(".", "%2E")
    assert (await read(client, escaped))["account"] == account
    assert (await client.delete(f"/v1/account/{escaped}")).json()["deleted"] is True
    refusal(await client.get(f"/v1/account/{escaped}"), 404)


@pytest.mark.parametrize("account", [" a", "a ", "a\n", "\x7f", "\ufffd"])
async def test_an_id_that_no_path_can_hold_is_refused(account: str, client: httpx.AsyncClient) -> None:
    """An account that cannot be read, changed or deleted must not come to be."""
    answer = await client.post("/v1/account", json={"account": account, "name": "x"})
    assert refusal(answer, 400) == "InvalidRequest"
    assert answer.json()["fields"][0]["key"] == "account"


async def test_the_same_id_again_updates_the_account(gateway: Installation, client: httpx.AsyncClient) -> None:
    """What is not given again stays, secrets among it."""
    await create(client, "a", email="somebody@example.com", imap=IMAP, smtp=SMTP)
    assert await create(client, "a", name="Other") == {"account": "a", "state": "existing"}
    found = await read(client, "a")
    assert (found["name"], found["email"], found["imap"]["host"]) == ("Other", "somebody@example.com", IMAP["host"])
    assert (await secrets(gateway, "a")).smtp_password == "smtp-secret"


async def test_a_masked_secret_that_is_written_back_keeps_the_stored_one(
    gateway: Installation, client: httpx.AsyncClient
) -> None:
    """Clients read an account, change one member and send all of it."""
    await create(client, "a", imap=IMAP, smtp=SMTP)
    shown = (await read(client, "a"))["imap"]
    await change(client, "a", imap={**shown, "port": 143, "secure": False})
    kept = await secrets(gateway, "a")
    assert (kept.imap_password, kept.smtp_password) == ("imap-secret", "smtp-secret")
    assert (await read(client, "a"))["imap"]["port"] == 143


async def test_a_new_secret_replaces_the_stored_one(gateway: Installation, client: httpx.AsyncClient) -> None:
    await create(client, "a", imap=IMAP)
    await change(client, "a", imap={**IMAP, "auth": {"user": "u", "pass": "new-secret"}})
    assert (await secrets(gateway, "a")).imap_password == "new-secret"


async def test_a_partial_update_of_a_server_keeps_the_rest(gateway: Installation, client: httpx.AsyncClient) -> None:
    await create(client, "a", imap={**IMAP, "sentMailPath": "Sent"}, smtp=SMTP)
    found = await change(client, "a", imap={"partial": True, "port": 1993})
    assert (found["imap"]["port"], found["imap"]["host"], found["imap"]["sentMailPath"]) == (1993, IMAP["host"], "Sent")
    assert found["imap"]["secure"] is True
    assert (await secrets(gateway, "a")).imap_password == "imap-secret"


async def test_a_whole_server_replaces_the_old_one(client: httpx.AsyncClient) -> None:
    await create(client, "a", imap={**IMAP, "sentMailPath": "Sent"})
    assert "sentMailPath" not in (await change(client, "a", imap=IMAP))["imap"]


async def test_false_removes_a_server_and_its_secret(gateway: Installation, client: httpx.AsyncClient) -> None:
    await create(client, "a", imap=IMAP, smtp=SMTP)
    found = await change(client, "a", smtp=False)
    assert "smtp" not in found
    assert await secrets(gateway, "a") == AccountSecrets(imap_password="imap-secret")
    sending = await change(client, "a", imap=False, smtp=SMTP)
    assert (sending["type"], sending["sendOnly"], sending["state"]) == ("sending", True, "unset")


async def test_members_that_null_clears(client: httpx.AsyncClient) -> None:
    await create(client, "a", email="somebody@example.com", copy=True, notifyFrom="now", smtpEhloName="me", path=["A"])
    before = await read(client, "a")
    after = await change(client, "a", email=None, copy=None, notifyFrom=None, smtpEhloName=None, path=None)
    assert before["path"] == ["A"]
    assert {"email", "copy", "notifyFrom", "smtpEhloName"} <= set(before)
    assert not {"email", "copy", "notifyFrom", "smtpEhloName"} & set(after)
    assert after["path"] == ["*"]


async def test_only_what_is_new_from_now_on_is_announced_unless_an_account_says_otherwise(
    gateway: Installation, client: httpx.AsyncClient
) -> None:
    """Left out it is the time of creation, null means everything, and an update without it changes nothing."""
    await create(client, "a")
    await create(client, "all", notifyFrom=None)
    created = (await read(client, "a"))["notifyFrom"]
    assert created == gateway.clock().isoformat().replace("+00:00", "Z")
    assert "notifyFrom" not in await read(client, "all")
    gateway.clock.advance(60)
    await create(client, "a")
    assert (await read(client, "a"))["notifyFrom"] == created


async def test_times_are_shown_in_utc(client: httpx.AsyncClient) -> None:
    await create(client, "a", notifyFrom="2024-02-29T10:00:00+02:00")
    assert (await read(client, "a"))["notifyFrom"] == "2024-02-29T08:00:00Z"


@pytest.mark.parametrize(
    ("members", "key"),
    [
        ({"imap": {"port": 993, "auth": {"user": "u"}}}, "imap.host"),
        ({"imap": {"host": "h", "auth": {"user": "u"}}}, "imap.port"),
        ({"imap": {"host": "h", "port": 1}}, "imap.auth"),
        ({"imap": True}, "imap"),
        ({"imap": {**IMAP, "useAuthServer": True}}, "imap.useAuthServer"),
        ({"smtp": {"port": 25}}, "smtp.host"),
        ({"smtp": True}, "smtp"),
        ({"oauth2": True}, "oauth2"),
        ({"oauth2": {"auth": {"user": "u"}}}, "oauth2.provider"),
        ({"oauth2": {"provider": "none", "auth": {"user": "u"}}}, "oauth2.provider"),
        ({"oauth2": {"provider": "none"}}, "oauth2.auth"),
        ({"oauth2": {"authorize": True}}, "oauth2.provider"),
        ({"oauth2": {"authorize": True, "provider": "none"}}, "oauth2.provider"),
        ({"notifyFrom": "yesterday"}, "notifyFrom"),
        ({"notifyFrom": "0001-01-01T00:00:00+10:00"}, "notifyFrom"),
        ({"provider": "none"}, "provider"),
        ({"provider": "maildir"}, "settings"),
        ({"provider": "maildir", "settings": {"noSuchMember": 1}}, "settings"),
        ({"settings": {}}, "settings"),
        ({"webhooks": "client.example/hook"}, "webhooks"),
        ({"proxy": "proxy.example:1080"}, "proxy"),
        ({"proxy": "https://proxy.example:3128"}, "proxy"),
        ({"webhooksCustomHeaders": [{"key": "X-A\r\nX-B", "value": "b"}]}, "webhooksCustomHeaders[0].key"),
        ({"webhooksCustomHeaders": [{"key": "X-A", "value": "b\r\nX-C: d"}]}, "webhooksCustomHeaders[0].value"),
        ({"smtpEhloName": "me\r\nMAIL FROM:<>"}, "smtpEhloName"),
        ({"smtpEhloName": "not a host"}, "smtpEhloName"),
        ({"imap": {**IMAP, "tls": {"minVersion": "TLSv9"}}}, "imap.tls.minVersion"),
    ],
)
async def test_members_that_contradict_each_other_are_named(
    members: dict[str, Any], key: str, gateway: Installation, client: httpx.AsyncClient
) -> None:
    before = gateway.keyspace()
    answer = await client.post("/v1/account", json={"account": "a", "name": "x", **members})
    assert refusal(answer, 400) == "InvalidRequest"
    assert [field["key"] for field in answer.json()["fields"]] == [key]
    assert gateway.keyspace() == before


async def test_an_account_of_any_installed_provider(client: httpx.AsyncClient, tmp_path: Path) -> None:
    """Plugins bring kinds of mailbox that have no member of their own."""
    await create(client, "a", provider="maildir", settings={"path": str(tmp_path)})
    found = await read(client, "a")
    assert (found["type"], found["provider"], found["settings"]) == ("maildir", "maildir", {"path": str(tmp_path)})


# --- lists ------------------------------------------------------------------------------------------------------------


async def test_lists_have_pages_that_cover_everything_once(client: httpx.AsyncClient) -> None:
    for number in range(7):
        await create(client, f"a{number}")
    pages = [(await client.get("/v1/accounts", params={"page": page, "pageSize": 3})).json() for page in range(4)]
    assert [(page["total"], page["page"], page["pages"]) for page in pages] == [(7, n, 3) for n in range(4)]
    assert [[entry["account"] for entry in page["accounts"]] for page in pages] == [
        ["a0", "a1", "a2"],
        ["a3", "a4", "a5"],
        ["a6"],
        [],
    ]


async def test_an_empty_list(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/accounts")).json() == {
        "total": 0,
        "page": 0,
        "pages": 0,
        "query": False,
        "state": "*",
        "accounts": [],
    }


async def test_lists_are_filtered_by_state_and_by_what_names_hold(
    gateway: Installation, client: httpx.AsyncClient
) -> None:
    await create(client, "alpha", name="Ada", email="ada@example.com")
    await create(client, "beta", name="Bob", email="bob@EXAMPLE.org", imap=IMAP)
    await gateway.services.account_store.set_state("beta", "connected", None)

    async def ids(**query: str) -> list[str]:
        found = (await client.get("/v1/accounts", params=query)).json()
        assert found["total"] == len(found["accounts"])
        return [entry["account"] for entry in found["accounts"]]

    assert await ids(state="connected") == ["beta"]
    assert await ids(state="unset") == ["alpha"]
    assert await ids(query="ALPH") == ["alpha"]
    assert await ids(query="bob") == ["beta"]
    assert await ids(query="example.ORG") == ["beta"]
    assert await ids(query="example", state="unset") == ["alpha"]
    assert await ids(query="*") == []


# --- the end ----------------------------------------------------------------------------------------------------------


async def test_deleting_an_account_leaves_nothing_of_it(gateway: Installation, client: httpx.AsyncClient) -> None:
    """Record, secrets, grant, tokens, outbox, due work: everything but what the workers still have to hear."""
    app = await create_app(client)
    before = {name for name in gateway.keyspace() if keys.RQ_PREFIX.encode() not in name}
    oauth2 = {"provider": app, "auth": {"user": "u@example.com"}, "refreshToken": "RT"}
    await create(client, "gone-soon", email="u@example.com", oauth2=oauth2)
    bound = {"description": "x", "scopes": ["api"], "account": "gone-soon"}
    token = (await client.post("/v1/tokens", json=bound)).json()
    message = {"to": {"address": "x@example.com"}, "text": "x"}
    assert (await client.post("/v1/account/gone-soon/submit", json=message)).status_code == 200
    assert (await client.delete("/v1/account/gone-soon")).json() == {"account": "gone-soon", "deleted": True}
    after = {name: value for name, value in gateway.keyspace().items() if keys.RQ_PREFIX.encode() not in name}
    assert set(after) == before
    assert "gone-soon" not in repr(after)
    refusal(await client.get("/v1/account/gone-soon"), 404)
    refusal(await client.delete("/v1/account/gone-soon"), 404)
    async with gateway.client(token["token"]) as bound_client:
        refusal(await bound_client.get("/v1/account/gone-soon"), 401)


async def test_an_account_whose_app_is_gone_can_be_read_and_deleted(client: httpx.AsyncClient) -> None:
    app = await create_app(client)
    oauth2 = {"provider": app, "auth": {"user": "u@example.com"}, "refreshToken": "RT"}
    await create(client, "a", oauth2=oauth2)
    assert (await client.delete(f"/v1/oauth2/{app}")).json() == {"id": app, "deleted": True, "accounts": 1}
    assert (await read(client, "a"))["oauth2"]["provider"] == app
    assert (await client.get("/v1/accounts")).json()["total"] == 1
    assert (await client.delete("/v1/account/a")).json()["deleted"] is True


@pytest.mark.parametrize(
    "body",
    [
        {"imap": True},
        {"imap": {"port": 1}},
        {"imap": {"host": "h"}},
        {"smtp": {"host": "h"}},
        {"smtp": True},
        {"smtp": {"host": "h", "port": 25}, "smtpEhloName": "not a host"},
    ],
)
async def test_verification_names_what_is_missing(body: Any, gateway: Installation, client: httpx.AsyncClient) -> None:
    before = gateway.keyspace()
    assert refusal(await client.post("/v1/verifyAccount", json=body), 400) == "InvalidRequest"
    assert gateway.keyspace() == before


async def test_verification_waits_no_longer_than_the_caller(client: httpx.AsyncClient) -> None:
    """Here no worker does it. By default it is given more time than anything else."""
    answer = await client.post("/v1/verifyAccount", json={}, headers={"X-EE-Timeout": "50"})
    assert refusal(answer, 504) == "Timeout"
