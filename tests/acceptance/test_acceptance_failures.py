"""What people meet when Microsoft says no: the sandbox' failures, seen through the API and the hosted pages."""

from __future__ import annotations

import html
import re
import secrets
from collections.abc import Iterator
from urllib.parse import urljoin

import httpx
import pytest

from tests.acceptance.client import Client, PageForm, RefusedError, account_path
from tests.acceptance.letters import letter
from tests.acceptance.stack import GatewayStack
from tests.acceptance.test_acceptance_sending import left_outbox, outbox_state
from tests.rigs.processes import wait_until
from tests.rigs.sandbox_lab import SandboxLab

ALICE, CAROL, SUPPORT = "alice@contoso.test", "carol@contoso.test", "support@contoso.test"


class Switches:
    """The sandbox' control endpoint."""

    def __init__(self, url: str) -> None:
        self._url = url

    def switch(self, failure: str, *, user: str | None = None, on: bool = True, seconds: float | None = None) -> None:
        """Switch a failure on or off, for everybody or for one user."""
        body = {"failure": failure, "on": on, "user": user, "seconds": seconds}
        httpx.post(f"{self._url}/failures", json=body, trust_env=False).raise_for_status()

    def reset(self) -> None:
        """Switch everything off."""
        httpx.delete(f"{self._url}/failures", trust_env=False).raise_for_status()


@pytest.fixture
def switches(sandbox_lab: SandboxLab) -> Iterator[Switches]:
    """All failures are off again afterwards."""
    found = Switches(sandbox_lab.control_url)
    yield found
    found.reset()


@pytest.fixture
def client(sandbox_stack: GatewayStack) -> Client:
    """Calls the API of the sandbox' gateway."""
    return sandbox_stack.api


def test_a_shared_mailbox_is_opened_with_somebodys_own_grant(sandbox_stack: GatewayStack, client: Client) -> None:
    """The person signs in as themselves; mail is read from, and sent as, the shared mailbox."""
    account = f"support-{secrets.token_hex(3)}"
    link = sandbox_stack.form_link(account, email=SUPPORT, delegated=True)
    made = letter(SUPPORT)
    with sandbox_stack.browser() as browser:
        assert browser.sign_in(link, sandbox_stack.lab, ALICE)["account"] == account
    try:
        found = client.wait_for_state(account, "connected")
        assert found["email"] == SUPPORT
        assert found["oauth2"]["auth"] == {"user": ALICE, "delegatedUser": SUPPORT}
        sandbox_stack.lab.deliver(SUPPORT, made.raw)
        client.wait_for_message(account, made.subject)
        subject = f"From support {secrets.token_hex(6)}"
        with sandbox_stack.connected(CAROL) as carol:
            payload = {"to": [{"address": CAROL}], "subject": subject, "text": "x"}
            client.post(f"{account_path(account)}/submit", payload)
            assert client.wait_for_message(carol, subject)["from"]["address"] == SUPPORT
    finally:
        sandbox_stack.forget(account)


def test_somebody_without_the_right_does_not_open_a_shared_mailbox(sandbox_stack: GatewayStack, client: Client) -> None:
    """The account says so, and does not hammer the server."""
    account = f"support-{secrets.token_hex(3)}"
    link = sandbox_stack.form_link(account, email=SUPPORT, delegated=True)
    with sandbox_stack.browser() as browser:
        browser.sign_in(link, sandbox_stack.lab, CAROL)
    try:
        found = client.wait_for_state(account, "authenticationError", "connectError")
        assert found["lastError"]["response"]
    finally:
        sandbox_stack.forget(account)


def test_an_administrator_has_to_approve_first(sandbox_stack: GatewayStack, client: Client, switches: Switches) -> None:
    """The person is told who must act, with the link for that; afterwards the sign-in works."""
    switches.switch("admin_consent_needed", user=CAROL)
    account = f"approval-{secrets.token_hex(3)}"
    oauth2 = {"authorize": True, "provider": sandbox_stack.app}
    made = client.post("/v1/account", {"account": account, "name": "", "oauth2": oauth2})
    with sandbox_stack.browser() as browser:
        page = browser.open(sandbox_stack.lab.sign_in(made["redirect"], CAROL))
        assert page.status_code == 400
        assert "administrator" in page.text.lower()
        found = re.search(r'https?://[^"<\s]*adminconsent[^"<\s]*', page.text)
        assert found is not None, "the page has no link for the administrator"
        link = html.unescape(found[0])
        with httpx.Client(trust_env=False) as admin:
            approval = admin.get(link)
            assert approval.status_code == 200
            form = PageForm(approval.text)
            answer = admin.post(urljoin(link, form.action), data={**form.fields, "action": "accept"})
        assert answer.is_redirect
        assert browser.open(answer.headers["location"]).status_code == 200
        again = client.post("/v1/account", {"account": account, "name": "", "oauth2": oauth2})
        browser.open(sandbox_stack.lab.sign_in(again["redirect"], CAROL))
    try:
        client.wait_for_state(account, "connected")
    finally:
        sandbox_stack.forget(account)


def test_lost_consent_parks_the_account_until_somebody_signs_in_again(
    sandbox_stack: GatewayStack, client: Client, switches: Switches
) -> None:
    """AADSTS65001 at a refresh is no broken password: the remedy says what to do."""
    lab = sandbox_stack.lab
    with sandbox_stack.connected(CAROL) as account:
        switches.switch("consent_needed", user=CAROL)
        lab.expire_access_tokens(CAROL)
        with pytest.raises(RefusedError) as refused:
            client.unwatched(account)
        assert refused.value.status == 503
        found = client.wait_for_state(account, "authenticationError")
        assert found["lastError"]["remedy"]["code"]
        sandbox_stack.sign_in(CAROL, account)
        client.wait_for_state(account, "connected")


@pytest.mark.parametrize("failure", ["throttled", "temporarily_unavailable"])
def test_a_token_endpoint_that_says_not_now_does_not_mark_the_account(
    sandbox_stack: GatewayStack, client: Client, switches: Switches, failure: str
) -> None:
    """Shown as bad credentials, a minute of throttling would send every user to the sign-in page."""
    lab = sandbox_stack.lab
    with sandbox_stack.connected(CAROL) as account:
        switches.switch(failure, seconds=1 if failure == "throttled" else None)
        lab.expire_access_tokens(CAROL)
        statuses = set()
        for _ in range(3):
            with pytest.raises(RefusedError) as refused:
                client.unwatched(account)
            statuses.add(refused.value.status)
        assert statuses <= {429, 503}
        assert client.account(account)["state"] != "authenticationError"
        switches.reset()
        client.wait_for_state(account, "connected")
        assert client.messages(account)["total"] > 0


def test_an_account_that_was_throttled_while_connecting_connects_later(
    sandbox_stack: GatewayStack, client: Client, switches: Switches
) -> None:
    """The first attempt met a full service; nobody should have to press a button."""
    switches.switch("throttled", user=CAROL, seconds=1)
    account = f"later-{secrets.token_hex(3)}"
    tokens = _grant(sandbox_stack)
    oauth2 = {"provider": sandbox_stack.app, "auth": {"user": CAROL}, "refreshToken": tokens}
    client.post("/v1/account", {"account": account, "name": "", "email": CAROL, "oauth2": oauth2})
    try:
        client.wait_for_state(account, "connecting")
        assert client.account(account)["state"] == "connecting"
        switches.reset()
        client.wait_for_state(account, "connected")
    finally:
        sandbox_stack.forget(account)


def test_a_client_secret_that_expired_is_the_apps_trouble(
    sandbox_stack: GatewayStack, client: Client, switches: Switches
) -> None:
    """The remedy names the operator, the app shows the error, and mending the app brings its accounts back."""
    lab = sandbox_stack.lab
    with sandbox_stack.connected(CAROL) as account:
        switches.switch("secret_expired")
        lab.expire_access_tokens(CAROL)
        with pytest.raises(RefusedError):
            client.unwatched(account)
        found = client.wait_for_state(account, "authenticationError")
        assert found["lastError"]["remedy"]["who"] != "user"
        assert client.get(f"/v1/oauth2/{sandbox_stack.app}")["lastError"]["serverResponseCode"]
        switches.reset()
        client.put(f"/v1/oauth2/{sandbox_stack.app}", {"clientSecret": lab.app_fields()["clientSecret"]})
        client.wait_for_state(account, "connected")
        assert "lastError" not in client.get(f"/v1/oauth2/{sandbox_stack.app}")


def test_switched_off_submission_ends_the_send_and_says_who_must_act(
    sandbox_stack: GatewayStack, client: Client, switches: Switches
) -> None:
    """SMTP AUTH is off in most tenants; repeating would never help, and reading mail must not suffer."""
    with sandbox_stack.connected(CAROL) as account:
        switches.switch("smtp_auth_disabled", user=CAROL)
        payload = {"to": [{"address": ALICE}], "subject": f"Off {secrets.token_hex(6)}", "text": "x"}
        queued = client.post(f"{account_path(account)}/submit", payload)
        entry = outbox_state(client, queued["queueId"], "failed")
        assert entry["attemptsMade"] == 1
        assert "SMTP" in entry["progress"]["error"]["message"]
        assert entry["progress"]["error"]["remedy"]["who"] == "tenant_admin"
        assert entry["progress"]["error"]["remedy"]["steps"]
        status = client.account(account)["smtpStatus"]
        assert (status["status"], status["responseCode"], status["command"]) == ("error", 535, "AUTH")
        assert status["code"]
        assert status["remedy"]["baseScopes"] == "api"
        assert entry["progress"]["error"]["remedy"] == status["remedy"]
        assert entry["progress"]["error"]["statusCode"] == 535
        assert client.account(account)["state"] == "connected"
        assert client.messages(account)["messages"]


def test_an_account_that_may_not_use_smtp_sends_over_graph_once_it_has_moved(
    sandbox_stack: GatewayStack, client: Client, switches: Switches
) -> None:
    """The way that the remedy offers: the same account, signed in through another app."""
    graph = sandbox_stack.create_app(name="Graph", baseScopes="api")
    subject = f"Moved {secrets.token_hex(6)}"
    with sandbox_stack.connected(CAROL) as account:
        switches.switch("smtp_auth_disabled", user=CAROL)
        payload = {"to": [{"address": CAROL}], "subject": subject, "text": "x"}
        queued = client.post(f"{account_path(account)}/submit", payload)
        outbox_state(client, queued["queueId"], "failed")
        sandbox_stack.sign_in(CAROL, account, app=graph)
        found = client.wait_for_state(account, "connected")
        assert (found["app"], found["baseScopes"]) == (graph, "api")
        assert "smtpStatus" not in found
        client.post(f"{account_path(account)}/submit", payload)
        client.wait_for_message(account, subject)
        ids = {each["id"] for each in client.messages(account)["messages"]}
        assert ids
        for each in ids:
            client.get(f"{account_path(account)}/message/{each}")
        told = [each["event"] for each in client.get("/v1/events", account=account, pageSize=1000)["events"]]
        assert "messageNew" in told
        assert not {"messageDeleted", "mailboxReset"}.intersection(told), "what was there before is not told anew"


def test_a_send_that_met_a_passing_failure_is_tried_again(
    sandbox_stack: GatewayStack, client: Client, switches: Switches
) -> None:
    """421 of SMTP is greylisting, load or maintenance: the message leaves once the service is back, and once only."""
    subject = f"Again {secrets.token_hex(6)}"
    with sandbox_stack.connected(CAROL) as account:
        switches.switch("temporarily_unavailable")
        payload = {"to": [{"address": CAROL}], "subject": subject, "text": "x"}
        queued = client.post(f"{account_path(account)}/submit", payload)
        entry = outbox_state(client, queued["queueId"], "retrying")
        assert entry["nextAttempt"] > entry["created"]
        switches.reset()
        wait_until(lambda: left_outbox(client, queued["queueId"]), "sent", 40)
        client.wait_for_state(account, "connected")
        client.wait_for_message(account, subject)
        assert len(client.with_subject(account, subject)) == 1


def test_a_mailbox_that_cannot_be_opened_says_so(
    sandbox_stack: GatewayStack, client: Client, switches: Switches
) -> None:
    """ "User is authenticated but not connected": a new sign-in would change nothing."""
    with sandbox_stack.connected(CAROL) as account:
        switches.switch("mailbox_not_connected", user=CAROL)
        client.put(f"{account_path(account)}/reconnect", {"reconnect": True})
        found = client.wait_for_state(account, "authenticationError", "connectError")
        assert found["lastError"]["remedy"]["who"] != "user"
        switches.reset()
        client.wait_for_state(account, "connected")


def _grant(stack: GatewayStack) -> str:
    """Return a refresh token of the sandbox, got as another installation would have got it."""
    entry, fields = stack.lab.clouds_entry(), stack.lab.app_fields()
    base = f"{entry['login']}/{fields['authority']}/oauth2/v2.0"
    scope = f"{entry['scope_host']}/IMAP.AccessAsUser.All {entry['scope_host']}/SMTP.Send offline_access openid profile"
    query = {"client_id": fields["clientId"], "response_type": "code", "redirect_uri": f"{stack.url}/oauth"}
    url = httpx.URL(f"{base}/authorize", params={**query, "scope": scope, "state": "s"})
    back = httpx.URL(stack.lab.sign_in(str(url), CAROL))
    form = {**query, "client_secret": fields["clientSecret"], "grant_type": "authorization_code"}
    answer = httpx.post(f"{base}/token", data={**form, "code": back.params["code"]}, trust_env=False)
    token = str(answer.raise_for_status().json()["refresh_token"])
    stack.scan.plant(token)
    return token
