"""Admin page of webhooks: endpoints, the last deliveries, and what to do about those that failed."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, cast
from urllib.parse import urlencode

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import FromQuery, QueryParameter

from gateway.errors import GatewayError, InvalidRequestError, RequestError
from gateway.model.webhook import (
    DEFAULT_ENDPOINT,
    DeliveryState,
    ReplayRequest,
    ReplayStarted,
    RouteUpdate,
    TestRequest,
    TestResult,
)
from gateway.web.forms import Form, read_form
from gateway.web.injected import Now, Services
from gateway.web.ports import WebServices
from gateway.web.rendering import page, see_other
from gateway.web.words import DELIVERIES, DONE, sentence

PAGE_SIZE = 50

#: Hours that a replay may go back, as far as the log does.
HOURS = {"1": 1, "24": 24, "168": 168}


class _Shown(msgspec.Struct, frozen=True):
    """Which deliveries are on the page."""

    endpoint: str = ""
    account: str = ""
    state: str = ""
    cursor: str = ""

    def link(self, **changes: str) -> str:
        """Return the address of the page with other deliveries."""
        values = {**msgspec.structs.asdict(self), **changes}
        query = urlencode({name: value for name, value in values.items() if value})
        return f"/admin/webhooks{'?' if query else ''}{query}"


class _Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a form brought about."""

    done: str | None = None
    failure: str | None = None
    started: ReplayStarted | None = None
    tested: TestResult | None = None
    secret: str | None = None


class WebhookPages(Controller):
    """``/admin/webhooks``."""

    path = "/webhooks"

    @get()
    async def show(
        self,
        request: Request[Any, Any, Any],
        services: Services,
        endpoint: Annotated[str, QueryParameter(name="endpoint", max_length=256)] = "",
        account: Annotated[str, QueryParameter(name="account", max_length=256)] = "",
        ended: Annotated[str, QueryParameter(name="state", max_length=256)] = "",
        cursor: Annotated[str, QueryParameter(name="cursor", max_length=16384)] = "",
        done: FromQuery[str] = "",
    ) -> Response[str]:
        """Show endpoints and deliveries."""
        shown = _Shown(endpoint, account.strip(), ended if ended in DELIVERIES else "", cursor)
        return await _webhooks_page(request, services, shown, done=DONE.get(done))

    @post("/settings")
    async def save(self, request: Request[Any, Any, Any], services: Services) -> Response[str]:
        """Set where the events of all accounts go, and whether they do."""
        form = await read_form(request)
        values = {"webhooks": form.text("webhooks") or None, "webhooksEnabled": form.flag("enabled")}
        try:
            await services.runtime_settings.update(values)
        except InvalidRequestError:
            errors = {"webhooks": "This is no http or https URL."}
            return await _webhooks_page(request, services, _Shown(), asked=values, errors=errors, status=400)
        return see_other("/admin/webhooks?done=webhooks-saved")

    @post("/test")
    async def test(self, request: Request[Any, Any, Any], services: Services) -> Response[str]:
        """Send a test event and show what came of it."""
        form = await read_form(request)
        wanted = TestRequest(endpoint=form.text("endpoint") or DEFAULT_ENDPOINT, account=form.secret("account") or None)
        try:
            answer = await services.webhooks.operations.ask_test(wanted)
        except GatewayError as error:
            return await _webhooks_page(request, services, _Shown(), failure=sentence(error.message))
        tested = msgspec.json.decode(answer, type=TestResult)
        return await _webhooks_page(request, services, _Shown(), tested=tested)

    @post("/enable")
    async def enable(self, request: Request[Any, Any, Any], services: Services) -> Response[str]:
        """Take a route into service again that its server disabled."""
        route = (await read_form(request)).text("endpoint")
        await services.webhooks.routes.update(route, RouteUpdate(enabled=True))
        return see_other("/admin/webhooks?done=webhook-enabled")

    @post("/replay")
    async def replay(self, request: Request[Any, Any, Any], services: Services) -> Response[str]:
        """Deliver one event again."""
        form = await read_form(request)
        wanted = ReplayRequest(
            endpoint=form.text("endpoint") or DEFAULT_ENDPOINT,
            account=form.secret("account"),
            events=(form.text("event"),),
        )
        try:
            started = await services.webhooks.operations.replay(wanted)
        except RequestError as error:
            return await _webhooks_page(request, services, _Shown(), failure=sentence(error.message))
        if not started.queued:
            gone = "The event is not in the log any more, or the endpoint does not select it."
            return await _webhooks_page(request, services, _Shown(), failure=gone)
        return see_other(_back(form, done="event-replayed"))

    @post("/replay-range")
    async def replay_range(self, request: Request[Any, Any, Any], services: Services, clock: Now) -> Response[str]:
        """Deliver everything of the last hours again."""
        form = await read_form(request)
        hours = HOURS.get(form.text("hours"), 1)
        wanted = ReplayRequest(
            endpoint=form.text("endpoint") or DEFAULT_ENDPOINT,
            account=form.text("account") or None,
            from_=clock() - timedelta(hours=hours),
        )
        try:
            started = await services.webhooks.operations.replay(wanted)
        except RequestError as error:
            return await _webhooks_page(request, services, _Shown(), failure=sentence(error.message))
        return await _webhooks_page(request, services, _Shown(), started=started)

    @post("/secret")
    async def rotate(self, request: Request[Any, Any, Any], services: Services) -> Response[str]:
        """Make a new secret and show it, this once."""
        secret, _ = await services.runtime_settings.rotate_webhook_secret()
        return await _webhooks_page(request, services, _Shown(), secret=secret)


def _back(form: Form, **changes: str) -> str:
    shown = _Shown(*(form.text(f"shown-{name}") for name in ("endpoint", "account", "state")))
    separator = "&" if "?" in shown.link() else "?"
    return f"{shown.link()}{separator}{urlencode(changes)}"


async def _webhooks_page(
    request: Request[Any, Any, Any],
    services: WebServices,
    shown: _Shown,
    *,
    asked: dict[str, Any] | None = None,
    errors: dict[str, str] | None = None,
    status: int = 200,
    **outcome: Any,
) -> Response[str]:
    operations, settings = services.webhooks.operations, services.runtime_settings
    endpoints = await operations.endpoints()
    names = {endpoint.id: endpoint.name for endpoint in endpoints if endpoint.account is None}
    found = await operations.deliveries(
        endpoint=shown.endpoint if shown.endpoint in names else None,
        account=shown.account or None,
        state=cast("DeliveryState", shown.state) if shown.state else None,
        cursor=shown.cursor or None,
        size=PAGE_SIZE,
    )
    if asked is None:
        asked = {name: await settings.get(name) for name in ("webhooks", "webhooksEnabled")}
    return page(
        request,
        "webhooks.html",
        status=status,
        endpoints=endpoints,
        names=names,
        default=DEFAULT_ENDPOINT,
        deliveries=found.deliveries,
        older=shown.link(cursor=found.next_cursor) if found.next_cursor else None,
        shown=shown,
        asked=asked,
        errors=errors or {},
        outcome=_Outcome(**outcome),
    )
