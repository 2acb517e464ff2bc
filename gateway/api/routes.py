"""The routes of the API and of its documentation."""

from __future__ import annotations

from litestar.types import ControllerRouterHandler

from gateway.api.catalogue import OPERATIONS
from gateway.api.docs import docs_routes
from gateway.api.endpoint import route_handlers
from gateway.api.services import Services


def api_routes(services: Services, *, mail_body_limit: int) -> list[ControllerRouterHandler]:
    """Return the handlers of every operation, and the pages that document them.

    Args:
        services: behind them.
        mail_body_limit: octets of a request body that carries mail.
    """
    return [*route_handlers(OPERATIONS, services, mail_body_limit=mail_body_limit), *docs_routes(OPERATIONS)]
