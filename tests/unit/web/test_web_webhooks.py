"""The administrator's page of webhooks."""

from __future__ import annotations

import html
from datetime import timedelta

import pytest

from gateway.errors import ResourceNotFoundError
from gateway.model.webhook import (
    Endpoint,
    EndpointTrouble,
    ReplayRequest,
    RouteUpdate,
    TestRequest,
    TestResult,
    WebhookDelivery,
)
from tests.unit.web.conftest import Browser
from tests.unit.web.fakes import NOW, FakeServices

PAGE = "/admin/webhooks"
FAILED = WebhookDelivery(
    endpoint="default",
    account="alice",
    event="messageNew",
    event_id="e1",
    state="failed",
    time=NOW,
    attempt=2,
    duration=31,
    status=500,
    error="HTTP 500",
    answer="out of order",
    request_headers={"webhook-id": "e1"},
    next_attempt=NOW + timedelta(minutes=1),
)


def test_endpoints_are_shown_with_what_is_wrong_with_them(admin: Browser, services: FakeServices) -> None:
    services.webhooks.known += [
        Endpoint(id="wh1", name="Orders", host="orders.example", enabled=False),
        Endpoint(
            id="wh2",
            name="Sales",
            host="sales.example",
            enabled=True,
            trouble=EndpointTrouble(message="HTTP 410", time=NOW, disabled=True),
        ),
        Endpoint(
            id="default",
            name="Own URL",
            account="bob",
            enabled=True,
            trouble=EndpointTrouble(message="Timeout: no answer in time", time=NOW),
        ),
    ]
    text = admin.get(PAGE).text
    for shown in ("app.example", "In service", "Off", "By its server: HTTP 410", "Failing", "bob"):
        assert shown in text
    assert text.count('action="/admin/webhooks/test"') == 2


def test_a_delivery_tells_all_there_is_to_know(admin: Browser, services: FakeServices) -> None:
    services.webhooks.made = [FAILED]
    text = html.unescape(admin.get(PAGE).text)
    for shown in ("messageNew", "alice", "HTTP 500", "out of order", "webhook-id: e1", "31 ms", "2026-11-23 12:01 UTC"):
        assert shown in text


def test_deliveries_are_filtered_and_links_keep_what_was_asked_for(admin: Browser, services: FakeServices) -> None:
    services.webhooks.made = [FAILED] * 51
    text = admin.get(f"{PAGE}?endpoint=default&state=failed&account=alice").text
    assert services.webhooks.asked == {"endpoint": "default", "account": "alice", "state": "failed", "cursor": None}
    assert 'href="/admin/webhooks?endpoint=default&amp;account=alice&amp;state=failed&amp;cursor=more"' in text
    admin.get(f"{PAGE}?endpoint=nothing&state=nothing&cursor=more")
    assert services.webhooks.asked == {"endpoint": None, "account": None, "state": None, "cursor": "more"}


def test_an_event_is_replayed_and_the_page_stays_as_it_was_filtered(admin: Browser, services: FakeServices) -> None:
    fields = {"endpoint": "default", "account": "alice", "event": "e1", "shown-state": "failed"}
    answer = admin.submit(PAGE, f"{PAGE}/replay", fields)
    assert services.webhooks.replays == [ReplayRequest(endpoint="default", account="alice", events=("e1",))]
    assert (answer.status_code, answer.headers["location"]) == (303, f"{PAGE}?state=failed&done=event-replayed")
    assert "delivered again" in admin.get(answer.headers["location"]).text


def test_an_event_that_is_not_there_any_more_is_said(admin: Browser, services: FakeServices) -> None:
    services.webhooks.queued = 0
    text = admin.submit(PAGE, f"{PAGE}/replay", {"account": "alice", "event": "e1"}).text
    assert "not in the log any more" in text
    services.webhooks.refusal = ResourceNotFoundError("There is no such account")
    text = admin.submit(PAGE, f"{PAGE}/replay", {"account": "alice", "event": "e1"}).text
    assert "There is no such account." in text


@pytest.mark.parametrize(("hours", "expected"), [("24", 24), ("168", 168), ("100000", 1), ("", 1)])
def test_the_last_hours_are_replayed(admin: Browser, services: FakeServices, hours: str, expected: int) -> None:
    services.webhooks.queued = 3
    text = admin.submit(PAGE, f"{PAGE}/replay-range", {"endpoint": "default", "hours": hours}).text
    assert "3 events of 1 account are being delivered again" in text
    (request,) = services.webhooks.replays
    assert (request.account, request.events, request.from_) == (None, None, NOW - timedelta(hours=expected))


def test_a_test_event_shows_what_the_server_answered(admin: Browser, services: FakeServices) -> None:
    text = admin.submit(PAGE, f"{PAGE}/test", {"endpoint": "default"}).text
    assert services.webhooks.tests == [TestRequest(endpoint="default")]
    assert "The server answered HTTP 204 after 12 ms." in text
    services.webhooks.result = TestResult(success=False, error="Timeout: no answer in time", duration=30000)
    text = admin.submit(PAGE, f"{PAGE}/test", {"endpoint": "default", "account": "bob"}).text
    assert services.webhooks.tests[1] == TestRequest(endpoint="default", account="bob")
    assert "Timeout: no answer in time." in text


def test_a_test_that_cannot_be_made_is_said(admin: Browser, services: FakeServices) -> None:
    services.webhooks.refusal = ResourceNotFoundError("This endpoint is not in service")
    assert "This endpoint is not in service." in admin.submit(PAGE, f"{PAGE}/test", {"endpoint": "default"}).text


def test_the_default_endpoint_is_set(admin: Browser, services: FakeServices) -> None:
    answer = admin.submit(PAGE, f"{PAGE}/settings", {"webhooks": " https://app.example/hook ", "enabled": "yes"})
    assert answer.headers["location"] == f"{PAGE}?done=webhooks-saved"
    saved = {name: services.runtime_settings.values[name] for name in ("webhooks", "webhooksEnabled")}
    assert saved == {"webhooks": "https://app.example/hook", "webhooksEnabled": True}
    admin.submit(PAGE, f"{PAGE}/settings", {"webhooks": ""})
    assert services.runtime_settings.values["webhooks"] is None
    assert services.runtime_settings.values["webhooksEnabled"] is False


def test_a_route_that_its_server_disabled_is_enabled_again(admin: Browser, services: FakeServices) -> None:
    trouble = EndpointTrouble(message="HTTP 410", time=NOW, disabled=True)
    services.webhooks.known.append(Endpoint(id="wh1", name="Orders", host="h", enabled=True, trouble=trouble))
    assert admin.get(PAGE).text.count(f'action="{PAGE}/enable"') == 1
    answer = admin.submit(PAGE, f"{PAGE}/enable", {"endpoint": "wh1"})
    assert answer.headers["location"] == f"{PAGE}?done=webhook-enabled"
    assert services.webhooks.updates == {"wh1": RouteUpdate(enabled=True)}
    assert admin.submit(PAGE, f"{PAGE}/enable", {"endpoint": "wh2"}).status_code == 404


def test_a_wrong_url_stands_beside_its_field(admin: Browser, services: FakeServices) -> None:
    answer = admin.submit(PAGE, f"{PAGE}/settings", {"webhooks": "nonsense", "enabled": "yes"})
    assert answer.status_code == 400
    assert 'id="error-webhooks"' in answer.text
    assert 'value="nonsense"' in answer.text
    assert 'name="enabled" value="yes" checked' in answer.text


def test_a_new_secret_is_shown_once(admin: Browser) -> None:
    assert "whsec_new" in admin.submit(PAGE, f"{PAGE}/secret").text
    assert "whsec_new" not in admin.get(PAGE).text
