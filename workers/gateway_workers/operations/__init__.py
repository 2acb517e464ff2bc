"""What workers can do: one handler for each operation of `gateway.queue.operations`, thin over the services."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.services.container import Services
from gateway_workers.context import Handler
from gateway_workers.operations import accounts, mail, outbox


def handlers(services: Services) -> Mapping[str, Handler]:
    """Return the handlers by operation name."""
    return {**mail.HANDLERS, **accounts.handlers(services), **outbox.handlers(services)}
