"""Who gets in: login, session cookie, form tokens, Origin."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from litestar import Litestar

from gateway.errors import MissingSettingError
from gateway.model.token import TokenPermissions, TokenRecord, TokenRestrictions
from gateway.services.push import LIFECYCLE_PATH, NOTIFICATION_PATH
from gateway.web import seals
from tests.unit.web.conftest import Browser, Clock, form_token
from tests.unit.web.fakes import ADMIN_TOKEN, NARROW_TOKEN, NOW, FakeServices, digest


def test_bare_address_leads_to_the_dashboard(browser: Browser) -> None:
    """A founder types only host and port."""
    answer = browser.get("/")
    assert (answer.status_code, answer.headers["location"]) == (302, "/admin")


def test_login_sets_a_cookie_that_scripts_and_other_sites_cannot_use(browser: Browser) -> None:
    """A stolen or cross-site session is an administrator for somebody else."""
    cookie = browser.log_in().headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert ADMIN_TOKEN not in cookie


def test_cookies_are_for_https_only_when_the_gateway_is_reached_by_https(
    browser: Browser, services: FakeServices
) -> None:
    """TLS often ends before the gateway; the service URL tells."""
    services.runtime_settings.values["serviceUrl"] = "https://testserver.local"
    answer = browser.get("/admin/login")
    assert "secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    "change",
    [
        {"scopes": ("api",)},
        {"account": "one"},
        {"permissions": TokenPermissions(actions=("read",))},
        {"restrictions": TokenRestrictions(addresses=("10.0.0.0/8",))},
        {"expires": NOW - timedelta(seconds=1)},
    ],
)
def test_only_a_token_without_limits_logs_in(browser: Browser, services: FakeServices, change: dict[str, Any]) -> None:
    """The pages can do everything, so a narrower token must not become a wider one here."""
    record = TokenRecord(id="", scopes=("*",))
    services.tokens.put(NARROW_TOKEN, msgspec.structs.replace(record, **change))
    answer = browser.log_in(NARROW_TOKEN)
    assert answer.status_code == 403
    assert seals.SESSION_COOKIE not in answer.cookies
    assert browser.get("/admin").status_code == 303


def test_unknown_token_is_refused(browser: Browser) -> None:
    """And the value is not repeated on the page."""
    answer = browser.log_in("d" * 64)
    assert answer.status_code == 403
    assert "not known" in answer.text
    assert "d" * 64 not in answer.text


def test_token_in_the_address_is_exchanged_for_a_session(browser: Browser) -> None:
    """`gateway dev` prints such an address; the token must not stay in the address bar."""
    answer = browser.get(f"/admin?access_token={ADMIN_TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin")
    assert browser.get("/admin").status_code == 200


def test_wrong_token_in_the_address_opens_nothing(browser: Browser) -> None:
    """The parameter takes the request past the session guard, so the handler must decide."""
    for value in ("", "x", NARROW_TOKEN):
        assert browser.get(f"/admin?access_token={value}").status_code == 403
    assert browser.get("/admin").status_code == 303


def test_deleted_token_ends_its_sessions(admin: Browser, services: FakeServices) -> None:
    """Revoking has to work at once, not after twelve hours."""
    services.tokens.records.clear()
    assert admin.get("/admin").headers["location"].startswith("/admin/login")


def test_session_ends_by_itself(admin: Browser, clock: Clock) -> None:
    """A cookie in an old backup must be worthless."""
    clock.now = NOW + seals.SESSION_LIFETIME + timedelta(seconds=1)
    assert admin.get("/admin").status_code == 303


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "...",
        f"{digest(ADMIN_TOKEN)}.9999999999",
        f"{digest(ADMIN_TOKEN)}.9999999999.",
        seals.seal_session(b"another secret", digest(ADMIN_TOKEN), NOW + timedelta(hours=1)),
        seals.seal_session(b"0123456789abcdef", digest(ADMIN_TOKEN), NOW + timedelta(hours=1)) + "x",
        "é.1.é",
    ],
)
def test_forged_session_is_refused(browser: Browser, forged: str) -> None:
    """The cookie is the only thing between the internet and the mailboxes."""
    headers = {"Cookie": f"{seals.SESSION_COOKIE}={forged}".encode()}
    assert browser.get("/admin", headers=headers).status_code == 303


def test_seal_of_one_kind_does_not_open_another() -> None:
    """A form token is shown on pages; it must not be good as a session."""
    payload = f"{digest(ADMIN_TOKEN)}.9999999999"
    assert seals.open_session(b"secret", f"{payload}.{seals.form_token(b'secret', payload)}", NOW) is None


def test_empty_secret_signs_nothing() -> None:
    """With an empty key everybody can sign."""
    with pytest.raises(MissingSettingError):
        seals.seal_session(b"", "id", NOW)


def test_logout_ends_the_session(admin: Browser) -> None:
    """On a shared computer."""
    assert admin.submit("/admin", "/admin/logout").status_code == 303
    assert admin.get("/admin").status_code == 303


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "http://testserver.local.evil.example"])
def test_form_from_another_site_is_refused(admin: Browser, origin: str | None) -> None:
    """Even with a right form token: the browser itself says where the form stood."""
    token = form_token(admin.get("/admin").text)
    headers = {"Origin": origin} if origin else {}
    answer = admin.client.post("/admin/logout", data={"form_token": token}, headers=headers, follow_redirects=False)
    assert answer.status_code == 403
    assert admin.get("/admin").status_code == 200


def test_token_of_another_session_is_refused(admin: Browser, services: FakeServices) -> None:
    """A form token is bound to the login it was shown to."""
    other = seals.form_token(b"0123456789abcdef", "another session")
    assert admin.post("/admin/logout", {"form_token": other}).status_code == 403


def test_every_form_needs_its_token(admin: Browser, app: Litestar, services: FakeServices) -> None:
    """Found in the routes themselves, so that a new form cannot be forgotten. Programs have none to show."""
    paths = {route.path for route in app.routes if "POST" in getattr(route, "methods", ())}
    assert len(paths) >= 12
    for path in paths - {"/unsubscribe", NOTIFICATION_PATH, LIFECYCLE_PATH}:
        answer = admin.post(path.replace("{app:str}", "app1").replace("{token:str}", digest(ADMIN_TOKEN)), {"x": "y"})
        assert answer.status_code == 403, path
    assert digest(ADMIN_TOKEN) in services.tokens.records


def test_every_admin_page_needs_a_login(browser: Browser, app: Litestar) -> None:
    """Found in the routes themselves, so that a new page cannot be forgotten."""
    paths = [route.path for route in app.routes if route.path.startswith("/admin") and "login" not in route.path]
    assert len(paths) >= 12
    for path in paths:
        answer = browser.get(path.replace("{account:str}", "x").replace("{app:str}", "x").replace("{token:str}", "x"))
        assert answer.status_code in {303, 405}, path


@pytest.mark.parametrize(
    ("asked", "target"),
    [
        ("/admin/accounts?state=connected", "/admin/accounts?state=connected"),
        ("/admin/login", "/admin"),
        ("https://evil.example/admin", "/admin"),
        ("//evil.example/admin", "/admin"),
        ("/admin/..//evil.example", "/admin"),
        ("/admin\\@evil.example", "/admin"),
        ("/administrator", "/admin"),
        ("javascript:alert(1)", "/admin"),
    ],
)
def test_login_leads_only_to_admin_pages(browser: Browser, asked: str, target: str) -> None:
    """A login page that forwards anywhere is what phishing mails link to."""
    assert browser.log_in(next=asked).headers["location"] == target


def test_page_asked_for_is_remembered_over_the_login(browser: Browser) -> None:
    """Links in mails of colleagues keep working."""
    login = browser.get("/admin/accounts?query=a%26b").headers["location"]
    assert 'name="next" value="/admin/accounts?query=a%26b"' in browser.get(login).text


def test_script_is_told_that_the_session_has_ended(browser: Browser) -> None:
    """A redirect would be followed, and the login page taken for an answer."""
    assert browser.get("/admin/account-state?account=x", headers={"Accept": "application/json"}).status_code == 401


def test_pages_may_load_nothing_from_elsewhere(admin: Browser) -> None:
    """The second line of defence behind escaping."""
    for path in ("/admin", "/admin/login", "/accounts/new?data=plain&sig=good", "/accounts/new?sig=bad", "/oauth"):
        headers = admin.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'; "), path
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_static_files_are_served_and_nothing_beside_them(browser: Browser) -> None:
    """Templates and code lie next to the folder."""
    assert browser.get("/static/site.css").status_code == 200
    assert browser.get("/favicon.ico").headers["content-type"].startswith("image/svg+xml")
    assert "Disallow: /" in browser.get("/robots.txt").text
    for path in ("/static/../rendering.py", "/static/%2e%2e/rendering.py", "/static/..%2f..%2ferrors.py"):
        assert browser.get(path).status_code == 404
