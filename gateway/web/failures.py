"""Errors to pages: the one place of the web front that chooses a status code for an error."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from gateway.errors import (
    AccountNotReadyError,
    ConflictError,
    DeadlineError,
    DisabledError,
    GatewayError,
    InvalidRequestError,
    MissingSettingError,
    ProviderError,
    RequestError,
    ResourceNotFoundError,
    WorkerLostError,
)
from gateway.redis import UNREACHABLE
from gateway.web.rendering import data, page, see_other
from gateway.web.visit import FormRefusedError, LoginRequiredError, visit_of

_log = structlog.get_logger()

#: The first class that fits decides.
_STATUSES: tuple[tuple[type[GatewayError], int], ...] = (
    (LoginRequiredError, 401),
    (FormRefusedError, 403),
    (ResourceNotFoundError, 404),
    (ConflictError, 409),
    (DisabledError, 403),
    (MissingSettingError, 409),
    (InvalidRequestError, 400),
    (RequestError, 400),
    (AccountNotReadyError, 503),
    (WorkerLostError, 503),
    (DeadlineError, 504),
    (ProviderError, 502),
)

_TITLES: dict[int, str] = {
    400: "This cannot be done",
    403: "This is not allowed",
    404: "There is no such page",
    405: "There is no such page",
    409: "This cannot be done now",
    413: "This is too much",
    502: "The mail service did not help",
    503: "Not available right now",
    504: "This took too long",
}

#: Errors whose own message would not help the person who sees it.
_SENTENCES: dict[str, str] = {
    "FormRefused": "The page was open for too long or was sent from another site. Go back, reload it and try again.",
    "InvalidLink": "This link is not valid any more: it was used already, is too old or was changed on its way. "
    "Go back to where you found it and ask for a new one.",
    "AccountAlreadyExists": "This mailbox is connected already, as another account.",
}

#: Errors about which the status says too little.
_TITLES_BY_CODE: dict[str, str] = {"InvalidLink": "This link does not work"}


def error_status(error: GatewayError) -> int:
    """Return the HTTP status of an error's page."""
    if error.error_code == "InvalidLink":
        return 403
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def show_gateway_error(request: Request[Any, Any, Any], error: GatewayError) -> Response[Any]:
    """Show what went wrong and who can do something about it, or ask for a login."""
    if isinstance(error, LoginRequiredError):
        return _ask_for_login(request)
    remedy = error.remedy if isinstance(error, ProviderError) else None
    title = _TITLES_BY_CODE.get(error.error_code)
    return _show(request, error_status(error), error_sentence(error), title=title, remedy=remedy)


def error_sentence(error: GatewayError) -> str:
    """Return what to tell a person about an error that has no remedy."""
    return _SENTENCES.get(error.error_code, error.message)


def show_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """Show what was wrong with the request itself."""
    return _show(request, error.status_code, "The address or the form is not right.")


def show_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Show that the fault is ours, and log where it is."""
    _log.error("web.page_failed", path=request.url.path, exc_info=error)
    return _show(request, 500, "The fault is not yours. What happened is in the log of the gateway.")


def show_unreachable(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Show that the gateway cannot reach its state."""
    return _show(request, 503, "The gateway cannot reach its data. Try again in a moment.")


HANDLERS: ExceptionHandlersMap = {
    **dict.fromkeys(UNREACHABLE, show_unreachable),
    GatewayError: show_gateway_error,
    HTTPException: show_http_error,
    Exception: show_unexpected,
}


def _ask_for_login(request: Request[Any, Any, Any]) -> Response[Any]:
    if "application/json" in request.headers.get("accept", ""):
        return data({"error": "log in first"}, status=401)
    if request.method != "GET":
        return see_other("/admin/login")
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return see_other(f"/admin/login?next={quote(target, safe='')}")


def _show(
    request: Request[Any, Any, Any], status: int, sentence: str, *, title: str | None = None, **context: Any
) -> Response[Any]:
    title = title or _TITLES.get(status, "Something went wrong")
    if "application/json" in request.headers.get("accept", ""):
        return data({"error": sentence}, status=status)
    visit = visit_of(request)
    layout = "admin.html" if visit is not None and visit.token_id is not None else "hosted.html"
    shown = {"remedy": None, **context}
    return page(request, "problem.html", status=status, layout=layout, title=title, sentence=sentence, **shown)
