"""Values of others on our pages: whatever they are, they stay text."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from urllib.parse import quote

import msgspec
import pytest

from gateway.errors import ReauthorizationError, Remedy
from gateway.model.account import AccountDetail, ImapInfo, OAuth2AuthInfo, OAuth2Info
from gateway.model.account_errors import LastError, RemedyInfo, SmtpStatus
from gateway.model.event import (
    ConnectErrorData,
    Event,
    EventName,
    FlagChange,
    MailboxNewData,
    MessageChanges,
    MessageUpdatedData,
)
from gateway.model.oauth2 import AppDetail
from gateway.model.push import PushInfo
from gateway.model.submission import OutboxEntry, OutboxEnvelope, OutboxProgress, OutboxProgressError
from gateway.model.token import TokenRecord
from gateway.model.verification import ServerVerdict, VerifyResult
from gateway.model.webhook import Endpoint, EndpointTrouble, TestResult, WebhookDelivery
from gateway.provider import AppGuide
from gateway.services.sign_in import SignInChoice, SignInFailedError, SignInOutcome
from tests.unit.web.conftest import Browser
from tests.unit.web.fakes import NARROW_TOKEN, NOW, FakeServices
from tests.unit.web.test_web_hosted_form import IMAP, begin

CORPUS = [
    "<script>pwned()</script>",
    '"><img src=x onerror=pwned()>',
    "'><svg/onload=pwned()>",
    '" autofocus onfocus="pwned()',
    "javascript:pwned()",
    "</title><script>pwned()</script>",
    "</textarea></style><iframe src=javascript:pwned()>",
    "{{ 7*'7' }}{% for x in () %}",
    "&lt;script&gt;pwned()&lt;/script&gt;",
    "\u202e\x00<b onclick=pwned()>",
]

ALLOWED_ELEMENTS = frozenset(
    [
        "html",
        "head",
        "meta",
        "title",
        "link",
        "script",
        "body",
        "a",
        "header",
        "nav",
        "ul",
        "ol",
        "li",
        "p",
        "form",
        "input",
        "button",
        "main",
        "h1",
        "h2",
        "h3",
        "section",
        "div",
        "span",
        "strong",
        "small",
        "label",
        "select",
        "option",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "dl",
        "dt",
        "dd",
        "details",
        "summary",
        "time",
        "code",
        "pre",
        "img",
        "svg",
        "path",
        "fieldset",
        "legend",
        "aside",
    ]
)


class Inspector(HTMLParser):
    """Collects what a page could run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ALLOWED_ELEMENTS:
            self.found.append(f"element {tag}")
        for name, value in attrs:
            text = (value or "").strip().lower()
            if name.startswith("on") or name == "style":
                self.found.append(f"attribute {name}")
            if name in {"href", "src", "action", "formaction"} and text.startswith(("javascript:", "data:", "//")):
                self.found.append(f"{name}={text}")
            if tag == "script" and name == "src" and not text.startswith("/static/"):
                self.found.append(f"script from {text}")
            if tag == "script" and not any(attr == "src" for attr, _ in attrs):
                self.found.append("inline script")
        if tag == "script" and not attrs:
            self.found.append("inline script")


def inspect(text: str) -> list[str]:
    """Return everything in a page that should not be there."""
    inspector = Inspector()
    inspector.feed(text)
    if "7777777" in text:
        inspector.found.append("a value was read as a template")
    return inspector.found


def happened(name: EventName, data: msgspec.Struct, path: str) -> Event:
    """Make an event."""
    raw = msgspec.Raw(msgspec.json.encode(data))
    return Event(account="a", date=NOW, event=name, event_id="1", path=path, data=raw)


def fill(services: FakeServices, evil: str) -> None:
    """Put a value into every place a page shows."""
    remedy = RemedyInfo(code=evil, title=evil, who=evil, steps=(evil,), raw=evil, url=evil)
    flags = FlagChange(added=(evil,), deleted=(evil,), value=())
    problem = LastError(response=evil, description=evil, server_response_code=evil, remedy=remedy, time=NOW)
    for remedies in (problem, msgspec.structs.replace(problem, remedy=None)):
        account = f"{evil}{remedies.remedy is None}"
        services.accounts.add(
            AccountDetail(
                account=account,
                name=evil,
                email=evil,
                expected_email=evil,
                state="authenticationError",
                type=evil,
                app=evil,
                base_scopes=evil,
                oauth2=OAuth2Info(auth=OAuth2AuthInfo(user=evil, delegated_user=evil)),
                imap=ImapInfo(host=evil, port=993),
                last_error=remedies,
                smtp_status=SmtpStatus(status="error", description=evil, created=NOW),
                push=PushInfo(active=False, code=evil, text=evil),
                sync_time=NOW,
                alive_time=NOW,
            )
        )
        services.events.told[account] = [
            happened("connectError", ConnectErrorData(response=evil), evil),
            happened("mailboxNew", MailboxNewData(path=evil, name=evil, special_use=False, renamed_from=evil), evil),
            happened("messageUpdated", MessageUpdatedData(id=evil, changes=MessageChanges(flags=flags)), evil),
        ]
    services.apps.details["evil"] = AppDetail(
        id="evil",
        name=evil,
        provider="outlook",
        title=evil,
        description=evil,
        client_id=evil,
        redirect_url=evil,
        authority=evil,
        cloud=evil,
        base_scopes="imap",
        last_error=problem,
    )
    services.apps.guides[("outlook", "imap")] = AppGuide(
        title=evil, clouds=(evil, "b"), authorities=((evil, evil),), permissions=(evil,), steps=(evil,)
    )
    services.tokens.put(NARROW_TOKEN, TokenRecord(id="", description=evil, account=evil, scopes=("api",)))
    services.runtime_settings.values |= {"pageBrandName": evil, "webhooks": evil}
    trouble = EndpointTrouble(message=evil, time=NOW)
    services.webhooks.known = [
        Endpoint(id="default", name=evil, host=evil, enabled=True, trouble=trouble),
        Endpoint(id="default", name=evil, account=evil, enabled=True, trouble=trouble),
    ]
    services.webhooks.made = [
        WebhookDelivery(
            endpoint=evil,
            account=evil,
            event=evil,
            event_id=evil,
            state="failed",
            time=NOW,
            error=evil,
            answer=evil,
            request_headers={evil: evil},
        )
    ]
    services.submissions.entries = [
        OutboxEntry(
            queue_id=evil,
            account=account,
            message_id=evil,
            envelope=OutboxEnvelope(from_=evil, to=(evil,)),
            subject=evil,
            gateway=evil,
            state="failed",
            created=NOW,
            scheduled=NOW,
            progress=OutboxProgress(
                status="error", response=evil, error=OutboxProgressError(message=evil, remedy=problem.remedy)
            ),
        )
        for account in (evil, "plain")
    ]
    services.webhooks.result = TestResult(success=False, error=evil, answer=evil)
    services.sign_in.choices = (SignInChoice(id=evil, title=evil, provider=evil),)


@pytest.mark.parametrize("evil", CORPUS)
def test_no_page_runs_what_others_wrote(admin: Browser, services: FakeServices, evil: str) -> None:
    """Names come from mail servers, identity providers and API clients."""
    fill(services, evil)
    asked = quote(evil)
    request = quote(json.dumps({"redirectUrl": "", "name": evil, "email": "a@example.com", "account": evil}))
    paths = [
        f"/admin/login?next={asked}&done={asked}",
        "/admin",
        f"/admin/accounts?query={asked}&state={asked}&done={asked}",
        "/admin/accounts",
        f"/admin/account?id={quote(evil + 'True', safe='')}",
        f"/admin/account?id={quote(evil + 'False', safe='')}",
        f"/admin/account?id={asked}",
        f"/admin/accounts/{quote(evil.replace('/', ''), safe='')}",
        "/admin/add-account?app=evil",
        f"/admin/add-account?app={asked}",
        f"/admin/config/oauth?done={asked}",
        f"/admin/config/oauth/new?provider={asked}",
        "/admin/config/oauth/evil",
        f"/admin/config/oauth/{quote(evil.replace('/', ''), safe='')}",
        "/admin/tokens",
        f"/admin/outbox?account={asked}&done={asked}",
        "/admin/outbox",
        f"/admin/webhooks?endpoint={asked}&account={asked}&state={asked}&cursor={asked}&done={asked}",
        f"/accounts/new?data={request}&sig=good",
        f"/accounts/new?data={request}&sig=good&type=imap",
        f"/accounts/new?data={asked}&sig={asked}&type={asked}",
        f"/oauth?state={asked}&error={asked}&error_description={asked}",
        f"/oauth?admin_consent={asked}&error={asked}",
    ]
    for path in paths:
        answer = admin.get(path)
        assert answer.headers["content-type"].startswith("text/html"), path
        assert answer.status_code < 500, path
        assert inspect(answer.text) == [], path
    state = admin.get(f"/admin/account-state?account={quote(evil + 'True')}").json()
    assert [inspect(part) for part in state["parts"].values()] == [[]] * 3


@pytest.mark.parametrize("evil", CORPUS)
def test_no_form_runs_what_was_typed(admin: Browser, services: FakeServices, evil: str) -> None:
    """Forms come back with what was typed, and with what servers answered."""
    fill(services, evil)
    services.sign_in.verdict = VerifyResult(
        imap=ServerVerdict(success=False, error=evil, code=evil, response_text=evil), smtp=None
    )
    services.apps.problems = {"clientId": evil, "authority": evil, "cloud": evil, "baseScopes": evil}
    imap = {**IMAP, "test": "yes", "name": evil}
    for page, action, fields in (
        ("/admin/login", "/admin/login", {"token": evil, "next": evil}),
        ("/admin/add-account", "/admin/add-account", {"account": evil + "x" * 300, "name": evil, "app": evil}),
        ("/admin/tokens", "/admin/tokens", {"description": evil, "account": evil, "expires": evil, "scopes": evil}),
        ("/admin/webhooks", "/admin/webhooks/settings", {"webhooks": evil}),
        ("/admin/webhooks", "/admin/webhooks/test", {"endpoint": evil, "account": evil}),
        ("/admin/webhooks", "/admin/webhooks/replay-range", {"endpoint": evil, "account": evil, "hours": evil}),
        ("/admin/config/oauth/new", "/admin/config/oauth/new", {"name": evil, "provider": evil, "base_scopes": evil}),
        ("/admin/config/oauth/evil", "/admin/config/oauth/evil", {"name": evil, "client_id": evil, "tenant": evil}),
        ("/accounts/new?data=plain&sig=good&type=imap", "/accounts/new/imap", {**imap, "smtp_user": evil}),
        ("/accounts/new?data=plain&sig=good&type=imap", "/accounts/new/imap", {**imap, "imap_host": evil}),
    ):
        answer = admin.submit(page, action, fields)
        assert answer.headers["content-type"].startswith("text/html"), action
        assert answer.status_code < 500, action
        assert inspect(answer.text) == [], action


@pytest.mark.parametrize("evil", CORPUS)
def test_way_out_of_a_sign_in_runs_nothing(browser: Browser, services: FakeServices, evil: str) -> None:
    """Account ids and errors go into addresses; redirect URLs come from clients."""
    for redirect in (evil, f"https://app.example/?x={evil}", None):
        services.sign_in.choices = (SignInChoice(id="app1", title=evil, provider="outlook"),)
        services.sign_in.failure = None
        services.sign_in.outcome = SignInOutcome(account=evil, state="new", redirect_url=redirect)
        assert inspect(browser.get(f"/oauth?state={begin(browser)}&code=c").text) == []
        remedy = Remedy(code=evil, title=evil, who=evil, steps=(evil,), raw=evil, url=evil)
        error = ReauthorizationError(evil, code=evil, remedy=remedy)
        services.sign_in.failure = SignInFailedError(error, redirect_url=redirect, retry_url=evil)
        assert inspect(browser.get(f"/oauth?state={begin(browser)}&code=c").text) == []


def test_inspector_sees_what_it_is_for() -> None:
    """A blind test passes always."""
    for evil in CORPUS[:4]:
        assert inspect(f"<p>{evil}</p><input value=\"{evil}\"><input value='{evil}'>")
    assert inspect('<a href="javascript:pwned()">x</a>')
    assert inspect('<p style="x">')
