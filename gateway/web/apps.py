"""Admin pages of OAuth2 apps: what the provider's portal shows goes into these fields."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, FromQuery

from gateway.errors import InvalidRequestError
from gateway.model.oauth2 import SERVICE_PROVIDERS, AppCreate, AppDetail, AppUpdate
from gateway.web.addresses import app_path
from gateway.web.app_fields import (
    BASE_SCOPE_CHOICES,
    AppValues,
    guides,
    offered_providers,
    shown_values,
    submitted_values,
    wire_values,
)
from gateway.web.forms import decode, field_errors, read_form
from gateway.web.injected import Services
from gateway.web.ports import WebServices
from gateway.web.rendering import page, see_other
from gateway.web.words import DONE, PROVIDERS

PAGE_SIZE = 50


class AppPages(Controller):
    """``/admin/config/oauth``."""

    path = "/config/oauth"

    @get()
    async def list_apps(
        self,
        request: Request[Any, Any, Any],
        services: Services,
        done: FromQuery[str] = "",
        accounts: FromQuery[int] = 0,
    ) -> Response[str]:
        """Show the apps."""
        found = await services.apps.list(0, PAGE_SIZE)
        return page(request, "apps.html", found=found, done=DONE.get(done), orphans=accounts)

    @get("/new")
    async def ask_for_app(
        self, request: Request[Any, Any, Any], services: Services, provider: FromQuery[str] = ""
    ) -> Response[str]:
        """Ask for what the provider's portal shows."""
        offered = offered_providers(services.apps)
        kind = provider if provider in offered else next(iter(offered), "outlook")
        scopes = next(iter(guides(services.apps, kind)), "imap")
        values = AppValues(provider=kind, base_scopes=scopes, redirect_url=await services.apps.redirect_url())
        return await _form_page(request, services, values, {})

    @post("/new")
    async def create_app(self, request: Request[Any, Any, Any], services: Services) -> Response[str]:
        """Register the app."""
        form = await read_form(request)
        values = submitted_values(form, provider=form.text("provider"), base_scopes=form.text("base_scopes"))
        try:
            created = await services.apps.create(decode(wire_values(values, form, new=True), AppCreate))
        except InvalidRequestError as error:
            return await _form_page(request, services, values, field_errors(error), status=400)
        return see_other(f"{app_path(created.id)}?done=app-created")

    @get("/{app:str}")
    async def show_app(
        self, request: Request[Any, Any, Any], services: Services, app: FromPath[str], done: FromQuery[str] = ""
    ) -> Response[str]:
        """Show an app's fields, without its secret, to be changed."""
        detail = await services.apps.get(app)
        return await _form_page(request, services, shown_values(detail), {}, app=detail, done=DONE.get(done))

    @post("/{app:str}")
    async def update_app(
        self, request: Request[Any, Any, Any], services: Services, app: FromPath[str]
    ) -> Response[str]:
        """Change an app; an empty secret leaves the stored one as it is."""
        detail = await services.apps.get(app)
        form = await read_form(request)
        values = submitted_values(form, provider=detail.provider, base_scopes=detail.base_scopes or "imap")
        try:
            await services.apps.update(app, decode(wire_values(values, form, new=False), AppUpdate))
        except InvalidRequestError as error:
            return await _form_page(request, services, values, field_errors(error), app=detail, status=400)
        return see_other(f"{app_path(app)}?done=app-updated")

    @post("/{app:str}/delete")
    async def delete_app(self, services: Services, app: FromPath[str]) -> Response[str]:
        """Delete an app after it was confirmed on its page."""
        deleted = await services.apps.delete(app)
        return see_other(f"/admin/config/oauth?done=app-deleted&accounts={deleted.accounts}")


async def _form_page(
    request: Request[Any, Any, Any],
    services: WebServices,
    values: AppValues,
    errors: dict[str, str],
    *,
    app: AppDetail | None = None,
    status: int = 200,
    done: str | None = None,
) -> Response[str]:
    found = guides(services.apps, values.provider)
    chosen = found.get(values.base_scopes)
    return page(
        request,
        "app_form.html",
        status=status,
        app=app,
        values=values,
        errors=errors,
        done=done,
        guides=found,
        clouds=chosen.clouds if chosen else (),
        authorities=chosen.authorities if chosen else (),
        base_scopes=BASE_SCOPE_CHOICES,
        providers={name: PROVIDERS[name] for name in offered_providers(services.apps)},
        own_redirect_url=await services.apps.redirect_url(),
        service_app=values.provider in SERVICE_PROVIDERS,
    )
