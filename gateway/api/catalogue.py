"""Every operation of the API."""

from __future__ import annotations

from gateway.api import (
    accounts,
    autoconfig,
    blocklists,
    bulk,
    delivery_tests,
    events,
    exports,
    health,
    logs,
    mailboxes,
    messages,
    metrics,
    oauth2,
    queues,
    relays,
    settings,
    stats,
    submissions,
    templates,
    tokens,
    webhook_routes,
    webhooks,
)
from gateway.api.operation import Operation

OPERATIONS: tuple[Operation, ...] = (
    *accounts.OPERATIONS,
    *events.OPERATIONS,
    *mailboxes.OPERATIONS,
    *messages.OPERATIONS,
    *exports.OPERATIONS,
    *bulk.OPERATIONS,
    *submissions.OPERATIONS,
    *delivery_tests.OPERATIONS,
    *templates.OPERATIONS,
    *blocklists.OPERATIONS,
    *relays.OPERATIONS,
    *oauth2.OPERATIONS,
    *tokens.OPERATIONS,
    *webhook_routes.OPERATIONS,
    *webhooks.OPERATIONS,
    *settings.OPERATIONS,
    *queues.OPERATIONS,
    *autoconfig.OPERATIONS,
    *health.OPERATIONS,
    *metrics.OPERATIONS,
    *stats.OPERATIONS,
    *logs.OPERATIONS,
)
