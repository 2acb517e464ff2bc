"""Server-rendered pages: the hosted sign-in form, the OAuth2 callback and the administrator's pages.

One request: a guard of `visit` decides who is looking and refuses forms from elsewhere; a handler (`login`,
`dashboard`, `accounts`, `apps`, `tokens`, `webhooks`, `hosted`, `leaving`, `unsubscribe`) reads its form and calls a
service through `ports`; `rendering` turns a template into a response that may load nothing but our own files;
`failures` does that for errors.
`callbacks` is for mail services that call us, who see no page.
Everything works without scripts; the few in ``static/`` only save reloads.
"""

from __future__ import annotations

from litestar import Router
from litestar.types import ControllerRouterHandler

from gateway.provider import Clock, utc_now
from gateway.web import accounts, assets
from gateway.web.apps import AppPages
from gateway.web.callbacks import take_call
from gateway.web.dashboard import show_dashboard, show_nothing
from gateway.web.failures import HANDLERS
from gateway.web.following import follow_link, show_point
from gateway.web.hosted import HostedForm
from gateway.web.injected import dependencies
from gateway.web.leaving import finish_sign_in
from gateway.web.login import LoginPages, log_out
from gateway.web.outbox import OutboxPages
from gateway.web.ports import WebServices
from gateway.web.tokens import TokenPages
from gateway.web.unsubscribe import change_subscription, show_subscription, unsubscribe_at_once
from gateway.web.visit import Gatekeeper, guard
from gateway.web.webhooks import WebhookPages

__all__ = ["WebServices", "web_routes"]

#: No form is larger, in octets.
_MAX_BODY = 65536


def web_routes(services: WebServices, *, clock: Clock = utc_now) -> list[ControllerRouterHandler]:
    """Return the routes of all pages.

    Args:
        services: what the pages show and change.
        clock: tells when a session ends.
    """
    gatekeeper = Gatekeeper(services, clock)
    needed = dependencies(services, clock)
    public = Router(
        "/",
        route_handlers=[LoginPages, HostedForm, finish_sign_in, change_subscription],
        guards=[guard(gatekeeper.visitor)],
        dependencies=needed,
        exception_handlers=HANDLERS,
        include_in_schema=False,
        request_max_body_size=_MAX_BODY,
    )
    signed = Router(
        "/",
        route_handlers=[show_subscription, unsubscribe_at_once, show_point, follow_link],
        guards=[guard(gatekeeper.signed)],
        dependencies=needed,
        exception_handlers=HANDLERS,
        include_in_schema=False,
        request_max_body_size=_MAX_BODY,
    )
    called = Router("/", route_handlers=[take_call], dependencies=needed, include_in_schema=False)
    front = Router(
        "/",
        route_handlers=[show_dashboard],
        guards=[guard(gatekeeper.arrival)],
        dependencies=needed,
        exception_handlers=HANDLERS,
        include_in_schema=False,
    )
    admin = Router(
        "/admin",
        route_handlers=[
            accounts.list_accounts,
            accounts.show_account,
            accounts.show_account_by_query,
            accounts.poll_state,
            accounts.reconnect,
            accounts.sign_in_again,
            accounts.delete_account,
            accounts.ask_for_account,
            accounts.add_account,
            AppPages,
            TokenPages,
            OutboxPages,
            WebhookPages,
            log_out,
            show_nothing,
        ],
        guards=[guard(gatekeeper.administrator)],
        dependencies=needed,
        exception_handlers=HANDLERS,
        include_in_schema=False,
        request_max_body_size=_MAX_BODY,
    )
    return [
        assets.show_front,
        assets.robots,
        assets.favicon,
        assets.static_files(),
        public,
        signed,
        called,
        front,
        admin,
    ]
