"""Leaving a list, and coming back: the page that a link in a mail opens, and what mail programs call (RFC 8058)."""

from __future__ import annotations

from typing import Annotated, Any

import structlog
from litestar import Request, Response, get, post
from litestar.params import FromQuery, QueryParameter

from gateway.errors import RequestError
from gateway.services.unsubscribe_link import Subscription
from gateway.web.following import caller
from gateway.web.forms import read_form
from gateway.web.injected import Services
from gateway.web.rendering import data, page

_log = structlog.get_logger()

Signed = Annotated[str, QueryParameter(name="data")]


@get("/unsubscribe")
async def show_subscription(
    request: Request[Any, Any, Any], services: Services, signed: Signed = "", sig: FromQuery[str] = ""
) -> Response[str]:
    """Ask whether it is meant: what follows links in mail need not be a person."""
    found = await services.blocklists.open_link(signed, sig)
    return _subscription_page(request, found, signed, sig, subscribed=await services.blocklists.is_subscribed(found))


@post("/unsubscribe", status_code=200)
async def unsubscribe_at_once(
    request: Request[Any, Any, Any], services: Services, signed: Signed = "", sig: FromQuery[str] = ""
) -> Response[Any]:
    """Take the recipient from the list: a mail program asks, without cookies (RFC 8058 section 3.2)."""
    form = await read_form(request)
    if form.text("List-Unsubscribe") != "One-Click":
        raise RequestError("This address is for mail programs.", code="NotOneClick")
    try:
        found = await services.blocklists.open_link(signed, sig)
    except RequestError:
        # Whoever sends forgeries need not know; a mail program would try again for nothing.
        _log.info("web.unsubscribe_forged")
        return data({})
    await services.blocklists.unsubscribe(found, "one-click", caller(request))
    return data({})


@post("/unsubscribe/address", status_code=200)
async def change_subscription(request: Request[Any, Any, Any], services: Services) -> Response[str]:
    """Leave the list or come back, as the form says."""
    form = await read_form(request)
    signed, sig = form.text("data"), form.text("sig")
    found = await services.blocklists.open_link(signed, sig)
    subscribed = form.text("action") == "subscribe"
    if subscribed:
        await services.blocklists.subscribe(found, caller(request))
    else:
        await services.blocklists.unsubscribe(found, "form", caller(request))
    return _subscription_page(request, found, signed, sig, subscribed=subscribed, changed=True)


def _subscription_page(
    request: Request[Any, Any, Any],
    found: Subscription,
    signed: str,
    sig: str,
    *,
    subscribed: bool,
    changed: bool = False,
) -> Response[str]:
    return page(
        request, "unsubscribe.html", subscription=found, data=signed, sig=sig, subscribed=subscribed, changed=changed
    )
