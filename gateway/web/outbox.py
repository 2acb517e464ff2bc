"""Admin page of the outbox: what waits, what went wrong and when it is tried again."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from litestar import Controller, Request, Response, get, post
from litestar.params import FromQuery, QueryParameter

from gateway.errors import ConflictError, ResourceNotFoundError
from gateway.web.forms import Form, read_form
from gateway.web.injected import Services
from gateway.web.rendering import page, see_other
from gateway.web.words import DONE

PAGE_SIZE = 50


class OutboxPages(Controller):
    """``/admin/outbox``."""

    path = "/outbox"

    @get()
    async def show(
        self,
        request: Request[Any, Any, Any],
        services: Services,
        account: Annotated[str, QueryParameter(name="account", max_length=256)] = "",
        number: Annotated[int, QueryParameter(name="page", ge=0, le=1_000_000)] = 0,
        done: FromQuery[str] = "",
    ) -> Response[str]:
        """Show what is in the outbox, of all accounts or of one."""
        account = account.strip()
        found = await services.submissions.list(page=number, page_size=PAGE_SIZE, account=account or None)
        link = f"/admin/outbox?{urlencode({'account': account})}&page=" if account else "/admin/outbox?page="
        return page(request, "outbox.html", found=found, account=account, link=link, done=DONE.get(done))

    @post("/cancel")
    async def cancel(self, request: Request[Any, Any, Any], services: Services) -> Response[str]:
        """Cancel a message that waits."""
        form = await read_form(request)
        try:
            await services.submissions.cancel(form.text("queue-id"))
        except (ConflictError, ResourceNotFoundError):
            return _back(form, "send-not-cancelled")
        return _back(form, "send-cancelled")

    @post("/delete")
    async def delete(self, request: Request[Any, Any, Any], services: Services) -> Response[str]:
        """Forget a message that waits for nothing."""
        form = await read_form(request)
        answer = await services.submissions.delete(form.text("queue-id"))
        return _back(form, "send-deleted" if answer.deleted else "send-not-cancelled")

    @post("/retry")
    async def retry(self, request: Request[Any, Any, Any], services: Services) -> Response[str]:
        """Send a message now; one that may be out already only where the form said so."""
        form = await read_form(request)
        try:
            await services.submissions.retry(form.text("queue-id"), may_repeat=form.text("may-repeat") == "yes")
        except (ConflictError, ResourceNotFoundError):
            return _back(form, "send-not-retried")
        return _back(form, "send-retried")


def _back(form: Form, done: str) -> Response[str]:
    return see_other(f"/admin/outbox?{urlencode({'account': form.secret('account'), 'done': done})}")
