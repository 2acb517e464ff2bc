"""The way out of a sign-in: back to the client's page, or to the account's page, or an explanation.

The browser is sent on by a page rather than by a redirect status: it arrived here from another site, so a 3xx would
carry on that cross-site navigation and cookies with ``SameSite=Strict`` would be missing where it ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litestar import Request, Response, get

from gateway.provider import CONSENT_STATE
from gateway.services.sign_in import SignInFailedError, SignInOutcome
from gateway.web import seals
from gateway.web.addresses import account_path, is_web_url, with_parameters
from gateway.web.failures import error_sentence
from gateway.web.injected import Services
from gateway.web.ports import WebServices
from gateway.web.rendering import page


@get("/oauth")
async def finish_sign_in(request: Request[Any, Any, Any], services: Services) -> Response[str]:
    """Receive the identity provider's answer (RFC 6749 section 4.1.2)."""
    params = {name: values[0] for name, values in request.query_params.dict().items()}
    if "admin_consent" in params or params.get("state", "").startswith(CONSENT_STATE):
        return await _approved(request, services, params)
    cookie = seals.sign_in_cookie(params.get("state", ""))
    try:
        outcome = await services.sign_in.complete(params, request.cookies.get(cookie))
    except SignInFailedError as failure:
        response = _failed(request, failure)
    else:
        response = leave(request, outcome)
    response.delete_cookie(cookie, path="/oauth")
    return response


async def _approved(request: Request[Any, Any, Any], services: WebServices, params: Mapping[str, str]) -> Response[str]:
    """Thank the administrator who came back from the consent page, and let the waiting accounts try again."""
    refused = "error" in params
    if not refused:
        await services.sign_in.admin_consented(params)
    return page(request, "approval.html", status=400 if refused else 200, refused=refused)


def address_after(outcome: SignInOutcome) -> str:
    """Return where a finished sign-in leads: the client's page, else the account's."""
    if outcome.redirect_url and is_web_url(outcome.redirect_url):
        return with_parameters(outcome.redirect_url, {"account": outcome.account, "state": outcome.state})
    return account_path(outcome.account)


def leave(request: Request[Any, Any, Any], outcome: SignInOutcome) -> Response[str]:
    """Send the browser on after success."""
    return page(request, "leaving.html", title="The account is connected", url=address_after(outcome))


def _failed(request: Request[Any, Any, Any], failure: SignInFailedError) -> Response[str]:
    """Tell the client's page what went wrong; without one, tell the person."""
    error, remedy = failure.error, failure.remedy
    if failure.redirect_url and is_web_url(failure.redirect_url):
        sentence = remedy.title if remedy is not None else error.message
        url = with_parameters(failure.redirect_url, {"error": error.error_code, "error_description": sentence})
        return page(request, "leaving.html", title="The sign-in did not work", url=url)
    retry = failure.retry_url if failure.retry_url and is_web_url(failure.retry_url) else None
    return page(request, "sign_in_failed.html", status=400, sentence=error_sentence(error), remedy=remedy, retry=retry)
