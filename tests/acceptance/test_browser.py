"""A person with a browser: from the login over a new application to a mailbox that says `connected`.

Everything is real: Chromium, the gateway with its worker, the sandbox' sign-in pages and mail servers. Pictures of the
way are kept in ``.artifacts/browser``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.rigs.requirement import require

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = "/usr/bin/chromium"
#: As a container's root user, and without anything that would look for the internet.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ARTIFACTS = Path(__file__).parents[2] / ".artifacts" / "browser"

#: Milliseconds for one step; a mailbox is connected well within them.
PATIENCE = 30_000

SANDBOX_APP = {
    "Application name": "Second application",
    "Application (client) ID": "11111111-2222-4333-8444-555555555555",
    "Client secret": "sandbox-secret",
}


class GatewayDev(Protocol):
    """A running `gateway dev`."""

    base_url: str
    token: str


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    require("chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, gateway_dev: GatewayDev) -> Iterator[Page]:
    """A fresh browser profile; anything the pages complain about in the console fails the test."""
    context = chromium.new_context(
        base_url=gateway_dev.base_url, viewport={"width": 1280, "height": 900}, locale="en-GB"
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if "Security" in message.text else None)
    yield page
    context.close()
    assert complaints == []


@pytest.fixture
def picture(page: Page, request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Keep a picture of the page as it is now."""
    folder = ARTIFACTS / request.node.name
    folder.mkdir(parents=True, exist_ok=True)
    taken: list[str] = []

    def take(name: str) -> None:
        taken.append(name)
        page.screenshot(path=folder / f"{len(taken):02}-{name}.png", full_page=True)

    return take


def log_in(page: Page, gateway_dev: GatewayDev) -> None:
    page.goto("/")
    page.get_by_label("API token").fill(gateway_dev.token)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Dashboard").wait_for()


def menu(page: Page, entry: str) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name=entry).click()


def to_provider(page: Page, account: str) -> None:
    """Go from the accounts page through the hosted form to the sandbox' sign-in page."""
    menu(page, "Accounts")
    page.get_by_role("link", name="Add account").first.click()
    page.get_by_label("Account id").fill(account)
    page.get_by_role("button", name="Continue to sign-in").click()
    page.get_by_role("heading", name="Connect your mailbox").wait_for()
    page.get_by_role("button", name="Sign in with Microsoft").first.click()
    page.get_by_role("heading", name="Pick an account").wait_for()


def test_founder_connects_a_mailbox_with_a_browser_alone(
    page: Page, gateway_dev: GatewayDev, picture: Callable[[str], None]
) -> None:
    """The first ten minutes with the product; nothing but a browser and the printed token."""
    page.goto("/")
    picture("login")
    log_in(page, gateway_dev)
    picture("dashboard")

    menu(page, "OAuth2")
    page.get_by_role("cell", name="Enabled").first.wait_for()
    picture("applications")
    page.get_by_role("link", name="New application").click()
    for label, value in SANDBOX_APP.items():
        page.get_by_label(label).fill(value)
    assert page.get_by_label("Redirect URL").input_value() == f"{gateway_dev.base_url}/oauth"
    page.get_by_label("Cloud").select_option("sandbox")
    page.get_by_label("IMAP and SMTP").check()
    picture("new-application")
    page.get_by_role("button", name="Register application").click()
    page.get_by_text("The application was registered.").wait_for()
    assert page.get_by_label("Client secret").input_value() == ""

    to_provider(page, "alice-in-the-browser")
    picture("sandbox-sign-in")
    page.get_by_label("alice@contoso.test").check()
    page.get_by_role("button", name="Accept").click()

    page.wait_for_url("**/admin/accounts/alice-in-the-browser")
    loads: list[str] = []
    page.on("load", lambda loaded: loads.append(loaded.url))
    picture("account-just-added")
    page.locator("#status .badge[data-state=connected]").wait_for()
    assert loads == []
    picture("account-connected")
    menu(page, "Accounts")
    page.get_by_role("row").filter(has_text="alice-in-the-browser").get_by_text("Connected").wait_for()
    picture("accounts")


def test_cancelled_sign_in_says_what_to_do_and_can_be_repeated(
    page: Page, gateway_dev: GatewayDev, picture: Callable[[str], None]
) -> None:
    """People press the wrong button; the link is still good."""
    log_in(page, gateway_dev)
    to_provider(page, "bob-in-the-browser")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("heading", name="The sign-in did not work").wait_for()
    picture("cancelled")
    page.get_by_role("link", name="Try again").click()
    page.get_by_label("bob@contoso.test").check()
    page.get_by_role("button", name="Accept").click()
    page.wait_for_url("**/admin/accounts/bob-in-the-browser")


def test_missing_approval_names_the_administrator_and_gives_the_link(
    page: Page, gateway_dev: GatewayDev, picture: Callable[[str], None]
) -> None:
    """The person cannot help themselves; the page must be forwardable."""
    log_in(page, gateway_dev)
    to_provider(page, "carol-in-the-browser")
    page.get_by_label("carol@contoso.test").check()
    page.get_by_role("button", name="Needs admin approval").click()
    page.get_by_role("heading", name="The sign-in did not work").wait_for()
    page.get_by_text("An administrator of the organisation", exact=True).wait_for()
    picture("needs-admin")
    link = page.locator("code[id^=remedy-link]").inner_text()
    assert "adminconsent" in link

    page.goto(link)
    picture("administrator")
    page.get_by_role("button", name="Accept for everybody").click()
    page.get_by_role("heading", name="Thank you").wait_for()
    picture("approved")


def test_client_gets_its_user_back_after_a_cancelled_sign_in(page: Page, gateway_dev: GatewayDev) -> None:
    """The client's own page decides what to say; it must not lose its user here."""
    back = f"{gateway_dev.base_url}/robots.txt?user=7"
    answer = page.request.post(
        "/v1/authentication/form",
        headers={"Authorization": f"Bearer {gateway_dev.token}"},
        data={"redirectUrl": back, "account": "dave-in-the-browser"},
    )
    assert answer.ok, answer.text()
    page.goto(answer.json()["url"])
    page.get_by_role("button", name="Sign in with Microsoft").first.click()
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_url("**/robots.txt?*")
    assert "user=7" in page.url
    assert "error=" in page.url
    assert "error_description=" in page.url


def test_sign_in_that_another_browser_began_is_refused(
    page: Page, chromium: Browser, gateway_dev: GatewayDev, picture: Callable[[str], None]
) -> None:
    """Somebody who talks a person into signing in at a link of theirs must not get that person's mailbox."""
    log_in(page, gateway_dev)
    to_provider(page, "mallory-in-the-browser")
    begun_by_mallory = page.url
    with chromium.new_context() as victims:
        victim = victims.new_page()
        victim.goto(begun_by_mallory)
        victim.get_by_label("alice@contoso.test").check()
        victim.get_by_role("button", name="Accept").click()
        victim.get_by_role("heading", name="The sign-in did not work").wait_for()
    page.goto("/admin/accounts?query=mallory")
    page.get_by_role("heading", name="Nothing found").wait_for()
    picture("nothing-was-added")
