"""The fields of the form for an OAuth2 app, from the page to the wire and back."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
from msgspec import UNSET

from gateway.errors import InvalidRequestError
from gateway.model.oauth2 import MASK, SERVICE_PROVIDERS, AppDetail, AppProvider
from gateway.provider import AppGuide
from gateway.web.forms import Form
from gateway.web.ports import Apps

#: Base scopes a person may choose for a new app.
BASE_SCOPE_CHOICES = ("imap", "api")

#: Value of the account types field that stands for "the tenant id in the next field".
TENANT = "tenant"


class AppValues(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the form; the secret never does."""

    provider: str
    base_scopes: str = "imap"
    name: str = ""
    title: str = ""
    description: str = ""
    enabled: bool = True
    client_id: str = ""
    redirect_url: str = ""
    authority: str = ""
    tenant: str = ""
    cloud: str = ""


def offered_providers(apps: Apps) -> list[str]:
    """Return the kinds of app that an installed plugin can work with."""
    return [name for name in get_args(AppProvider) if guides(apps, name)]


def guides(apps: Apps, provider: str) -> dict[str, AppGuide]:
    """Return the guide of each base scope that exists for a kind of app."""
    found = {scopes: apps.guide(provider, scopes) for scopes in BASE_SCOPE_CHOICES}
    return {scopes: guide for scopes, guide in found.items() if guide is not None}


def submitted_values(form: Form, *, provider: str, base_scopes: str) -> AppValues:
    """Return what was typed."""
    return AppValues(
        provider=provider,
        base_scopes=base_scopes,
        name=form.text("name"),
        title=form.text("title"),
        description=form.text("description"),
        enabled=form.flag("enabled"),
        client_id=form.text("client_id"),
        redirect_url=form.text("redirect_url"),
        authority=form.text("authority"),
        tenant=form.text("tenant"),
        cloud=form.text("cloud"),
    )


def shown_values(app: AppDetail) -> AppValues:
    """Return what is stored; an authority that is none of the well-known ones is a tenant id."""
    return AppValues(
        provider=app.provider,
        base_scopes=app.base_scopes or "imap",
        name=app.name,
        title=app.title or "",
        description=app.description or "",
        enabled=app.enabled is not UNSET and bool(app.enabled),
        client_id=app.client_id or "",
        redirect_url=app.redirect_url or "",
        authority=app.authority or "",
        tenant=app.tenant or "",
        cloud=app.cloud or "",
    )


def wire_values(values: AppValues, form: Form, *, new: bool) -> dict[str, Any]:
    """Return the members for `AppCreate` or `AppUpdate`.

    Raises:
        InvalidRequestError: something that is always needed is missing.
    """
    secret = form.text("client_secret")
    _check(values, secret, new=new)
    wire: dict[str, Any] = {"name": values.name, "clientId": values.client_id, "enabled": values.enabled}
    if secret:
        wire["clientSecret"] = secret
    authority = values.tenant if values.authority == TENANT else values.authority
    texts = {"redirectUrl": values.redirect_url, "authority": authority, "cloud": values.cloud}
    wire.update({key: text for key, text in texts.items() if text})
    optional = {"title": values.title, "description": values.description}
    wire.update({key: text or None for key, text in optional.items() if text or not new})
    if new:
        wire.update(provider=values.provider, baseScopes=values.base_scopes)
    return wire


def _check(values: AppValues, secret: str, *, new: bool) -> None:
    missing = {
        "name": not values.name,
        "clientId": not values.client_id,
        "clientSecret": new and not secret,
        "redirectUrl": not values.redirect_url and values.provider not in SERVICE_PROVIDERS,
        "tenant": values.authority == TENANT and not values.tenant,
    }
    fields = [{"key": key, "message": "Fill this in."} for key, is_missing in missing.items() if is_missing]
    if secret == MASK:
        fields.append({"key": "clientSecret", "message": "This is not the secret but what stands in its place."})
    if fields:
        raise InvalidRequestError("a value is missing", fields=fields)
