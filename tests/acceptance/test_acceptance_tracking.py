"""Mail that tells when it is opened and which links are followed, for those who want to know."""

from __future__ import annotations

import re
import secrets
from html import unescape
from typing import Any

import httpx

from tests.acceptance.client import Client, account_path, message_path
from tests.acceptance.stack import GatewayStack

TARGET = "https://shop.example/ä?a=1&b=2#top"
HTML = f'<body><p><a href="{TARGET.replace("&", "&amp;")}">offer</a> <a href="mailto:a@b.test">write</a></p></body>'


def received_html(stack: GatewayStack, sender: str, recipient: str, **members: Any) -> tuple[str, str, str]:
    """Send HTML; return it as it arrives, the plain text beside it, and the Message-ID."""
    api: Client = stack.api
    subject = f"Tracked {secrets.token_hex(6)}"
    payload = {"to": [{"address": stack.lab.users[1]}], "subject": subject, "html": HTML, **members}
    queued = api.post(f"{account_path(sender)}/submit", payload)
    arrived = api.wait_for_message(recipient, subject)
    text = api.get(message_path(recipient, arrived["id"]), textType="*")["text"]
    return text["html"], text["plain"], queued["messageId"]


def told(api: Client, account: str, name: str, message_id: str) -> list[Any]:
    """Return the data of the events of a name about a message."""
    data = [event["data"] for event in api.get("/v1/events", account=account, types=name)["events"]]
    return [one for one in data if one["messageId"] == message_id]


def test_opening_a_mail_and_following_its_link_are_told(
    gateway_stack: GatewayStack, api: Client, alice: str, bob: str
) -> None:
    """The reader comes where the sender meant; the text beside the HTML names the page itself."""
    html, plain, message_id = received_html(gateway_stack, alice, bob, trackOpens=True, trackClicks=True)
    if gateway_stack.lab.name != "graph":  # Exchange keeps one body, and makes the text of the HTML
        assert "redirect?" not in plain
    assert 'href="mailto:a@b.test"' in html
    link, picture = (
        unescape(found[1])
        for found in (re.search(r'href="([^"]*/redirect[^"]*)"', html), re.search(r'src="([^"]*/open[^"]*)"', html))
        if found is not None
    )
    with httpx.Client(trust_env=False, headers={"User-Agent": "Reader/1"}) as reader:
        shown = reader.get(picture)
        assert (shown.status_code, shown.headers["content-type"]) == (200, "image/gif")
        led = reader.get(link)
        assert (led.status_code, led.headers["location"]) == (302, TARGET.replace("ä", "%C3%A4"))
        expected = {"messageId": message_id, "remoteAddress": "127.0.0.1", "userAgent": "Reader/1"}
        assert told(api, alice, "trackOpen", message_id) == [expected]
        assert told(api, alice, "trackClick", message_id) == [{**expected, "url": TARGET}]
        swapped = picture.replace("/open.gif", "/redirect")
        for forged in (link.replace("sig=", "sig=A"), link.split("?")[0], swapped):
            assert reader.get(forged).status_code in (400, 403, 404)
    assert len(told(api, alice, "trackClick", message_id)) == 1


def test_not_a_byte_is_changed_unless_somebody_asks(gateway_stack: GatewayStack, alice: str, bob: str) -> None:
    """Neither by default, nor of a message that says no where the settings say yes."""
    plain, _, _ = received_html(gateway_stack, alice, bob)
    gateway_stack.api.post("/v1/settings", {"trackOpens": True, "trackClicks": True})
    try:
        refused, _, _ = received_html(gateway_stack, alice, bob, trackOpens=False, trackClicks=False)
        asked, _, _ = received_html(gateway_stack, alice, bob)
    finally:
        gateway_stack.api.post("/v1/settings", {"trackOpens": None, "trackClicks": None})
    assert plain == refused
    assert HTML in plain or gateway_stack.lab.name == "graph"
    assert "redirect?" not in plain
    assert asked.count("/redirect?") == asked.count("/open.gif?") == 1
