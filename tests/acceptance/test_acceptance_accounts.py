"""Accounts through the API: create, change, mask, and mailboxes that are opened with a password."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.client import Client, RefusedError, account_path, client_parameters
from tests.acceptance.letters import letter
from tests.acceptance.stack import GatewayStack
from tests.rigs.dovecot import GUEST_PASSWORD
from tests.rigs.loop_thread import LoopThread
from tests.rigs.processes import wait_until
from tests.rigs.proxies import SmallProxy
from tests.rigs.real_lab import RealLab

MASK = "******"


class PasswordMailbox:
    """Somebody with a password, and the servers of his mailbox as the API takes them."""

    def __init__(self, stack: GatewayStack, user: str, password: str) -> None:
        self.stack = stack
        self.user = user
        self.password = password
        entry = stack.lab.clouds_entry()
        auth = {"user": user, "pass": password}
        # The labs' certificates are nobody's but the labs'.
        tls = {"rejectUnauthorized": False}
        imap, smtp = entry["imap"], entry["smtp"]
        self.imap = {"host": imap["host"], "port": imap["port"], "secure": True, "tls": tls, "auth": auth}
        self.smtp = {"host": smtp["host"], "port": smtp["port"], "secure": False, "tls": tls, "auth": auth}
        stack.scan.plant(password)


@pytest.fixture(params=["sandbox_stack", "full_stack"])
def mailbox(request: pytest.FixtureRequest) -> PasswordMailbox:
    """A mailbox that is opened with a password."""
    stack: GatewayStack = request.getfixturevalue(request.param)
    if isinstance(stack.lab, RealLab):
        return PasswordMailbox(stack, stack.lab.dovecot.new_user(), GUEST_PASSWORD)
    return PasswordMailbox(stack, "dave@example.test", "sandbox-password")


@pytest.fixture
def account(mailbox: PasswordMailbox) -> Iterator[str]:
    """A connected account of that mailbox."""
    name = f"password-{secrets.token_hex(3)}"
    payload = {"account": name, "name": "Dave", "email": mailbox.user, "imap": mailbox.imap, "smtp": mailbox.smtp}
    assert mailbox.stack.api.post("/v1/account", payload) == {"account": name, "state": "new"}
    mailbox.stack.api.wait_for_state(name, "connected")
    yield name
    mailbox.stack.forget(name)


def test_a_mailbox_with_a_password_is_read_and_sent_from(mailbox: PasswordMailbox, account: str) -> None:
    """The same operations, without OAuth2; the copy under Sent is the gateway's work here."""
    api, lab = mailbox.stack.api, mailbox.stack.lab
    made = letter(mailbox.user)
    lab.deliver(mailbox.user, made.raw)
    entry = api.wait_for_message(account, made.subject)
    attachment = api.octets(f"{account_path(account)}/attachment/{entry['attachments'][0]['id']}")
    assert attachment.content == made.attachment
    subject = f"To myself {secrets.token_hex(6)}"
    payload = {"to": [{"address": mailbox.user}], "bcc": [{"address": lab.users[0]}], "subject": subject, "text": "x"}
    api.post(f"{account_path(account)}/submit", payload)
    api.wait_for_message(account, subject)
    api.wait_for_message(account, subject, api.mailbox_of_use(account, "\\Sent"))
    assert api.account(account)["type"] == "imap"


def test_secrets_are_masked_and_a_mask_changes_nothing(mailbox: PasswordMailbox, account: str) -> None:
    """Clients read an account, change a member and write all of it back: the mask must not become the password."""
    api = mailbox.stack.api
    shown = api.account(account)
    assert shown["imap"]["auth"] == {"user": mailbox.user, "pass": MASK}
    assert shown["smtp"]["auth"] == {"user": mailbox.user, "pass": MASK}
    assert mailbox.password not in str(shown)
    assert api.put(account_path(account), {"name": "David", "imap": shown["imap"]}) == {"account": account}
    api.put(f"{account_path(account)}/reconnect", {"reconnect": True})
    assert api.wait_for_state(account, "connected")["name"] == "David"
    api.messages(account)


def test_a_partial_change_keeps_the_rest(mailbox: PasswordMailbox, account: str) -> None:
    """Without `partial` a server is replaced as a whole; with it, members that are absent stay."""
    api = mailbox.stack.api
    api.put(account_path(account), {"imap": {"partial": True, "sentMailPath": "Archive"}})
    found = api.wait_for_state(account, "connected")
    assert (found["imap"]["port"], found["imap"]["sentMailPath"]) == (mailbox.imap["port"], "Archive")
    assert found["imap"]["auth"]["pass"] == MASK
    with pytest.raises(RefusedError) as refused:
        api.put(account_path(account), {"imap": {"sentMailPath": "Archive"}})
    assert refused.value.status == 400
    api.put(account_path(account), {"imap": mailbox.imap})
    assert "sentMailPath" not in api.wait_for_state(account, "connected")["imap"]


def test_the_same_id_again_changes_the_account(mailbox: PasswordMailbox, account: str) -> None:
    """POST is an upsert: clients that lost the answer may repeat it."""
    api = mailbox.stack.api
    payload = {"account": account, "name": "Again", "imap": mailbox.imap}
    assert api.post("/v1/account", payload) == {"account": account, "state": "existing"}
    found = api.wait_for_state(account, "connected")
    assert (found["name"], found["email"]) == ("Again", mailbox.user)
    assert found["smtp"]["host"], "members that were not named stay"


def test_a_wrong_password_parks_the_account_and_the_right_one_revives_it(
    mailbox: PasswordMailbox, account: str
) -> None:
    """No retries with a password that was refused: servers lock mailboxes for less."""
    api = mailbox.stack.api
    wrong = {**mailbox.imap, "auth": {"user": mailbox.user, "pass": "not-the-password"}}
    mailbox.stack.scan.plant("not-the-password")
    api.put(account_path(account), {"imap": wrong})
    found = api.wait_for_state(account, "authenticationError")
    assert found["lastError"]["response"]
    with pytest.raises(RefusedError) as refused:
        api.messages(account)
    assert (refused.value.status, refused.value.code) == (503, "AuthenticationFails")
    api.put(account_path(account), {"imap": mailbox.imap})
    api.wait_for_state(account, "connected")


def test_servers_are_tried_without_storing_anything(mailbox: PasswordMailbox) -> None:
    """Good, wrong password, and nobody there: each server has a verdict of its own."""
    api = mailbox.stack.api
    before = api.get("/v1/accounts")["total"]
    good = api.post("/v1/verifyAccount", {"imap": mailbox.imap, "smtp": mailbox.smtp, "mailboxes": True})
    assert (good["imap"]["success"], good["smtp"]["success"]) == (True, True)
    assert "INBOX" in {box["path"] for box in good["mailboxes"]}
    wrong: dict[str, Any] = {**mailbox.imap, "auth": {"user": mailbox.user, "pass": "not-the-password"}}
    nobody = {**mailbox.smtp, "port": 1}
    bad = api.post("/v1/verifyAccount", {"imap": wrong, "smtp": nobody})
    assert (bad["imap"]["success"], bad["smtp"]["success"]) == (False, False)
    assert bad["imap"]["code"] and bad["smtp"]["error"]
    assert api.get("/v1/accounts")["total"] == before


def test_the_hosted_form_connects_a_mailbox_with_a_password(sandbox_stack: GatewayStack) -> None:
    """From the link to a connected account, servers tested first; the link is used up by it."""
    mailbox = PasswordMailbox(sandbox_stack, "dave@example.test", "sandbox-password")
    account = f"form-{secrets.token_hex(3)}"
    link = sandbox_stack.form_link(account, app="imap", email=mailbox.user)
    with sandbox_stack.browser() as browser:
        refused = browser.submit(browser.open(link), **_form_fields(mailbox, "not-the-password"))
        assert refused.status_code in (200, 400)
        assert "not-the-password" not in refused.text
        parameters = client_parameters(browser.submit(refused, **_form_fields(mailbox, mailbox.password)))
        assert (parameters["account"], parameters["state"]) == (account, "new")
        assert browser.open(link).status_code == 403
    try:
        sandbox_stack.api.wait_for_state(account, "connected")
    finally:
        sandbox_stack.forget(account)


def test_the_hosted_form_does_not_trust_just_any_certificate(full_stack: GatewayStack) -> None:
    """A password that is typed into the form goes to nobody whose name is not proven."""
    assert isinstance(full_stack.lab, RealLab)
    mailbox = PasswordMailbox(full_stack, full_stack.lab.dovecot.new_user(), GUEST_PASSWORD)
    account = f"form-{secrets.token_hex(3)}"
    with full_stack.browser() as browser:
        page = browser.open(full_stack.form_link(account, app="imap", email=mailbox.user))
        answer = browser.submit(page, **_form_fields(mailbox, mailbox.password))
    assert re.search("certificate", answer.text, re.IGNORECASE)
    assert mailbox.password not in answer.text
    with pytest.raises(RefusedError):
        full_stack.api.account(account)


def _form_fields(mailbox: PasswordMailbox, password: str) -> dict[str, str]:
    imap, smtp = mailbox.imap, mailbox.smtp
    return {
        "name": "Dave",
        "imap_password": password,
        "imap_host": str(imap["host"]),
        "imap_port": str(imap["port"]),
        "imap_security": "tls",
        "smtp_host": str(smtp["host"]),
        "smtp_port": str(smtp["port"]),
        "smtp_security": "starttls",
    }


def test_tokens_of_an_account_open_nothing_else(gateway_stack: GatewayStack, api: Client, alice: str) -> None:
    """A token that is bound to one account is no key to the others."""
    made = api.post("/v1/tokens", {"account": alice, "description": "bound", "scopes": ["api"]})
    gateway_stack.scan.plant(made["token"])
    bound = Client(gateway_stack.url, made["token"])
    try:
        assert bound.account(alice)["account"] == alice
        for path in (account_path("bob"), "/v1/oauth2"):
            with pytest.raises(RefusedError) as refused:
                bound.get(path)
            assert refused.value.status == 403
        assert api.delete(f"/v1/tokens/{made['id']}") == {"deleted": True}
        with pytest.raises(RefusedError) as refused:
            bound.account(alice)
        assert refused.value.status == 401
    finally:
        bound.close()


def test_apps_show_no_secret(gateway_stack: GatewayStack, api: Client) -> None:
    """And a mask that is written back leaves the secret as it is: the other tests go on working."""
    app = api.get(f"/v1/oauth2/{gateway_stack.app}")
    assert app["clientSecret"] == MASK
    assert api.put(f"/v1/oauth2/{gateway_stack.app}", {"clientSecret": MASK})["updated"] is True
    with gateway_stack.connected(gateway_stack.lab.users[2]):
        pass


@pytest.fixture
def small_proxy(loop_thread: LoopThread, mailbox: PasswordMailbox) -> Iterator[SmallProxy]:
    """A proxy on loopback whose login must stand in no log."""
    proxy = SmallProxy(login=("gate", "pr0xy-s3cret"))
    mailbox.stack.scan.plant("pr0xy-s3cret")
    loop_thread.run(proxy.__aenter__())
    yield proxy
    loop_thread.run(proxy.__aexit__(None, None, None))


@pytest.mark.parametrize("scheme", ["socks5", "http"])
def test_a_mailbox_behind_a_proxy_is_read_and_sent_from(
    mailbox: PasswordMailbox, account: str, small_proxy: SmallProxy, scheme: str
) -> None:
    """IMAP and SMTP go through it; a message can choose another way, and is told of the way that failed."""
    api, subject = mailbox.stack.api, f"Through a proxy {secrets.token_hex(6)}"
    url, shown = small_proxy.url(scheme, "gate:pr0xy-s3cret"), small_proxy.url(scheme, "******")
    api.put(account_path(account), {"proxy": url})
    api.wait_for_state(account, "connected")
    assert api.account(account)["proxy"] == shown
    payload = {"to": [{"address": mailbox.user}], "subject": subject, "text": "x"}
    api.post(f"{account_path(account)}/submit", payload)
    api.wait_for_message(account, subject)
    servers = {(scheme, server["host"], server["port"]) for server in (mailbox.imap, mailbox.smtp)}
    assert set(small_proxy.asked) == servers
    assert api.account(account)["smtpStatus"]["networkRouting"]["proxy"] == shown
    wrong = small_proxy.url(scheme, "gate:wr0ng")
    queued = api.post(f"{account_path(account)}/submit", {**payload, "proxy": wrong, "deliveryAttempts": 1})

    def failed() -> Any:
        return api.get(f"/v1/outbox/{queued['queueId']}")["progress"].get("error")

    wait_until(failed, "the proxy's refusal is told", 30)
    assert (failed()["code"], failed()["networkRouting"]["proxy"]) == ("ProxyRefused", shown)
    verified = api.post("/v1/verifyAccount", {"imap": mailbox.imap, "smtp": mailbox.smtp, "proxy": wrong})
    assert (verified["imap"]["success"], verified["smtp"]["success"]) == (False, False)


@pytest.fixture
def relay(mailbox: PasswordMailbox) -> Iterator[str]:
    """The mailbox' submission server, as a relay for everybody."""
    api, name = mailbox.stack.api, f"relay-{secrets.token_hex(4)}"
    server = {member: mailbox.smtp[member] for member in ("host", "port", "secure")}
    payload = {"gateway": name, "name": "Relay", **server, "user": mailbox.user, "pass": mailbox.password}
    assert api.post("/v1/gateway", payload) == {"gateway": name, "state": "new"}
    yield name
    assert api.delete(f"/v1/gateway/{name}") == {"gateway": name, "deleted": True}


def test_mail_goes_through_a_relay_that_is_trusted(mailbox: PasswordMailbox, account: str, relay: str) -> None:
    """An account may send over another server than its own; one whose certificate nobody knows gets no password."""
    api = mailbox.stack.api
    # Its own server is out of order.
    api.put(account_path(account), {"smtp": {"partial": True, "port": 1}})
    subject = f"Over a relay {secrets.token_hex(6)}"
    payload = {"to": [{"address": mailbox.user}], "subject": subject, "text": "x", "gateway": relay}
    queued = api.post(f"{account_path(account)}/submit", payload)

    def told(member: str) -> Any:
        return api.get(f"/v1/gateway/{relay}").get(member)

    if isinstance(mailbox.stack.lab, RealLab):
        wait_until(lambda: told("lastError"), "the relay's refusal is told", 30)
        assert "certificate" in told("lastError")["description"]
        assert told("deliveries") == 0
        api.delete(f"/v1/outbox/{queued['queueId']}")
    else:
        # It connects anew after the change of its server.
        api.wait_for_state(account, "connected")
        api.wait_for_message(account, subject)
        wait_until(lambda: told("deliveries") == 1, "the relay has counted it", 30)
    shown = api.get(f"/v1/gateway/{relay}")
    assert (shown["user"], shown["pass"], shown["port"]) == (mailbox.user, MASK, mailbox.smtp["port"])


def test_a_relay_that_is_not_there_is_refused(mailbox: PasswordMailbox, account: str) -> None:
    """Nothing is accepted that could never leave."""
    payload = {"to": [{"address": mailbox.user}], "subject": "x", "text": "x", "gateway": "nothing"}
    with pytest.raises(RefusedError) as refused:
        mailbox.stack.api.post(f"{account_path(account)}/submit", payload)
    assert refused.value.status == 404
