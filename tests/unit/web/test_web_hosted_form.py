"""The hosted form and the way back from the identity provider."""

from __future__ import annotations

import html
import json
import re
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import msgspec
import pytest

from gateway.errors import (
    ConsentRequiredError,
    InvalidRequestError,
    ReauthorizationError,
    Remedy,
)
from gateway.model.account import AccountDetail, AuthInfo, ImapInfo, SmtpInfo
from gateway.model.verification import ServerVerdict, VerifyResult
from gateway.services.sign_in import SignInFailedError, SignInOutcome
from gateway.web.seals import sign_in_cookie
from tests.unit.web.conftest import Browser, form_token
from tests.unit.web.fakes import ADMIN_CONSENT, FakeServices

LINK = {"data": "plain", "sig": "good"}
IMAP = {
    **LINK,
    "name": "Dave",
    "email": "dave@example.test",
    "imap_password": "correct horse",
    "imap_host": "imap.example.test",
    "imap_port": "993",
    "imap_security": "tls",
    "smtp_host": "smtp.example.test",
    "smtp_port": "587",
    "smtp_security": "starttls",
}


def link(**request: Any) -> str:
    """Return the address of a form for a request."""
    return f"/accounts/new?data={quote(json.dumps({'redirectUrl': '', **request}))}&sig=good"


def target(answer: httpx.Response) -> str:
    """Return where a page sends the browser."""
    found = re.search(r'http-equiv="refresh" content="0;url=([^"]*)"', answer.text)
    assert found, answer.text
    return html.unescape(found[1])


def begin(browser: Browser, app: str = "app1") -> str:
    """Start a sign-in and return its state."""
    answer = browser.submit("/accounts/new?data=plain&sig=good", "/accounts/new", {**LINK, "type": app})
    return parse_qs(urlsplit(answer.headers["location"]).query)["state"][0]


def test_form_offers_every_app_and_imap(browser: Browser) -> None:
    """The person chooses; several apps of one provider must be told apart."""
    text = browser.get("/accounts/new?data=plain&sig=good").text
    assert text.count("Sign in with Microsoft") == 2
    assert "Contoso mail" in text
    assert "Sandbox" in text
    assert "Other (IMAP)" in text


@pytest.mark.parametrize("path", ["/accounts/new", "/accounts/new?data=plain&sig=bad", "/accounts/new?sig=goo%00d"])
def test_bad_link_is_explained(browser: Browser, path: str) -> None:
    """People click on old mails."""
    answer = browser.get(path)
    assert answer.status_code == 403
    assert "link is not valid any more" in answer.text


def test_link_with_a_type_leads_straight_to_the_provider(browser: Browser) -> None:
    """The client's own page has the button already."""
    answer = browser.get("/accounts/new?data=plain&sig=good&type=app1")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("https://login.example/authorize")


def test_unknown_type_falls_back_to_the_choice(browser: Browser) -> None:
    """An app that was deleted since the link was made is no dead end."""
    assert "Connect your mailbox" in browser.get("/accounts/new?data=plain&sig=good&type=gone").text


def test_nothing_to_choose_from_is_said(browser: Browser, services: FakeServices) -> None:
    """Otherwise an empty page stands there."""
    services.sign_in.choices, services.sign_in.imap = (), False
    answer = browser.get("/accounts/new?data=plain&sig=good")
    assert answer.status_code == 400
    assert "No way to sign in" in answer.text


def test_sign_in_is_bound_to_the_browser_it_began_in(browser: Browser) -> None:
    """RFC 6749 section 10.12: a state alone can be carried to another browser."""
    state = begin(browser)
    cookie = next(c for c in browser.client.cookies.jar if c.name == sign_in_cookie(state))
    assert cookie.path == "/oauth"
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert state not in cookie.name
    browser.client.cookies.clear()
    answer = browser.get(f"/oauth?state={state}&code=c")
    assert answer.status_code == 400
    assert "another browser" in answer.text


def test_cookie_of_another_sign_in_does_not_help(browser: Browser) -> None:
    """The secret belongs to one state."""
    first, second = begin(browser), begin(browser)
    value = browser.client.cookies[sign_in_cookie(second)]
    browser.client.cookies.clear()
    headers = {"Cookie": f"{sign_in_cookie(first)}={value}"}
    assert browser.get(f"/oauth?state={first}&code=c", headers=headers).status_code == 400


def test_sign_ins_in_several_tabs_do_not_disturb_each_other(browser: Browser) -> None:
    """Operators connect a few mailboxes side by side."""
    states = [begin(browser), begin(browser), begin(browser)]
    for state in (states[1], states[2], states[0]):
        assert target(browser.get(f"/oauth?state={state}&code=c")) == "/admin/accounts/new"


def test_finished_sign_in_takes_its_cookie_away(browser: Browser) -> None:
    """Cookies that stay make requests too large one day."""
    state = begin(browser)
    browser.get(f"/oauth?state={state}&code=c")
    assert sign_in_cookie(state) not in browser.client.cookies


def test_success_leads_to_the_client_with_its_parameters_kept(browser: Browser, services: FakeServices) -> None:
    """What the client put there is how it finds its own user again."""
    redirect = "https://app.example/done?user=7&account=old&x=a%20b#part"
    services.sign_in.outcome = SignInOutcome(account="a&b", state="existing", redirect_url=redirect)
    url = target(browser.get(f"/oauth?state={begin(browser)}&code=c"))
    parts = urlsplit(url)
    assert parts.netloc == "app.example"
    assert parts.fragment == "part"
    assert parse_qs(parts.query) == {"user": ["7"], "x": ["a b"], "account": ["a&b"], "state": ["existing"]}


def test_success_without_a_client_leads_to_the_account(browser: Browser, services: FakeServices) -> None:
    """By a page: a redirect status would lose the administrator's strict cookie."""
    services.sign_in.outcome = SignInOutcome(account="team/a b", state="new")
    answer = browser.get(f"/oauth?state={begin(browser)}&code=c")
    assert answer.status_code == 200
    assert target(answer) == "/admin/account?id=team%2Fa%20b"


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "/local",
        "https:evil.example",
        "https://good.example@evil.example/",
        "https:\\\\evil.example",
        "https://evil.example\n.good.example",
        "ftp://evil.example",
        "https://",
        "http://host:99999999/",
    ],
)
def test_redirect_leads_to_web_pages_only(browser: Browser, services: FakeServices, url: str) -> None:
    """Even though the link is signed: an address in a page of ours must not become a script or a trick."""
    services.sign_in.outcome = SignInOutcome(account="one", state="new", redirect_url=url)
    assert target(browser.get(f"/oauth?state={begin(browser)}&code=c")) == "/admin/accounts/one"
    services.sign_in.failure = SignInFailedError(ReauthorizationError("no"), redirect_url=url, retry_url=url)
    answer = browser.get(f"/oauth?state={begin(browser)}&code=c")
    assert answer.status_code == 400
    assert "refresh" not in answer.text
    assert "Try again" not in answer.text
    assert browser.get(link(redirectUrl=url)).status_code == 400


def failure(**more: Any) -> SignInFailedError:
    remedy = msgspec.convert(msgspec.to_builtins(ADMIN_CONSENT), Remedy)
    return SignInFailedError(ConsentRequiredError("consent is required", remedy=remedy), **more)


def test_failure_is_told_to_the_client(browser: Browser, services: FakeServices) -> None:
    """The client's user must not be left on a page of ours."""
    services.sign_in.failure = failure(redirect_url="https://app.example/done?user=7")
    url = target(browser.get(f"/oauth?state={begin(browser)}&error=access_denied"))
    assert parse_qs(urlsplit(url).query) == {
        "user": ["7"],
        "error": ["ConsentRequired"],
        "error_description": [ADMIN_CONSENT.title],
    }


def test_failure_without_a_client_says_who_must_do_what(browser: Browser, services: FakeServices) -> None:
    """ "Oauth failed" helps nobody; the administrator's link has to be at hand."""
    services.sign_in.failure = failure(retry_url="https://gateway.example/accounts/new?data=plain&sig=good")
    text = html.unescape(browser.get(f"/oauth?state={begin(browser)}&error=access_denied").text)
    assert ADMIN_CONSENT.title in text
    assert "An administrator of the organisation" in text
    assert all(step in text for step in ADMIN_CONSENT.steps)
    assert str(ADMIN_CONSENT.url) in text
    assert 'href="https://gateway.example/accounts/new?data=plain&sig=good"' in text
    assert "Try again" in text


def test_administrator_who_approved_is_thanked(browser: Browser, services: FakeServices) -> None:
    """They come back without a sign-in of ours, and the waiting accounts try again."""
    assert "Thank you" in browser.get("/oauth?admin_consent=True&tenant=t&state=app1").text
    assert [params["state"] for params in services.sign_in.approved] == ["app1"]
    answer = browser.get("/oauth?admin_consent=True&error=access_denied&state=app1")
    assert "Not approved" in answer.text
    assert len(services.sign_in.approved) == 1


def imap(browser: Browser, fields: dict[str, str], **more: Any) -> httpx.Response:
    return browser.submit("/accounts/new?data=plain&sig=good&type=imap", "/accounts/new/imap", fields, **more)


def test_imap_test_tells_per_server_in_words(browser: Browser, services: FakeServices) -> None:
    """A person has to know which of six fields to look at."""
    services.sign_in.verdict = VerifyResult(
        imap=ServerVerdict(success=True),
        smtp=ServerVerdict(success=False, code="AuthenticationFails", error="x", response_text="535 5.7.8 no"),
    )
    text = imap(browser, {**IMAP, "test": "yes"}).text
    assert "Works: signed in." in text
    assert "refused the user name or password" in text
    assert "535 5.7.8 no" in text
    assert not services.sign_in.created
    assert "correct horse" not in text


def test_imap_account_is_created_and_leads_on(browser: Browser, services: FakeServices) -> None:
    """What was typed arrives; the user name is the address unless another one was typed."""
    answer = imap(browser, IMAP)
    assert target(answer) == "/admin/accounts/new"
    [data] = services.sign_in.created
    assert (data.imap_user, data.imap_port, data.imap_secure) == ("dave@example.test", 993, True)
    assert (data.smtp_host, data.smtp_port, data.smtp_secure) == ("smtp.example.test", 587, False)


def test_imap_mailbox_can_be_for_reading_only(browser: Browser, services: FakeServices) -> None:
    """Not every mailbox may send."""
    imap(browser, {**IMAP, "smtp_host": ""})
    assert services.sign_in.created[0].smtp_host == ""


def test_refused_server_keeps_the_form(browser: Browser, services: FakeServices) -> None:
    """Nothing but the password has to be typed again."""
    field = {"key": "imap", "message": "login refused"}
    services.sign_in.refusal = InvalidRequestError("login refused", code="AuthenticationFails", fields=[field])
    text = imap(browser, IMAP).text
    assert "refused the user name or password" in text
    assert 'value="imap.example.test"' in text


def test_script_gets_news_instead_of_a_page(browser: Browser) -> None:
    """So that the password stays in its field."""
    json_only = {"Accept": "application/json"}
    assert "Works" in imap(browser, {**IMAP, "test": "yes"}, headers=json_only).json()["html"]
    assert imap(browser, IMAP, headers=json_only).json() == {"next": "/admin/accounts/new"}
    wrong = imap(browser, {**IMAP, "imap_port": "0"}, headers=json_only).json()
    assert wrong["errors"] == {"imap_port": "A number from 1 to 65535."}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "nobody"),
        ("email", "a b@c.d"),
        ("imap_password", ""),
        ("imap_host", ""),
        ("imap_host", "host/path"),
        ("imap_port", "٣"),
        ("imap_port", "99999999999999999999"),
        ("smtp_port", "-1"),
    ],
)
def test_wrong_field_is_named(browser: Browser, services: FakeServices, field: str, value: str) -> None:
    """Beside the field, with what is expected."""
    answer = imap(browser, {**IMAP, field: value})
    assert answer.status_code == 400
    assert f'id="error-{field}"' in answer.text
    assert not services.sign_in.created


def test_expected_address_cannot_be_typed_over(browser: Browser, services: FakeServices) -> None:
    """The link is for one mailbox; the read-only field alone is no protection."""
    page = link(expectedEmail="only@example.test") + "&type=imap"
    assert "readonly" in browser.get(page).text
    data = json.dumps({"redirectUrl": "", "expectedEmail": "only@example.test"})
    browser.submit(page, "/accounts/new/imap", {**IMAP, "data": data, "email": "other@example.test"})
    assert [created.email for created in services.sign_in.created] == ["only@example.test"]


def test_an_account_that_signs_in_again_has_its_servers_in_the_form(browser: Browser, services: FakeServices) -> None:
    """Its password changed, and nothing else; who remembers the ports?"""
    auth = AuthInfo(user="dave", pass_="******")
    imap = ImapInfo(host="imap.example.test", port=143, secure=False, auth=auth)
    smtp = SmtpInfo(host="smtp.example.test", port=587, secure=False, auth=auth)
    services.accounts.add(
        AccountDetail(account="dave", email="dave@example.test", state="connected", type="imap", imap=imap, smtp=smtp)
    )
    text = browser.get(link(account="dave") + "&type=imap").text
    shown = dict(re.findall(r'<input id="field-(\w+)"[^>]*? value="([^"]*)"', text))
    assert shown["email"] == "dave@example.test"
    assert (shown["imap_host"], shown["imap_port"], shown["imap_user"]) == ("imap.example.test", "143", "dave")
    # The same login is not shown twice.
    assert (shown["smtp_host"], shown["smtp_port"], shown["smtp_user"]) == ("smtp.example.test", "587", "")
    assert shown["imap_password"] == shown["smtp_password"] == ""
    assert text.count('data-usual="143" selected') == text.count('data-usual="587" selected') == 1


def test_forged_link_cannot_test_servers(browser: Browser, services: FakeServices) -> None:
    """Otherwise the form is a port scanner for everybody."""
    token = form_token(browser.get("/accounts/new?data=plain&sig=good").text)
    answer = browser.post("/accounts/new/imap", {**IMAP, "sig": "bad", "test": "yes", "form_token": token})
    assert answer.status_code == 403


def test_operators_header_and_brand_are_shown(browser: Browser, services: FakeServices) -> None:
    """The header is HTML and may show a logo from elsewhere; the name is text."""
    services.runtime_settings.values |= {
        "templateHeader": '<img src="https://cdn.example/logo.png" alt="Acme">',
        "pageBrandName": "Acme <Mail>",
    }
    answer = browser.get("/accounts/new?data=plain&sig=good")
    assert '<img src="https://cdn.example/logo.png" alt="Acme">' in answer.text
    assert "Acme &lt;Mail&gt;" in answer.text
    assert "img-src 'self' https:" in answer.headers["content-security-policy"]
