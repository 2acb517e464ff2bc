"""Mail merge, lists and blocklists over REST, and the pages on which recipients leave a list."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from gateway.model.submission import MOST_MERGED
from tests.integration.api.installation import ADDRESS, SERVICE_URL, Installation
from tests.integration.api.lists import LIST, SMTP, link_of, merged, queued, recipient, submit
from tests.integration.api.refusals import refusal

pytestmark = pytest.mark.anyio

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
async def sender(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A client; there is the account `a`, which can send."""
    member = {"account": "a", "name": "Ada", "email": "ada@example.com", "smtp": SMTP}
    assert (await client.post("/v1/account", json=member)).status_code == 200
    return client


@pytest.fixture
async def stranger(gateway: Installation) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody without a token: a browser, or a mail program."""
    async with gateway.client(None, **{"user-agent": "Mail/1.0"}) as opened:
        yield opened


async def link(gateway: Installation, sender: httpx.AsyncClient, name: str = "Bob") -> str:
    (told,) = await merged(sender, recipient(name), listId=LIST)
    return link_of(await queued(gateway, told["queueId"]))


async def blocked(sender: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await sender.get(f"/v1/blocklist/{LIST}")).json()["addresses"]
    return found


async def events(gateway: Installation) -> list[str]:
    return [event.event for event in await gateway.services.events.recent("a", 20) if event.event.startswith("list")]


async def test_every_recipient_gets_a_message_of_its_own(gateway: Installation, sender: httpx.AsyncClient) -> None:
    at = gateway.clock() + timedelta(days=1)
    entries = [recipient("bob", params={"n": 1}), recipient("eve", params={"n": 2}, messageId="<own@example.com>")]
    first, second = await merged(sender, *entries, sendAt=at.isoformat())
    assert (first["success"], first["to"]) == (True, {"name": "bob", "address": "bob@example.com"})
    assert first["sendAt"] == at.isoformat().replace("+00:00", "Z")
    one, other = await queued(gateway, first["queueId"]), await queued(gateway, second["queueId"])
    assert (one["To"], one["Subject"], one.get_content().strip()) == ("bob <bob@example.com>", "Hello bob", "1")
    assert (other["To"], other["Message-ID"], other.get_content().strip()) == (
        "eve <eve@example.com>",
        "<own@example.com>",
        "2",
    )
    entry = (await sender.get(f"/v1/outbox/{first['queueId']}")).json()
    assert (entry["messageId"], entry["envelope"]["to"]) == (first["messageId"], ["bob@example.com"])
    assert one["List-Unsubscribe"] is None


async def test_what_one_recipient_lacks_does_not_stop_the_others(sender: httpx.AsyncClient) -> None:
    wrong = recipient("eve", messageId="not an id")
    broken, fine = await merged(sender, wrong, recipient("bob"))
    assert fine["success"] is True
    assert (broken["success"], broken["code"], broken["statusCode"]) == (False, "InvalidRequest", 400)
    (failed,) = await merged(sender, recipient("bob"), text="{{noSuchHelper 1}}")
    assert (failed["code"], failed["statusCode"]) == ("TemplateRenderFailed", 422)
    assert "queueId" not in failed


async def test_a_dry_merge_queues_nothing(gateway: Installation, sender: httpx.AsyncClient) -> None:
    await gateway.services.runtime_settings.service_secret()
    before = gateway.keyspace()
    answer = (await submit(sender, recipient("bob"), dryRun=True, listId=LIST)).json()
    assert answer["response"] == "Dry run"
    assert set(answer["mailMerge"][0]) == {"success", "to", "messageId"}
    assert gateway.keyspace() == before


@pytest.mark.parametrize(
    ("members", "key"),
    [
        ({"envelope": {"to": "x@example.com"}}, "envelope"),
        ({"raw": "QTogYg0KDQo="}, "raw"),
        ({"to": {"address": "x@example.com"}}, "to"),
        ({"cc": []}, "cc"),
        ({"bcc": []}, "bcc"),
        ({"render": False}, "render"),
        ({"messageId": "<a@b.example>"}, "messageId"),
        ({"listId": "no list"}, "listId"),
        ({"listId": LIST, "baseUrl": "ftp://x"}, "baseUrl"),
    ],
)
async def test_members_that_cannot_stand_beside_a_merge(
    members: dict[str, Any], key: str, gateway: Installation, sender: httpx.AsyncClient
) -> None:
    answer = await submit(sender, recipient("bob"), **members)
    assert refusal(answer, 400) == "InvalidRequest"
    assert answer.json()["fields"][0]["key"] == key
    assert (await sender.get("/v1/outbox")).json()["total"] == 0


async def test_a_list_needs_a_merge_and_a_merge_is_bounded(sender: httpx.AsyncClient) -> None:
    body = {"to": {"address": "bob@example.com"}, "text": "x", "listId": LIST}
    assert (await sender.post("/v1/account/a/submit", json=body)).json()["fields"][0]["key"] == "listId"
    answer = await submit(sender, *[recipient("bob")] * (MOST_MERGED + 1))
    assert refusal(answer, 400) == "InvalidRequest"


async def test_mail_of_a_list_tells_how_to_leave_it(gateway: Installation, sender: httpx.AsyncClient) -> None:
    """RFC 8058 section 8: the address in a header, and that one click is enough; RFC 2919: the list."""
    (told,) = await merged(sender, recipient("Bob"), listId="News.Shop.Example", baseUrl="https://mail.shop.example/x")
    message = await queued(gateway, told["queueId"])
    assert message["List-ID"] == f"<{LIST}>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    unsubscribe = "".join(message["List-Unsubscribe"].split())
    assert unsubscribe.startswith("<https://mail.shop.example/unsubscribe?data=")
    assert unsubscribe.strip("<>") in message.get_content().replace("\n", "")


async def test_without_https_nobody_is_promised_one_click(gateway: Installation, sender: httpx.AsyncClient) -> None:
    (told,) = await merged(sender, recipient("Bob"), listId=LIST, baseUrl="http://localhost:3000")
    message = await queued(gateway, told["queueId"])
    assert message["List-Unsubscribe"] is not None
    assert message["List-Unsubscribe-Post"] is None


async def test_a_header_line_is_not_too_long_for_any_message_id(
    gateway: Installation, sender: httpx.AsyncClient
) -> None:
    (told,) = await merged(sender, recipient("Bob", messageId=f"<{'x' * 900}@example.com>"), listId=LIST)
    assert told["success"] is True
    assert len((await queued(gateway, told["queueId"]))["List-Unsubscribe"]) < 998


async def test_one_click_takes_the_recipient_from_the_list(
    gateway: Installation, sender: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    address = await link(gateway, sender)
    for _ in range(2):
        assert (await stranger.post(address, data=ONE_CLICK)).status_code == 200
    (entry,) = await blocked(sender)
    told = {name: entry[name] for name in ("recipient", "account", "source", "reason", "remoteAddress", "userAgent")}
    assert told == {
        "recipient": "bob@example.com",
        "account": "a",
        "source": "one-click",
        "reason": "unsubscribe",
        "remoteAddress": ADDRESS,
        "userAgent": "Mail/1.0",
    }
    assert await events(gateway) == ["listUnsubscribe"]
    skipped, sent = await merged(sender, recipient("BOB"), recipient("eve"), listId=LIST)
    assert skipped == {
        "success": False,
        "to": {"name": "BOB", "address": "BOB@example.com"},
        "skipped": {"reason": "unsubscribe", "listId": LIST},
    }
    assert sent["success"] is True
    (other,) = await merged(sender, recipient("bob"), listId="other.shop.example")
    assert other["success"] is True


async def test_a_forged_link_changes_nothing_and_is_not_tried_again(
    gateway: Installation, sender: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    address = await link(gateway, sender)
    before = gateway.keyspace()
    for forged in (
        address[:-3] + "abc",
        "/unsubscribe?data=e30&sig=e30",
        "/unsubscribe",
        "/unsubscribe?data=%FF&sig=%C3",
    ):
        assert (await stranger.post(forged, data=ONE_CLICK)).status_code == 200
        assert (await stranger.get(forged)).status_code == 403
    assert (await stranger.post(address)).status_code == 400
    assert gateway.keyspace() == before


async def test_a_person_is_asked_before_anything_changes(
    gateway: Installation, sender: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    """Scanners follow every link in a mail."""
    address = await link(gateway, sender)
    page = await stranger.get(address)
    assert page.status_code == 200
    assert "Bob@example.com" in page.text
    assert await blocked(sender) == []
    # The service URL is https, and this client is not: it would keep the cookie to itself.
    stranger.headers["cookie"] = page.headers["set-cookie"].partition(";")[0]
    answer = await press(stranger, page, "unsubscribe")
    assert "You are unsubscribed" in answer.text
    assert [entry["source"] for entry in await blocked(sender)] == ["form"]
    assert "Subscribe again" in (await stranger.get(address)).text
    assert "You get this mail again" in (await press(stranger, answer, "subscribe")).text
    assert await blocked(sender) == []
    assert sorted(await events(gateway)) == ["listSubscribe", "listUnsubscribe"]


async def press(browser: httpx.AsyncClient, page: httpx.Response, action: str) -> httpx.Response:
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))
    answer = await browser.post(
        "/unsubscribe/address", data={**hidden, "action": action}, headers={"origin": SERVICE_URL}
    )
    assert answer.status_code == 200, answer.text
    return answer


async def test_another_site_cannot_press_the_button(
    gateway: Installation, sender: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    page = await stranger.get(await link(gateway, sender))
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))
    fields = {**hidden, "action": "unsubscribe"}
    answer = await stranger.post("/unsubscribe/address", data=fields, headers={"origin": "https://evil.example"})
    assert answer.status_code == 403
    assert await blocked(sender) == []


async def test_clients_keep_blocklists(sender: httpx.AsyncClient) -> None:
    body = {"account": "a", "recipient": "Eve@Example.com"}
    assert (await sender.post(f"/v1/blocklist/{LIST}", json=body)).json() == {"success": True, "added": True}
    assert (await sender.post(f"/v1/blocklist/{LIST}", json=body)).json() == {"success": True, "added": False}
    (entry,) = await blocked(sender)
    assert (entry["recipient"], entry["source"], entry["reason"]) == ("eve@example.com", "api", "block")
    lists = (await sender.get("/v1/blocklists")).json()
    assert (lists["total"], lists["blocklists"]) == (1, [{"listId": LIST, "count": 1}])
    params = {"recipient": "EVE@example.com"}
    assert (await sender.delete(f"/v1/blocklist/{LIST}", params=params)).json() == {"deleted": True}
    assert (await sender.delete(f"/v1/blocklist/{LIST}", params=params)).json() == {"deleted": False}
    assert (await sender.get("/v1/blocklists")).json()["total"] == 0


async def test_what_is_no_list_and_no_account_is_refused(sender: httpx.AsyncClient) -> None:
    body = {"account": "a", "recipient": "eve@example.com"}
    assert refusal(await sender.post("/v1/blocklist/no%20list", json=body), 400) == "InvalidRequest"
    assert refusal(await sender.post(f"/v1/blocklist/{LIST}", json={**body, "account": "b"}), 404) == "AccountNotFound"
