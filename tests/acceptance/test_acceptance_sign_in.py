"""From a link to a connected account: the hosted sign-in, in every lab."""

from __future__ import annotations

import secrets

import pytest

from tests.acceptance.client import CLIENT_PAGE, Client, RefusedError, account_path, client_parameters
from tests.acceptance.stack import GatewayStack


def test_a_form_link_leads_to_a_connected_account(gateway_stack: GatewayStack, api: Client, alice: str) -> None:
    """The first thing that every installation has to do."""
    account = api.account(alice)
    assert account["state"] == "connected"
    assert account["email"] == gateway_stack.lab.users[0]
    assert account["type"] == "outlook"
    assert account["app"] == gateway_stack.app
    assert "lastError" not in account or account["lastError"] is None


def test_signing_in_again_renews_the_same_account(gateway_stack: GatewayStack, api: Client) -> None:
    """A person who repeats the sign-in must not end up with two accounts."""
    user = gateway_stack.lab.users[2]
    with gateway_stack.connected(user) as account, gateway_stack.browser() as browser:
        parameters = browser.sign_in(gateway_stack.form_link(account), gateway_stack.lab, user)
        assert (parameters["account"], parameters["state"]) == (account, "existing")
        api.wait_for_state(account, "connected")


def test_a_sign_in_that_was_parked_by_the_client_creates_its_account(gateway_stack: GatewayStack, api: Client) -> None:
    """`oauth2.authorize`: the payload waits until the person has consented."""
    user, account = gateway_stack.lab.users[2], f"parked-{secrets.token_hex(3)}"
    oauth2 = {"authorize": True, "provider": gateway_stack.app, "redirectUrl": CLIENT_PAGE}
    made = api.post("/v1/account", {"account": account, "name": "Parked", "oauth2": oauth2})
    with pytest.raises(RefusedError) as refused:
        api.account(account)
    assert refused.value.status == 404
    with gateway_stack.browser() as browser:
        parameters = client_parameters(browser.open(gateway_stack.lab.sign_in(made["redirect"], user)))
    try:
        assert (parameters["account"], parameters["state"]) == (account, "new")
        assert api.wait_for_state(account, "connected")["name"] == "Parked"
    finally:
        gateway_stack.forget(account)


def test_refusing_consent_returns_to_the_client_with_an_error(gateway_stack: GatewayStack, api: Client) -> None:
    """The client's page must hear of a no, and no account may come of it; the link works for another try."""
    user, account = gateway_stack.lab.users[2], f"declined-{secrets.token_hex(3)}"
    link = gateway_stack.form_link(account)
    with gateway_stack.browser() as browser:
        parameters = client_parameters(browser.open(gateway_stack.lab.decline(browser.begin(link), user)))
        assert parameters["error"]
        assert parameters["error_description"]
        assert "account" not in parameters
        with pytest.raises(RefusedError):
            api.account(account)
        try:
            assert browser.sign_in(link, gateway_stack.lab, user)["account"] == account
        finally:
            gateway_stack.forget(account)


def test_the_wrong_mailbox_is_not_bound(gateway_stack: GatewayStack, api: Client) -> None:
    """`expectedEmail` pins an account to one person, whoever happens to be signed in at the provider."""
    account = f"pinned-{secrets.token_hex(3)}"
    expected, other = gateway_stack.lab.users[2], gateway_stack.lab.users[1]
    link = gateway_stack.form_link(account, expectedEmail=expected)
    with gateway_stack.browser() as browser:
        parameters = client_parameters(browser.open(gateway_stack.lab.sign_in(browser.begin(link), other)))
        assert parameters["error"] == "UnexpectedMailbox"
        with pytest.raises(RefusedError):
            api.account(account)
        try:
            assert browser.sign_in(link, gateway_stack.lab, expected)["account"] == account
        finally:
            gateway_stack.forget(account)


def test_a_used_link_and_a_forged_link_are_refused(gateway_stack: GatewayStack) -> None:
    """A link is good for one account, and nobody can change what it says."""
    user, account = gateway_stack.lab.users[2], f"used-{secrets.token_hex(3)}"
    link = gateway_stack.form_link(account)
    with gateway_stack.browser() as browser:
        try:
            browser.sign_in(link, gateway_stack.lab, user)
            assert browser.open(link).status_code == 403
        finally:
            gateway_stack.forget(account)
        fresh = gateway_stack.form_link(account)
        start = fresh.index("sig=") + 4
        forged = fresh[:start] + ("A" if fresh[start] != "A" else "B") + fresh[start + 1 :]
        assert browser.open(forged).status_code == 403
        start = fresh.index("data=") + 20
        changed = fresh[:start] + ("A" if fresh[start] != "A" else "B") + fresh[start + 1 :]
        assert browser.open(changed).status_code == 403


def test_a_callback_in_another_browser_or_a_second_time_makes_nothing(gateway_stack: GatewayStack, api: Client) -> None:
    """Login CSRF: whoever lures a victim to the callback would have their own mailbox bound to the victim's account."""
    user, account = gateway_stack.lab.users[2], f"bound-{secrets.token_hex(3)}"
    with gateway_stack.browser() as browser, gateway_stack.browser() as other:
        callback = gateway_stack.lab.sign_in(browser.begin(gateway_stack.form_link(account)), user)
        assert other.open(callback).status_code == 400
        with pytest.raises(RefusedError):
            api.account(account)
        try:
            assert client_parameters(browser.open(callback))["account"] == account
            assert browser.open(callback).status_code == 400
        finally:
            gateway_stack.forget(account)


def test_one_mailbox_is_not_bound_to_two_accounts(gateway_stack: GatewayStack, api: Client, alice: str) -> None:
    """Two accounts of one mailbox would take each other's refresh tokens away."""
    account = f"second-{secrets.token_hex(3)}"
    with gateway_stack.browser() as browser:
        link = gateway_stack.form_link(account)
        page = browser.open(gateway_stack.lab.sign_in(browser.begin(link), gateway_stack.lab.users[0]))
        assert client_parameters(page)["error"] == "AccountAlreadyExists"
    assert api.account(alice)["state"] == "connected"
    with pytest.raises(RefusedError) as refused:
        api.get(account_path(account))
    assert refused.value.code == "AccountNotFound"
