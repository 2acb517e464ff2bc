"""The hosted form ``/accounts/new``: somebody with a signed link connects a mailbox."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Controller, Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.params import FromQuery, QueryParameter

from gateway.errors import ConflictError, InvalidRequestError, RequestError, ResourceNotFoundError
from gateway.model.account import AccountDetail
from gateway.model.verification import VerifyResult
from gateway.services.sign_in import SignInForm
from gateway.web import seals
from gateway.web.addresses import is_web_url
from gateway.web.failures import error_sentence
from gateway.web.forms import field_errors, read_form
from gateway.web.imap_fields import ImapValues, form_data, refusal, submitted_values
from gateway.web.injected import Services
from gateway.web.leaving import address_after, leave
from gateway.web.ports import WebServices
from gateway.web.rendering import data, fragment, page, see_other
from gateway.web.visit import visit_of


class _Link:
    """The signed parameters of a link, carried through every form."""

    def __init__(self, data: str, sig: str, kind: str | None) -> None:
        self.data = data
        self.sig = sig
        self.kind = kind or None

    async def opened(self, services: WebServices) -> SignInForm:
        """Check the signature and return what was signed.

        Raises:
            RequestError: forged, used or too old; or it would lead somewhere that is no web page.
        """
        form = await services.sign_in.open_link(self.data, self.sig, self.kind)
        if form.redirect_url and not is_web_url(form.redirect_url):
            raise RequestError("the redirect URL of this link is not a web address", code="InvalidRedirectUrl")
        return form


class HostedForm(Controller):
    """``/accounts/new``."""

    path = "/accounts/new"

    @get()
    async def show(
        self,
        request: Request[Any, Any, Any],
        services: Services,
        signed: Annotated[str, QueryParameter(name="data")] = "",
        sig: FromQuery[str] = "",
        kind: Annotated[str, QueryParameter(name="type")] = "",
    ) -> Response[str]:
        """Let the person choose, or begin right away when the link says with what."""
        return await _next_step(request, services, _Link(signed, sig, kind))

    @post()
    async def choose(self, request: Request[Any, Any, Any], services: Services) -> Response[str]:
        """Begin with what was chosen."""
        form = await read_form(request)
        return await _next_step(request, services, _Link(form.text("data"), form.text("sig"), form.text("type")))

    @post("/imap")
    async def save_imap(self, request: Request[Any, Any, Any], services: Services) -> Response[Any]:
        """Test the servers or create the account, which tests them as well."""
        form = await read_form(request)
        link = _Link(form.text("data"), form.text("sig"), "imap")
        opened = await link.opened(services)
        values = submitted_values(form, opened)
        try:
            settings = form_data(form, values)
        except InvalidRequestError as error:
            return _imap_answer(request, opened, link, values, errors=field_errors(error))
        if form.flag("test"):
            verdict = await services.sign_in.test_imap(opened, settings)
            return _imap_answer(request, opened, link, values, verdict=verdict)
        try:
            outcome = await services.sign_in.create_imap(opened, settings)
        except InvalidRequestError as error:
            return _imap_answer(request, opened, link, values, **refusal(error))
        except ConflictError as error:
            return _imap_answer(request, opened, link, values, errors={"email": error_sentence(error)})
        if _is_script(request):
            return data({"next": address_after(outcome)})
        return leave(request, outcome)


async def _next_step(request: Request[Any, Any, Any], services: WebServices, link: _Link) -> Response[str]:
    form = await link.opened(services)
    if not form.choices and not form.imap:
        raise RequestError("No way to sign in has been set up here yet.", code="NothingToChoose")
    chosen = form.type or (None if form.choices else "imap")
    if chosen is None:
        return page(request, "choose.html", form=form, link=link)
    if chosen == "imap":
        if not form.imap:
            raise RequestError("Signing in with a password is not offered here.", code="NotOffered")
        return _imap_page(request, form, link, ImapValues.of(form, await _known(services, form)))
    return await _to_provider(request, services, form, chosen)


async def _known(services: WebServices, form: SignInForm) -> AccountDetail | None:
    """Return the account that the link is for when it exists: nobody has to type the servers again."""
    if form.account is None:
        return None
    try:
        return await services.accounts.get(form.account)
    except ResourceNotFoundError:
        return None


async def _to_provider(
    request: Request[Any, Any, Any], services: WebServices, form: SignInForm, app: str
) -> Response[str]:
    """Send the browser to the identity provider, with a cookie that only this browser has (RFC 9700 section 4.7.1)."""
    begun = await services.sign_in.begin(form, app)
    visit = visit_of(request)
    response = see_other(begun.url)
    response.set_cookie(
        Cookie(
            key=seals.sign_in_cookie(begun.state),
            value=begun.browser_secret,
            path="/oauth",
            max_age=seals.SIGN_IN_LIFETIME,
            httponly=True,
            samesite="lax",
            secure=visit is not None and visit.secure,
        )
    )
    return response


def _is_script(request: Request[Any, Any, Any]) -> bool:
    return "application/json" in request.headers.get("accept", "")


def _imap_answer(
    request: Request[Any, Any, Any],
    form: SignInForm,
    link: _Link,
    values: ImapValues,
    *,
    verdict: VerifyResult | None = None,
    errors: dict[str, str] | None = None,
) -> Response[Any]:
    """Tell a script the news only; a browser without scripts gets the page again."""
    if _is_script(request):
        html = fragment("_verdicts.html", verdict=verdict, errors=errors or {})
        return data({"html": html, "errors": errors or {}})
    status = 400 if errors else 200
    return _imap_page(request, form, link, values, verdict=verdict, errors=errors, status=status)


def _imap_page(
    request: Request[Any, Any, Any],
    form: SignInForm,
    link: _Link,
    values: ImapValues,
    *,
    verdict: VerifyResult | None = None,
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> Response[str]:
    return page(
        request,
        "imap_form.html",
        status=status,
        form=form,
        link=link,
        values=values,
        verdict=verdict,
        errors=errors or {},
    )
