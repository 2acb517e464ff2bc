"""Logging in to the admin pages with an API token, and out again."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.params import FromQuery

from gateway.provider import Clock
from gateway.web import seals
from gateway.web.addresses import admin_path
from gateway.web.forms import read_form
from gateway.web.injected import Now, Services
from gateway.web.ports import WebServices
from gateway.web.rendering import page, see_other
from gateway.web.visit import may_administrate, visit_of
from gateway.web.words import DONE


class LoginPages(Controller):
    """``/admin/login``."""

    path = "/admin/login"

    @get()
    async def show(
        self, request: Request[Any, Any, Any], next: FromQuery[str] = "/admin", done: FromQuery[str] = ""
    ) -> Response[str]:
        """Ask for a token."""
        return page(request, "login.html", next=admin_path(next), error="", done=DONE.get(done))

    @post()
    async def log_in(self, request: Request[Any, Any, Any], services: Services, clock: Now) -> Response[str]:
        """Begin a session when the token opens everything."""
        form = await read_form(request)
        return await enter(request, services, clock, form.text("token"), admin_path(form.text("next")))


@post("/logout")
async def log_out(request: Request[Any, Any, Any]) -> Response[str]:
    """End the session in this browser."""
    response = see_other("/admin/login?done=logged-out")
    response.delete_cookie(seals.SESSION_COOKIE)
    return response


async def enter(
    request: Request[Any, Any, Any],
    services: WebServices,
    clock: Clock,
    value: str,
    target: str,
) -> Response[str]:
    """Begin a session if the API token opens the admin pages, and go to `target`; ask again if not."""
    token = await services.tokens.authenticate(value)
    if token is None or not may_administrate(token, clock()):
        error = "This token is not known." if token is None else "This token does not open the admin pages."
        return page(request, "login.html", status=403, next=target, error=error, done=None)
    visit = visit_of(request)
    expires = clock() + seals.SESSION_LIFETIME
    response = see_other(target)
    response.set_cookie(
        Cookie(
            key=seals.SESSION_COOKIE,
            value=seals.seal_session(await services.runtime_settings.service_secret(), token.id, expires),
            max_age=int(seals.SESSION_LIFETIME.total_seconds()),
            httponly=True,
            samesite="strict",
            secure=visit is not None and visit.secure,
        )
    )
    return response
