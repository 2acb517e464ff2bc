"""Every operation of the API."""

from __future__ import annotations

from gateway.api import accounts, health, mailboxes, messages, oauth2, submissions, tokens
from gateway.api.operation import Operation

OPERATIONS: tuple[Operation, ...] = (
    *accounts.OPERATIONS,
    *mailboxes.OPERATIONS,
    *messages.OPERATIONS,
    *submissions.OPERATIONS,
    *oauth2.OPERATIONS,
    *tokens.OPERATIONS,
    *health.OPERATIONS,
)
