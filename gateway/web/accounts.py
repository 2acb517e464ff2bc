"""Admin pages of accounts: the list, one account with its live state, and adding one."""

from __future__ import annotations

from typing import Annotated, Any, cast
from urllib.parse import urlencode

from litestar import Request, Response, get, post
from litestar.params import FromPath, FromQuery, QueryParameter

from gateway.errors import InvalidRequestError, ResourceNotFoundError
from gateway.model.account import AccountDetail, AccountState, FormRequest
from gateway.model.account_errors import LastError, RemedyInfo
from gateway.model.oauth2 import SERVICE_PROVIDERS, AppDetail
from gateway.services.sign_in import IMAP_TYPE
from gateway.web.addresses import account_path, with_parameters
from gateway.web.forms import decode, field_errors, read_form
from gateway.web.injected import Services
from gateway.web.ports import WebServices
from gateway.web.recent import ShownEvent, shown
from gateway.web.rendering import data, fragment, page, see_other
from gateway.web.words import DONE, STATES

PAGE_SIZE = 20
#: Apps that are looked through for one that would help an account.
MOST_APPS = 100
#: Events that the page of an account shows.
RECENT = 10


@get("/accounts")
async def list_accounts(
    request: Request[Any, Any, Any],
    services: Services,
    number: Annotated[int, QueryParameter(name="page", ge=0, le=1_000_000)] = 0,
    sought: Annotated[str, QueryParameter(name="query", max_length=256)] = "",
    state_name: Annotated[str, QueryParameter(name="state")] = "",
    done: FromQuery[str] = "",
) -> Response[str]:
    """Show one page of the accounts."""
    query = sought.strip()
    state = cast("AccountState", state_name) if state_name in STATES else None
    found = await services.accounts.list(page=number, page_size=PAGE_SIZE, state=state, query=query or None)
    filters = {name: value for name, value in (("query", query), ("state", state)) if value}
    return page(
        request,
        "accounts.html",
        found=found,
        query=query,
        state=state,
        link=f"/admin/accounts?{urlencode(filters)}{'&' if filters else ''}page=",
        done=DONE.get(done),
    )


@get("/accounts/{account:str}")
async def show_account(
    request: Request[Any, Any, Any], services: Services, account: FromPath[str], done: FromQuery[str] = ""
) -> Response[str]:
    """Show one account."""
    return await _account_page(request, services, account, done)


@get("/account")
async def show_account_by_query(
    request: Request[Any, Any, Any],
    services: Services,
    account: Annotated[str, QueryParameter(name="id")],
    done: FromQuery[str] = "",
) -> Response[str]:
    """Show one account whose id does not fit into a path."""
    return await _account_page(request, services, account, done)


async def _account_page(
    request: Request[Any, Any, Any], services: WebServices, account: str, done: str
) -> Response[str]:
    detail = await services.accounts.get(account)
    problem = detail.last_error if isinstance(detail.last_error, LastError) else None
    sending = detail.smtp_status if detail.smtp_status is not None and detail.smtp_status.status == "error" else None
    return page(
        request,
        "account.html",
        account=detail,
        app=await _app_name(services, detail),
        can_sign_in=_can_sign_in(detail),
        sending=sending,
        other_apps=await _other_apps(services, detail, *(each.remedy for each in (problem, sending) if each)),
        done=DONE.get(done),
        signs=await services.overview.signs(account),
        events=await _recent(services, account),
        **_status(detail.state, problem),
    )


@get("/account-state")
async def poll_state(services: Services, account: FromQuery[str]) -> Response[Any]:
    """Answer the script of the account page: how the account is now, part by part, and when to ask again."""
    state, problem = await services.accounts.recent_state(account)
    status = _status(state, problem)
    parts = {
        "status": fragment("_status.html", **status),
        "signs": fragment("_signs.html", signs=await services.overview.signs(account)),
        "recent": fragment("_recent.html", events=await _recent(services, account)),
    }
    return data({"state": state, "after": status["state_words"].poll_after, "parts": parts})


@post("/account-reconnect")
async def reconnect(request: Request[Any, Any, Any], services: Services) -> Response[str]:
    """Set the connection up again."""
    account = (await read_form(request)).secret("account")
    await services.accounts.reconnect(account)
    return see_other(with_parameters(account_path(account), {"done": "reconnecting"}))


@post("/account-sign-in")
async def sign_in_again(request: Request[Any, Any, Any], services: Services) -> Response[str]:
    """Lead to the hosted form for an account that exists, for its own app or another one."""
    form = await read_form(request)
    detail = await services.accounts.get(form.secret("account"))
    wanted: dict[str, Any] = {"redirectUrl": "", "account": detail.account, "name": detail.name}
    if detail.email:
        wanted["email"] = detail.email
    wanted["type"] = (form.text("app") or detail.app or False) if detail.oauth2 is not None else IMAP_TYPE
    if detail.oauth2 is not None and detail.oauth2.auth is not None and detail.oauth2.auth.delegated_user:
        wanted["delegated"] = True
    link = await services.sign_in.form_link(decode(wanted, FormRequest))
    return see_other(link.url)


@post("/account-delete")
async def delete_account(request: Request[Any, Any, Any], services: Services) -> Response[str]:
    """Delete an account after it was confirmed on its page."""
    form = await read_form(request)
    await services.accounts.delete(form.secret("account"), revoke=form.flag("revoke"))
    return see_other("/admin/accounts?done=account-deleted")


@get("/add-account")
async def ask_for_account(
    request: Request[Any, Any, Any], services: Services, app: FromQuery[str] = ""
) -> Response[str]:
    """Ask for the new account's id and name, both optional."""
    if app:
        await services.apps.get(app)
    return page(request, "add_account.html", values={"account": "", "name": "", "app": app}, errors={})


@post("/add-account")
async def add_account(request: Request[Any, Any, Any], services: Services) -> Response[str]:
    """Lead to the hosted form, which comes back to the account's page."""
    form = await read_form(request)
    values = {name: form.text(name) for name in ("account", "name", "app")}
    wanted: dict[str, Any] = {"redirectUrl": "", "account": values["account"], "name": values["name"]}
    wanted["type"] = values["app"]
    try:
        request_form = decode(
            {name: value for name, value in wanted.items() if value or name == "redirectUrl"}, FormRequest
        )
        link = await services.sign_in.form_link(request_form)
    except InvalidRequestError as error:
        return page(request, "add_account.html", status=400, values=values, errors=field_errors(error))
    return see_other(link.url)


def _status(state: AccountState, problem: LastError | None) -> dict[str, Any]:
    return {"state": state, "state_words": STATES[state], "problem": None if state == "connected" else problem}


def _can_sign_in(detail: AccountDetail) -> bool:
    """Whether the hosted form is of use: not where an app or another account signs in, nor for other providers."""
    if detail.oauth2 is None:
        return detail.type == "imap"
    return detail.type not in (*SERVICE_PROVIDERS, "delegated", "invalid")


async def _other_apps(
    services: WebServices, detail: AccountDetail, *remedies: RemedyInfo | None
) -> list[AppDetail] | None:
    """Return the apps through which the account would not meet its problem; None where no app would help."""
    wanted = {remedy.base_scopes for remedy in remedies if remedy is not None and remedy.base_scopes}
    if not wanted or not _can_sign_in(detail):
        return None
    found = await services.apps.list(0, MOST_APPS)
    return [
        app
        for app in found.apps
        if app.include_in_listing and app.provider == detail.type and app.base_scopes in wanted
    ]


async def _recent(services: WebServices, account: str) -> list[ShownEvent]:
    return [shown(event) for event in await services.events.recent(account, RECENT)]


async def _app_name(services: WebServices, detail: AccountDetail) -> str | None:
    """Return the name of the app the account signed in with; its id when the app is gone."""
    if detail.app is None:
        return None
    try:
        return (await services.apps.get(detail.app)).name
    except ResourceNotFoundError:
        return detail.app
