"""Who is looking at a page: checked once for every request, before any handler runs.

Guards stand in front of all pages, one for administrators and one for visitors of hosted forms. Both refuse every
unsafe request that another site could have caused: the ``Origin`` header must name this gateway, and the form must
carry a token that belongs to a cookie of this browser. A third one is for signed addresses that mail programs call.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from gateway.errors import RequestError, ResourceNotFoundError
from gateway.model.token import TokenRecord
from gateway.provider import Clock
from gateway.web import seals
from gateway.web.addresses import is_own_origin
from gateway.web.forms import read_form
from gateway.web.ports import WebServices

BRAND = "Email gateway"

#: Query parameter of the address that ``gateway dev`` prints.
LOGIN_PARAMETER = "access_token"

Check = Callable[[Request[Any, Any, Any]], Awaitable[None]]
Guard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class LoginRequiredError(RequestError):
    """The page is for administrators, and nobody is logged in."""

    code = "LoginRequired"


class FormRefusedError(RequestError):
    """The form was not loaded by this browser, or the login it belonged to has ended."""

    code = "FormRefused"


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about the browser of a request.

    Attributes:
        form_token: goes into every form.
        token_id: the API token the administrator logged in with; None for visitors.
        brand: name of the installation.
        header: HTML of the operator above the hosted pages.
        secure: cookies are for https only.
        new_visitor: value of the visitor cookie to set, when there was none.
    """

    form_token: str
    token_id: str | None = None
    brand: str = BRAND
    header: str = ""
    secure: bool = False
    new_visitor: str | None = None

    def __repr__(self) -> str:
        return f"Visit(administrator={self.token_id is not None}, secure={self.secure})"


def visit_of(request: Request[Any, Any, Any]) -> Visit | None:
    """Return what the guard found out; None when it refused the request."""
    found = request.state.get("visit")
    return found if isinstance(found, Visit) else None


def may_administrate(token: TokenRecord | None, now: datetime) -> bool:
    """Tell whether an API token opens the admin pages: scope ``*``, not bound, narrowed, restricted or expired."""
    return (
        token is not None
        and "*" in token.scopes
        and token.account is None
        and token.permissions is None
        and token.restrictions is None
        and (token.expires is None or token.expires > now)
    )


def guard(check: Check) -> Guard:
    """Return a method of `Gatekeeper` as a guard that is a plain function.

    Litestar deep-copies handlers with their guards, and a bound method takes its instance, here every service, along.
    """

    async def call(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        if not isinstance(connection, Request):
            raise FormRefusedError("not an HTTP request")
        await check(connection)

    return call


class Gatekeeper:
    """The guards of all pages."""

    def __init__(self, services: WebServices, clock: Clock) -> None:
        self._services = services
        self._clock = clock

    async def visitor(self, request: Request[Any, Any, Any]) -> None:
        """Let everybody in, with forms bound to a cookie of their browser.

        Raises:
            FormRefusedError: another site may have caused the request.
        """
        await self._welcome(request, checked=request.method not in _SAFE_METHODS)

    async def signed(self, request: Request[Any, Any, Any]) -> None:
        """Let everybody in, mail programs as well, which have no cookies: the signature in the address counts alone."""
        await self._welcome(request, checked=False)

    async def _welcome(self, request: Request[Any, Any, Any], *, checked: bool) -> None:
        known = request.cookies.get(seals.VISITOR_COOKIE, "")
        binding = known or secrets.token_urlsafe(24)
        secret = await self._services.runtime_settings.service_secret()
        if checked:
            await self._check_form(request, secret, known)
        request.state["visit"] = Visit(
            form_token=seals.form_token(secret, binding),
            brand=await self._text("pageBrandName") or BRAND,
            header=await self._text("templateHeader"),
            secure=await self._secure(request),
            new_visitor=None if known else binding,
        )

    async def administrator(self, request: Request[Any, Any, Any]) -> None:
        """Let administrators in whose API token still exists.

        Raises:
            LoginRequiredError: there is no session, or it has ended.
            FormRefusedError: another site may have caused the request.
        """
        secret = await self._services.runtime_settings.service_secret()
        session = request.cookies.get(seals.SESSION_COOKIE, "")
        token_id = seals.open_session(secret, session, self._clock())
        if token_id is None or not await self._still_valid(token_id):
            raise LoginRequiredError("log in first")
        if request.method not in _SAFE_METHODS:
            await self._check_form(request, secret, session)
        request.state["visit"] = Visit(
            form_token=seals.form_token(secret, session), token_id=token_id, secure=await self._secure(request)
        )

    async def arrival(self, request: Request[Any, Any, Any]) -> None:
        """Let administrators in, and whoever brings a token in the address: the handler checks that one."""
        if LOGIN_PARAMETER in request.query_params:
            await self.visitor(request)
        else:
            await self.administrator(request)

    async def _still_valid(self, token_id: str) -> bool:
        try:
            token = await self._services.tokens.get(token_id)
        except ResourceNotFoundError:
            return False
        return hmac.compare_digest(token.id, token_id) and may_administrate(token, self._clock())

    async def _check_form(self, request: Request[Any, Any, Any], secret: bytes, binding: str) -> None:
        origin = request.headers.get("origin", "")
        host = request.headers.get("host", "")
        if not is_own_origin(origin, host, await self._text("serviceUrl")):
            raise FormRefusedError("the form was sent from another site")
        form = await read_form(request)
        if not seals.is_form_token(secret, binding, form.secret(seals.FORM_FIELD)):
            raise FormRefusedError("the form has expired")

    async def _secure(self, request: Request[Any, Any, Any]) -> bool:
        return request.url.scheme == "https" or urlsplit(await self._text("serviceUrl")).scheme == "https"

    async def _text(self, name: str) -> str:
        value = await self._services.runtime_settings.get(name)
        return value if isinstance(value, str) else ""
