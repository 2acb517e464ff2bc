"""The administrator's page of the outbox."""

from __future__ import annotations

import html
from datetime import timedelta

import msgspec
import pytest

from gateway.model.account_errors import RemedyInfo
from gateway.model.submission import OutboxEntry, OutboxEnvelope, OutboxProgress, OutboxProgressError, OutboxState
from tests.unit.web.conftest import Browser
from tests.unit.web.fakes import NOW, FakeServices

PAGE = "/admin/outbox"
REMEDY = RemedyInfo(
    code="SmtpClientAuthenticationDisabled",
    title="Sending over SMTP is switched off",
    who="tenant_admin",
    steps=("Switch it on for this mailbox.",),
    raw="535 5.7.139",
)
RETRYING = OutboxEntry(
    queue_id="0193f",
    account="alice",
    message_id="<m1@example.org>",
    envelope=OutboxEnvelope(from_="alice@example.org", to=("bob@example.org", "carol@example.org")),
    subject="Hello",
    state="retrying",
    created=NOW,
    scheduled=NOW,
    next_attempt=NOW + timedelta(minutes=5),
    attempts_made=2,
    progress=OutboxProgress(
        status="error",
        response="451 4.7.1 come back later",
        error=OutboxProgressError(message="the server asks to wait", code="RateLimited", status_code=451),
    ),
)


@pytest.fixture
def entry(services: FakeServices) -> OutboxEntry:
    """A message that was refused twice for the time being."""
    services.submissions.entries = [RETRYING]
    return RETRYING


@pytest.mark.usefixtures("entry")
def test_a_message_tells_all_there_is_to_know(admin: Browser) -> None:
    text = html.unescape(admin.get(PAGE).text)
    for shown in (
        *("Hello", "alice", "To be tried again", "The server asks to wait.", "2 of 10", "2026-11-23 12:05 UTC"),
        *("0193f", "<m1@example.org>", "bob@example.org, carol@example.org", "451 4.7.1 come back later"),
    ):
        assert shown in text


def test_what_has_to_be_done_is_said(admin: Browser, services: FakeServices) -> None:
    progress = OutboxProgress(status="error", error=OutboxProgressError(message="refused", remedy=REMEDY))
    services.submissions.entries = [msgspec.structs.replace(RETRYING, state="failed", progress=progress)]
    text = admin.get(PAGE).text
    assert "Sending over SMTP is switched off" in text
    assert "An administrator of the organisation" in text


@pytest.mark.usefixtures("entry")
def test_messages_of_one_account_are_shown(admin: Browser, services: FakeServices) -> None:
    services.submissions.entries.append(msgspec.structs.replace(RETRYING, account="bob", queue_id="0194a"))
    text = admin.get(f"{PAGE}?account=bob").text
    assert "0194a" in text
    assert "0193f" not in text
    assert "Nothing of this account waits" in admin.get(f"{PAGE}?account=dave").text


def test_pages_lead_to_each_other_and_keep_the_account(admin: Browser, services: FakeServices) -> None:
    services.submissions.entries = [
        msgspec.structs.replace(RETRYING, account="a&b", queue_id=f"q{number:03}") for number in range(51)
    ]
    first, second = admin.get(f"{PAGE}?account=a%26b").text, admin.get(f"{PAGE}?account=a%26b&page=1").text
    assert 'href="/admin/outbox?account=a%26b&amp;page=1"' in first
    assert ("q049" in first, "q050" in first, "q049" in second, "q050" in second) == (True, False, False, True)


@pytest.mark.usefixtures("entry")
def test_a_message_is_cancelled_and_the_page_stays_with_the_account(admin: Browser, services: FakeServices) -> None:
    answer = admin.submit(PAGE, f"{PAGE}/cancel", {"queue-id": "0193f", "account": "alice"})
    assert [entry.state for entry in services.submissions.entries] == ["cancelled"]
    assert (answer.status_code, answer.headers["location"]) == (303, f"{PAGE}?account=alice&done=send-cancelled")
    assert "will not be sent" in admin.get(answer.headers["location"]).text


@pytest.mark.usefixtures("entry")
def test_a_message_that_was_sent_meanwhile_cannot_be_cancelled(admin: Browser) -> None:
    answer = admin.submit(PAGE, f"{PAGE}/cancel", {"queue-id": "gone", "account": ""})
    assert "not in the outbox any more" in admin.get(answer.headers["location"]).text


@pytest.mark.parametrize("state", ["failed", "retrying", "unknown"])
def test_a_message_is_sent_again_from_the_page(admin: Browser, services: FakeServices, state: OutboxState) -> None:
    services.submissions.entries = [msgspec.structs.replace(RETRYING, state=state)]
    text = admin.get(PAGE).text
    assert ("may get it twice" in text) == (state == "unknown")
    consent = {"may-repeat": "yes"} if 'name="may-repeat"' in text else {}
    answer = admin.submit(PAGE, f"{PAGE}/retry", {"queue-id": "0193f", "account": "alice", **consent})
    assert answer.headers["location"] == f"{PAGE}?account=alice&done=send-retried"
    assert services.submissions.entries[0].state == "queued"


def test_what_may_be_out_is_not_sent_again_without_a_word(admin: Browser, services: FakeServices) -> None:
    services.submissions.entries = [msgspec.structs.replace(RETRYING, state="unknown")]
    answer = admin.submit(PAGE, f"{PAGE}/retry", {"queue-id": "0193f", "account": ""})
    assert "in another state by now" in admin.get(answer.headers["location"]).text
    assert services.submissions.entries[0].state == "unknown"


def test_what_ended_is_removed_from_the_page(admin: Browser, services: FakeServices) -> None:
    services.submissions.entries = [msgspec.structs.replace(RETRYING, state="failed")]
    answer = admin.submit(PAGE, f"{PAGE}/delete", {"queue-id": "0193f", "account": ""})
    assert services.submissions.entries == []
    assert "was removed" in admin.get(answer.headers["location"]).text


@pytest.mark.parametrize(
    ("state", "offered"),
    [
        ("queued", {"cancel"}),
        ("retrying", {"cancel", "retry"}),
        ("unknown", {"retry", "delete"}),
        ("failed", {"retry", "delete"}),
        ("cancelled", {"delete"}),
        ("sending", set()),
        ("sent", set()),
    ],
)
def test_what_cannot_be_done_in_a_state_is_not_offered(
    admin: Browser, services: FakeServices, state: OutboxState, offered: set[str]
) -> None:
    services.submissions.entries = [msgspec.structs.replace(RETRYING, state=state)]
    text = admin.get(PAGE).text
    assert {does for does in ("cancel", "retry", "delete") if f'action="/admin/outbox/{does}"' in text} == offered


def test_an_empty_outbox_says_what_would_be_there(admin: Browser) -> None:
    assert "The outbox is empty" in admin.get(PAGE).text
