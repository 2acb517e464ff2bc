"""The control endpoint."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway_sandbox.testing import ALICE, BOB, RunningSandbox


def test_failures_are_listed_switched_and_reset(sandbox: RunningSandbox) -> None:
    """A person debugging with curl has to see what is on."""
    sandbox.fail("throttled", user="Alice@Contoso.test", seconds=5)
    sandbox.fail("secret_expired")
    listing = sandbox.http.get("/sandbox/failures").json()
    on = {(switch["failure"], switch["user"]) for switch in listing["failures"]}
    assert on == {("throttled", ALICE), ("secret_expired", None)}
    assert "slow" in listing["known"]
    sandbox.http.post("/sandbox/failures", json={"failure": "throttled", "on": False})
    assert len(sandbox.http.get("/sandbox/failures").json()["failures"]) == 1
    assert sandbox.http.delete("/sandbox/failures").json()["failures"] == []


def test_failure_ends_after_its_seconds(sandbox: RunningSandbox) -> None:
    """A trial should repair itself."""
    sandbox.fail("secret_expired", seconds=60)
    assert sandbox.http.get("/sandbox/failures").json()["failures"]
    sandbox.clock.ahead = timedelta(seconds=61)
    assert sandbox.http.get("/sandbox/failures").json()["failures"] == []


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"failure": "nonsense"}',
        b'{"failure": "slow", "whom": "x"}',
        b'{"failure": "temporarily_unavailable", "user": "alice@contoso.test"}',
        b'{"failure": "secret_expired", "user": "alice@contoso.test"}',
    ],
)
def test_wrong_requests_are_explained(sandbox: RunningSandbox, body: bytes) -> None:
    """A typo that switched nothing on would make a test pass for the wrong reason."""
    answer = sandbox.http.post("/sandbox/failures", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_token_requests_are_counted_by_grant_type(sandbox: RunningSandbox) -> None:
    """Tests of the gateway count refreshes: one per token, however many ask."""
    before = sandbox.statistics()["tokenRequests"].get("refresh_token", 0)
    token = sandbox.sign_in(BOB)["refresh_token"]
    for _ in range(2):
        sandbox.token_request(grant_type="refresh_token", refresh_token=token)
    sandbox.token_request(grant_type="refresh_token", refresh_token="rubbish")
    after = sandbox.statistics()
    assert after["tokenRequests"]["refresh_token"] == before + 3
    assert after["tokenRequests"]["authorization_code"] >= 1
    assert after["tokenRefusals"]["70000"] >= 1


def test_expired_tokens_and_short_lifetime(sandbox: RunningSandbox) -> None:
    """Makes refreshing happen without waiting an hour."""
    answer = sandbox.http.post("/sandbox/tokens/expire", json={"lifetime": 7}).json()
    assert answer == {"lifetime": 7}
    assert sandbox.sign_in()["expires_in"] == 7
    sandbox.reset()
    assert sandbox.sign_in()["expires_in"] == 3600


def test_slow_answers_wait(sandbox: RunningSandbox) -> None:
    """For timeouts of the gateway; other requests go on meanwhile."""
    sandbox.fail("slow", seconds=0.3)
    answer = sandbox.token_request(grant_type="refresh_token", refresh_token="rubbish")
    assert answer.elapsed.total_seconds() >= 0.3


def test_delivery_needs_a_mailbox_and_a_message(sandbox: RunningSandbox) -> None:
    """Mail to nobody would be lost silently."""
    assert sandbox.http.post("/sandbox/deliver?user=nobody@contoso.test", content=b"x").status_code == 404
    assert sandbox.http.post(f"/sandbox/deliver?user={ALICE}&mailbox=Nowhere", content=b"x").status_code == 404
    assert sandbox.http.post(f"/sandbox/deliver?user={ALICE}").status_code == 400
    answer = sandbox.http.post(f"/sandbox/deliver?user={ALICE}&mailbox=Archive", content=b"Subject: x\r\n\r\n")
    assert answer.status_code == 201
    assert answer.json()["mailbox"] == "Archive"


def test_only_requests_under_a_name_of_this_machine_are_answered(sandbox: RunningSandbox) -> None:
    """A web page elsewhere can point its own name at 127.0.0.1 and must not reach the switches."""
    answer = sandbox.http.get("/sandbox/failures", headers={"host": "evil.example:4100"})
    assert answer.status_code == 421


def test_unknown_paths_and_methods(sandbox: RunningSandbox) -> None:
    """Answered as JSON, not as a hanging connection."""
    assert sandbox.http.get("/graph/beta/me").status_code == 404
    assert sandbox.http.get("/sandbox/deliver").status_code == 405
    assert "Sandbox" in sandbox.http.get("/").text
