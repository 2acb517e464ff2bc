"""Admin page of API tokens."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, FromQuery, QueryParameter

from gateway.errors import InvalidRequestError, ResourceNotFoundError
from gateway.model.token import TokenCreate, TokenCreated
from gateway.web.forms import Form, decode, field_errors, read_form
from gateway.web.injected import Services
from gateway.web.ports import WebServices
from gateway.web.rendering import page, see_other
from gateway.web.words import DONE

PAGE_SIZE = 50


class TokenPages(Controller):
    """``/admin/tokens``."""

    path = "/tokens"

    @get()
    async def list_tokens(
        self,
        request: Request[Any, Any, Any],
        services: Services,
        number: Annotated[int, QueryParameter(name="page", ge=0, le=1_000_000)] = 0,
        done: FromQuery[str] = "",
    ) -> Response[str]:
        """Show the tokens and the form for a new one."""
        return await _tokens_page(request, services, _Asked(), number=number, done=DONE.get(done))

    @post()
    async def issue_token(self, request: Request[Any, Any, Any], services: Services) -> Response[str]:
        """Issue a token and show its value, this once."""
        asked = _Asked(await read_form(request))
        try:
            created = await services.tokens.issue(decode(asked.wire(), TokenCreate))
        except InvalidRequestError as error:
            return await _tokens_page(request, services, asked, errors=field_errors(error), status=400)
        except ResourceNotFoundError:
            errors = {"account": "There is no such account."}
            return await _tokens_page(request, services, asked, errors=errors, status=400)
        return await _tokens_page(request, services, _Asked(), created=created)

    @post("/{token:str}/delete")
    async def delete_token(self, services: Services, token: FromPath[str]) -> Response[str]:
        """Delete a token."""
        await services.tokens.delete(token)
        return see_other("/admin/tokens?done=token-deleted")


class _Asked:
    """What was typed for a new token."""

    def __init__(self, form: Form | None = None) -> None:
        self.description = form.text("description") if form else ""
        self.account = form.text("account") if form else ""
        self.scopes = form.many("scopes") if form else ("api",)
        self.actions = form.many("actions") if form else ("read",)
        self.groups = form.many("groups") if form else ()
        self.expires = form.text("expires") if form else ""

    def wire(self) -> dict[str, Any]:
        """Return the members of `TokenCreate`; the day a token expires on is its last one, in UTC."""
        wire: dict[str, Any] = {"description": self.description, "scopes": self.scopes}
        if not self.description:
            raise InvalidRequestError(
                "a value is missing", fields=[{"key": "description", "message": "Say what the token is for."}]
            )
        if self.account:
            wire["account"] = self.account
        permissions = {"actions": self.actions, "groups": self.groups}
        if any(permissions.values()):
            wire["permissions"] = {name: chosen for name, chosen in permissions.items() if chosen}
        if self.expires:
            wire["expires"] = f"{self.expires}T23:59:59Z"
        return wire


async def _tokens_page(
    request: Request[Any, Any, Any],
    services: WebServices,
    asked: _Asked,
    *,
    number: int = 0,
    created: TokenCreated | None = None,
    errors: dict[str, str] | None = None,
    status: int = 200,
    done: str | None = None,
) -> Response[str]:
    found = await services.tokens.list(page=number, page_size=PAGE_SIZE)
    return page(
        request,
        "tokens.html",
        status=status,
        found=found,
        asked=asked,
        created=created,
        errors=errors or {},
        done=done,
        link="/admin/tokens?page=",
    )
