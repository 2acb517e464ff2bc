"""The administrator's pages: accounts, OAuth2 apps, tokens."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from gateway.model.account import AccountDetail, OAuth2AuthInfo, OAuth2Info
from gateway.model.account_errors import RemedyInfo, SmtpStatus
from gateway.model.event import Event
from gateway.model.oauth2 import MASK, AppDetail
from gateway.model.push import PushInfo
from tests.unit.web.conftest import Browser
from tests.unit.web.fakes import ADMIN_CONSENT, ADMIN_TOKEN, CONSENT_ERROR, NOW, SERVICE_URL, FakeServices, digest

APP = {
    "provider": "outlook",
    "name": "Contoso",
    "enabled": "yes",
    "client_id": "client",
    "client_secret": "s3cret",
    "redirect_url": f"{SERVICE_URL}/oauth",
    "authority": "common",
    "cloud": "global",
    "base_scopes": "imap",
}


@pytest.fixture
def alice(services: FakeServices) -> str:
    oauth2 = OAuth2Info(auth=OAuth2AuthInfo(user="alice@contoso.test"))
    services.accounts.add(
        AccountDetail(
            account="alice",
            name="Alice",
            email="alice@contoso.test",
            state="init",
            type="outlook",
            app="a",
            oauth2=oauth2,
        )
    )
    return "/admin/accounts/alice"


def change(services: FakeServices, **members: Any) -> None:
    known = services.accounts.details["alice"]
    services.accounts.add(AccountDetail(**{name: getattr(known, name) for name in known.__struct_fields__} | members))


def test_dashboard_counts_accounts_by_state(admin: Browser, services: FakeServices, alice: str) -> None:
    """The first look in the morning."""
    text = admin.get("/admin").text
    assert re.search(r'href="/admin/accounts\?state=init"><strong>1</strong>', text)
    assert "Quick start" in text


def test_accounts_are_searched_filtered_and_paged(admin: Browser, services: FakeServices, alice: str) -> None:
    """Links keep what was asked for."""
    for number in range(45):
        services.accounts.add(AccountDetail(account=f"team {number}", state="connected", type="imap"))
    text = admin.get("/admin/accounts?query=team&state=connected").text
    assert "Page 1 of 3" in text
    assert "alice" not in text
    assert 'href="/admin/accounts?query=team&amp;state=connected&amp;page=1"' in text
    assert "Page 3 of 3" in admin.get("/admin/accounts?query=team&state=connected&page=2").text
    assert "Nothing found" in admin.get("/admin/accounts?query=nobody").text


@pytest.mark.parametrize("query", ["page=-1", "page=x", "page=99999999999999999999", "query=" + "x" * 300])
def test_wrong_address_of_a_list_is_a_page_with_400(admin: Browser, query: str) -> None:
    """Not a stack of JSON in the browser."""
    answer = admin.get(f"/admin/accounts?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/html")


def test_account_page_says_who_must_do_what(admin: Browser, services: FakeServices, alice: str) -> None:
    """The reason this page exists."""
    change(services, state="authenticationError", last_error=CONSENT_ERROR)
    text = html.unescape(admin.get(alice).text)
    assert ADMIN_CONSENT.title in text
    assert "An administrator of the organisation" in text
    assert str(ADMIN_CONSENT.url) in text
    assert ADMIN_CONSENT.steps[0] in text


def test_account_state_is_polled_until_it_is_settled(admin: Browser, services: FakeServices, alice: str) -> None:
    """Every second while something happens, rarely afterwards; the error goes when it is over."""
    first = admin.get("/admin/account-state?account=alice").json()
    assert (first["state"], first["after"]) == ("init", 1)
    change(services, state="connected", last_error=CONSENT_ERROR)
    last = admin.get("/admin/account-state?account=alice").json()
    assert last["state"] == "connected"
    assert last["after"] >= 5
    assert ADMIN_CONSENT.title not in html.unescape(last["parts"]["status"])


def test_account_page_says_when_it_was_last_heard_from_and_what_happened(
    admin: Browser, services: FakeServices, alice: str
) -> None:
    """The page and what keeps it up to date say the same. Nothing of a message's content is on it."""
    assert "Nothing happened" in admin.get(alice).text
    change(services, alive_time=NOW, sync_time=NOW.replace(hour=8))
    new = msgspec.Raw(b'{"id":"m1","subject":"Secret plans","from":{"address":"eve@example.test"}}')
    refused = msgspec.Raw(b'{"response":"No route to the server"}')
    flags = msgspec.Raw(b'{"id":"m1","changes":{"flags":{"added":["\\\\Seen"],"deleted":["\\\\Flagged"],"value":[]}}}')
    services.events.told["alice"] = [
        Event(account="alice", date=NOW, event="messageUpdated", event_id="3", path="INBOX", data=flags),
        Event(account="alice", date=NOW, event="connectError", event_id="2", data=refused),
        Event(account="alice", date=NOW, event="messageNew", event_id="1", path="INBOX", data=new),
    ]
    parts = admin.get("/admin/account-state?account=alice").json()["parts"]
    for shown in (admin.get(alice).text, parts["signs"] + parts["recent"]):
        text = html.unescape(shown)
        assert "2026-11-23 12:00 UTC" in text
        assert "2026-11-23 08:00 UTC" in text
        assert "+\\Seen -\\Flagged" in text
        assert '<span class="badge bad">connectError</span>' in text
        assert "No route to the server" in text
        assert "messageNew" in text
        assert "Secret" not in text
        assert "eve@example.test" not in text


def test_dashboard_says_since_when_an_account_may_have_been_silent(admin: Browser, services: FakeServices) -> None:
    """Of each state the quietest one; nothing where one was never heard from."""
    services.accounts.details.clear()
    for account, hour in (("a", 9), ("b", 7), ("c", 11)):
        alive = NOW.replace(hour=hour)
        services.accounts.add(AccountDetail(account=account, state="connected", type="imap", alive_time=alive))
    services.accounts.add(AccountDetail(account="d", state="init", type="imap"))
    text = admin.get("/admin").text
    assert "2026-11-23 07:00 UTC" in text
    assert text.count("or later") == 1


def test_unknown_account_is_404(admin: Browser) -> None:
    """For pages and for the script, which then leaves the page."""
    assert admin.get("/admin/accounts/nobody").status_code == 404
    json_only = {"Accept": "application/json"}
    assert admin.get("/admin/account-state?account=nobody", headers=json_only).status_code == 404


@pytest.mark.parametrize("account", ["a/b", "new", "a b", "ä&=?#", "100%25", "{x}", "__proto__", "a//b"])
def test_hostile_account_ids_have_a_page(admin: Browser, services: FakeServices, account: str) -> None:
    """Ids are chosen by clients."""
    services.accounts.add(AccountDetail(account=account, state="connected", type="imap"))
    path = re.search(r'<th scope="row"><a href="([^"]+)"', admin.get("/admin/accounts").text)
    assert path
    assert html.escape(account) in admin.get(path[1]).text.replace("&#34;", "&quot;")
    admin.submit("/admin", "/admin/account-delete", {"account": account})
    assert services.accounts.deleted == [(account, False)]


def test_account_is_reconnected_and_deleted(admin: Browser, services: FakeServices, alice: str) -> None:
    """The grant is withdrawn only when that was ticked."""
    assert admin.submit(alice, "/admin/account-reconnect", {"account": "alice"}).status_code == 303
    assert services.accounts.reconnected == ["alice"]
    admin.submit(alice, "/admin/account-delete", {"account": "alice", "revoke": "yes"})
    assert services.accounts.deleted == [("alice", True)]


def test_signing_in_again_keeps_account_and_app(admin: Browser, services: FakeServices, alice: str) -> None:
    """Another id would make a second account."""
    answer = admin.submit(alice, "/admin/account-sign-in", {"account": "alice"})
    assert answer.headers["location"].startswith(f"{SERVICE_URL}/accounts/new?")
    [request] = services.sign_in.requests
    assert (request.account, request.email, request.type) == ("alice", "alice@contoso.test", "a")
    assert request.redirect_url == ""


SMTP_OFF = SmtpStatus(
    created=NOW,
    status="error",
    code="MailboxUnavailable",
    remedy=RemedyInfo(
        code="smtp_auth_disabled_tenant",
        title="Sending over SMTP is switched off in the organisation",
        who="tenant_admin",
        steps=("Switch it on.", "Or move the account to Microsoft Graph."),
        base_scopes="api",
    ),
)


def test_failed_submission_says_who_acts_and_offers_the_app_that_helps(
    admin: Browser, services: FakeServices, alice: str
) -> None:
    """Reading works, so the account's state says nothing; the sender waits all the same."""
    change(services, state="connected", smtp_status=SMTP_OFF)
    for id, provider, scopes in (("a", "outlook", "imap"), ("g", "outlook", "api"), ("s", "outlookService", "api")):
        services.apps.details[id] = AppDetail(
            id=id, name=f"App {id}", provider=provider, base_scopes=scopes, include_in_listing=True
        )
    text = admin.get(alice).text
    assert "Sending over SMTP is switched off" in text
    assert "An administrator of the organisation" in text
    assert re.findall(r"Sign in through (.*?) \(", text) == ["App g"]
    admin.submit(alice, "/admin/account-sign-in", {"account": "alice", "app": "g"})
    [request] = services.sign_in.requests
    assert (request.account, request.type) == ("alice", "g")


def test_without_an_app_that_helps_one_can_be_registered(admin: Browser, services: FakeServices, alice: str) -> None:
    """The offer would end nowhere otherwise."""
    change(services, state="connected", smtp_status=SMTP_OFF)
    assert "Register an application for Microsoft Graph" in admin.get(alice).text
    change(services, smtp_status=SmtpStatus(created=NOW, status="ok"))
    assert "Register an application" not in admin.get(alice).text


def test_account_tells_whether_its_service_calls(admin: Browser, services: FakeServices, alice: str) -> None:
    assert "Changes" not in admin.get(alice).text
    change(services, push=PushInfo(active=True))
    assert "The service calls at once" in admin.get(alice).text
    change(services, push=PushInfo(active=False, code="NoPublicAddress", text="nobody can be called"))
    assert "Asked for regularly: nobody can be called" in admin.get(alice).text


def test_an_account_with_a_password_signs_in_again_with_a_password(admin: Browser, services: FakeServices) -> None:
    """A choice that offers Microsoft would only be a way to a mistake."""
    services.accounts.add(AccountDetail(account="dave", email="dave@example.test", state="connected", type="imap"))
    admin.submit("/admin/accounts/dave", "/admin/account-sign-in", {"account": "dave"})
    [request] = services.sign_in.requests
    assert (request.account, request.email, request.type) == ("dave", "dave@example.test", "imap")


@pytest.mark.parametrize(
    ("kind", "oauth2"), [("outlookService", OAuth2Info()), ("delegated", OAuth2Info()), ("maildir", None)]
)
def test_an_account_that_no_person_signs_in_to_offers_no_sign_in(
    admin: Browser, services: FakeServices, kind: str, oauth2: OAuth2Info | None
) -> None:
    """The form would make another kind of account of it."""
    services.accounts.add(AccountDetail(account="x", state="connected", type=kind, oauth2=oauth2))
    assert "account-sign-in" not in admin.get("/admin/accounts/x").text


def test_add_account_leads_to_the_form_without_a_redirect(admin: Browser, services: FakeServices) -> None:
    """The form then comes back to the account's page."""
    admin.submit("/admin/add-account", "/admin/add-account", {"account": " bob ", "name": "", "app": ""})
    [request] = services.sign_in.requests
    assert (request.account, request.name, request.redirect_url, request.type) == ("bob", None, "", False)


def test_too_long_account_id_is_told_beside_the_field(admin: Browser, services: FakeServices) -> None:
    """The limit is the API's."""
    answer = admin.submit("/admin/add-account", "/admin/add-account", {"account": "x" * 257})
    assert answer.status_code == 400
    assert 'id="error-account"' in answer.text
    assert not services.sign_in.requests


def test_new_application_page_shows_the_way_through_the_portal(admin: Browser) -> None:
    """For each kind of access its own permissions, and the redirect URL ready to be copied."""
    text = admin.get("/admin/config/oauth/new").text
    assert f'value="{SERVICE_URL}/oauth"' in text
    assert 'data-copy="field-redirect_url"' in text
    assert "IMAP.AccessAsUser.All" in text
    assert "Mail.ReadWrite" in text
    assert f"Choose Web and enter {SERVICE_URL}/oauth".lower() in text.lower()
    assert "gcc-high" in text
    assert "{redirect_url}" not in text


def test_application_is_registered(admin: Browser, services: FakeServices) -> None:
    """Everything typed arrives."""
    answer = admin.submit("/admin/config/oauth/new", "/admin/config/oauth/new", APP)
    assert answer.headers["location"] == "/admin/config/oauth/app1?done=app-created"
    app = services.apps.details["app1"]
    assert (app.name, app.client_id, app.authority, app.cloud, app.base_scopes) == (
        *("Contoso", "client", "common", "global", "imap"),
    )
    assert app.enabled is True
    assert services.apps.secrets["app1"] == "s3cret"


def test_one_organisation_is_given_by_its_tenant(admin: Browser, services: FakeServices) -> None:
    """And shown again as a tenant."""
    admin.submit("/admin/config/oauth/new", "/admin/config/oauth/new", {**APP, "authority": "tenant", "tenant": "t-1"})
    assert services.apps.details["app1"].authority == "t-1"
    text = admin.get("/admin/config/oauth/app1").text
    assert re.search(r'name="authority" value="tenant" checked', text)
    assert 'value="t-1"' in text


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"name": ""}, "name"),
        ({"client_id": ""}, "clientId"),
        ({"client_secret": ""}, "clientSecret"),
        ({"redirect_url": ""}, "redirectUrl"),
        ({"authority": "tenant", "tenant": ""}, "tenant"),
        ({"client_id": "x" * 257}, "clientId"),
    ],
)
def test_problem_stands_beside_its_field(admin: Browser, fields: dict[str, str], key: str) -> None:
    """And what was typed stays, but for the secret."""
    answer = admin.submit("/admin/config/oauth/new", "/admin/config/oauth/new", {**APP, **fields})
    assert answer.status_code == 400
    assert f'id="error-{key}"' in answer.text
    assert f'aria-describedby="error-{key}' in answer.text
    assert "s3cret" not in answer.text
    assert not fields.get("name", "x") or 'value="Contoso"' in answer.text


def test_problem_found_by_the_provider_stands_beside_its_field(admin: Browser, services: FakeServices) -> None:
    """The plugin knows what a client id looks like."""
    services.apps.problems = {"clientId": "This is a secret id, not an application id."}
    answer = admin.submit("/admin/config/oauth/new", "/admin/config/oauth/new", APP)
    assert 'id="error-clientId">This is a secret id' in answer.text


def test_secret_is_never_sent_back_and_kept_when_left_empty(admin: Browser, services: FakeServices) -> None:
    """A masked value that is saved again has cost real gateways their sign-ins."""
    admin.submit("/admin/config/oauth/new", "/admin/config/oauth/new", APP)
    page = "/admin/config/oauth/app1"
    text = admin.get(page).text
    assert "s3cret" not in text
    assert MASK not in text
    admin.submit(page, page, {**APP, "client_secret": "", "name": "Renamed", "enabled": ""})
    assert services.apps.secrets["app1"] == "s3cret"
    app = services.apps.details["app1"]
    assert (app.name, app.enabled) == ("Renamed", False)
    answer = admin.submit(page, page, {**APP, "client_secret": MASK})
    assert answer.status_code == 400
    assert services.apps.secrets["app1"] == "s3cret"


def test_deleting_an_application_tells_what_it_means(admin: Browser, services: FakeServices) -> None:
    """Accounts that signed in through it stop working later."""
    services.apps.details["app1"] = AppDetail(id="app1", name="Contoso", provider="outlook", accounts=2)
    assert "2 accounts signed in through it" in admin.get("/admin/config/oauth/app1").text
    answer = admin.submit("/admin/config/oauth/app1", "/admin/config/oauth/app1/delete")
    assert "2 accounts signed in through it" in admin.get(answer.headers["location"]).text
    assert not services.apps.details


def test_missing_plugin_is_said(admin: Browser, services: FakeServices) -> None:
    """Instead of an application that nothing can use."""
    services.apps.guides.clear()
    assert "No installed plugin" in admin.get("/admin/config/oauth/new").text


def test_token_is_shown_once(admin: Browser, services: FakeServices) -> None:
    """It is stored nowhere."""
    fields = {"description": "CI", "scopes": ["api", "metrics"], "actions": ["read"], "expires": "2027-01-31"}
    answer = admin.submit("/admin/tokens", "/admin/tokens", fields)
    assert "c" * 64 in answer.text
    assert "c" * 64 not in admin.get("/admin/tokens").text
    record = services.tokens.records[digest("c" * 64)]
    assert record.scopes == ("api", "metrics")
    assert record.permissions
    assert record.permissions.actions == ("read",)
    assert record.expires == datetime(2027, 1, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"description": "", "scopes": "api", "actions": "read"}, "description"),
        ({"description": "x", "scopes": "api"}, "permissions"),
        ({"description": "x", "scopes": "*", "actions": "read"}, "scopes"),
        ({"description": "x", "scopes": "api", "actions": "read", "expires": "soon"}, "expires"),
    ],
)
def test_token_form_names_what_is_wrong(admin: Browser, fields: dict[str, str], key: str) -> None:
    """A token with every right cannot be made here."""
    answer = admin.submit("/admin/tokens", "/admin/tokens", fields)
    assert answer.status_code == 400
    assert f'id="error-{key}"' in answer.text


def test_deleting_the_own_token_logs_out(admin: Browser) -> None:
    """As the page says."""
    admin.submit("/admin/tokens", f"/admin/tokens/{digest(ADMIN_TOKEN)}/delete")
    assert admin.get("/admin").status_code == 303


def test_failure_inside_is_a_page_that_tells_nothing(
    admin: Browser, services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What broke belongs into the log."""

    async def broken() -> dict[str, int]:
        raise RuntimeError("redis://secret@host")

    monkeypatch.setattr(services.overview, "states", broken)
    answer = admin.get("/admin")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Something went wrong" in answer.text
