"""A gateway that has only pages, over in-memory services, and a browser to visit it with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from gateway.web import web_routes
from tests.unit.web.fakes import ADMIN_TOKEN, NOW, SERVICE_URL, FakeServices


class Clock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class Browser:
    """Visits pages and fills in forms as a browser does: cookies, ``Origin`` and the hidden token."""

    def __init__(self, client: TestClient[Litestar]) -> None:
        self.client = client

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.client.get(path, follow_redirects=False, **more)

    def submit(self, page: str, action: str, fields: dict[str, Any] | None = None, **more: Any) -> httpx.Response:
        """Load a page, take its form token and send a form."""
        token = form_token(self.get(page).text)
        return self.post(action, {"form_token": token, **(fields or {})}, **more)

    def post(self, action: str, fields: dict[str, Any], **more: Any) -> httpx.Response:
        headers = {"Origin": SERVICE_URL, **more.pop("headers", {})}
        return self.client.post(action, data=fields, headers=headers, follow_redirects=False, **more)

    def log_in(self, token: str = ADMIN_TOKEN, **fields: str) -> httpx.Response:
        return self.submit("/admin/login", "/admin/login", {"token": token, **fields})


def form_token(html: str) -> str:
    """Return the hidden token of the first form of a page."""
    found = re.search(r'name="form_token" value="([^"]+)"', html)
    assert found, "the page has no form"
    return found[1]


@pytest.fixture
def services() -> FakeServices:
    return FakeServices()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(services: FakeServices, clock: Clock) -> Litestar:
    return Litestar(route_handlers=web_routes(services, clock=clock), openapi_config=None)


@pytest.fixture
def browser(app: Litestar) -> Iterator[Browser]:
    with TestClient(app, base_url=SERVICE_URL) as client:
        yield Browser(client)


@pytest.fixture
def admin(browser: Browser) -> Browser:
    assert browser.log_in().status_code == 303
    return browser
