"""API tokens: who may call what."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.model.base import Payload, Resource

Scope = Literal["api", "smtp", "imap-proxy", "mcp", "metrics", "*"]
Action = Literal["read", "write", "send", "destructive"]
Group = Literal[
    "account",
    "mailbox",
    "message",
    "submit",
    "outbox",
    "export",
    "template",
    "blocklist",
    "webhook",
    "gateway",
    "events",
    "diagnostics",
    "logs",
]
#: Operations of the group "admin" are open to tokens without `permissions` only.
OperationGroup = Group | Literal["admin"]


class TokenRateLimit(Payload, omit_defaults=True, frozen=True, kw_only=True):
    """At most `max_requests` in each window of `time_window` seconds."""

    max_requests: Annotated[int, Meta(ge=1)]
    time_window: Annotated[int, Meta(ge=1, description="Seconds")]


class TokenRestrictions(Payload, omit_defaults=True, frozen=True, kw_only=True):
    """Where a token may be used from, and how often."""

    referrers: tuple[Annotated[str, Meta(max_length=1024)], ...] | None = None
    addresses: tuple[Annotated[str, Meta(max_length=64)], ...] | None = None
    rate_limit: TokenRateLimit | None = None


class TokenPermissions(Payload, omit_defaults=True, frozen=True, kw_only=True):
    """What a narrowed token may do; at least one of the two."""

    actions: tuple[Action, ...] | None = None
    groups: tuple[Group, ...] | None = None


class TokenCreate(Payload, frozen=True, kw_only=True):
    """A new token; without `account` it must be narrowed by `permissions`."""

    description: Annotated[str, Meta(max_length=1024)]
    scopes: tuple[Literal["api", "smtp", "imap-proxy", "mcp", "metrics"], ...]
    account: Annotated[str, Meta(max_length=256)] | None = None
    metadata: Annotated[str, Meta(max_length=1048576)] | None = None
    restrictions: TokenRestrictions | None = None
    permissions: TokenPermissions | None = None
    expires: datetime | None = None
    ip: Annotated[str, Meta(max_length=64)] | None = None


class TokenCreated(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """The token's value, shown this once, and its id."""

    token: str
    id: str


class TokenAccess(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """When the token was last used, and from where."""

    time: datetime | None = None
    ip: str | None = None


class TokenRecord(Resource, frozen=True, kw_only=True):
    """A token as it is stored and shown: named by the SHA-256 of its value, which is kept nowhere."""

    id: str
    account: str | None = None
    description: str = ""
    metadata: str | None = None
    ip: str | None = None
    remote_address: str | None = None
    scopes: tuple[Scope, ...] = ()
    restrictions: TokenRestrictions | None = None
    permissions: TokenPermissions | None = None
    created: datetime | None = None
    expires: datetime | None = None
    access: TokenAccess | None = None


class TokenList(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """One page of the tokens."""

    account: str | None
    total: int
    page: int
    pages: int
    tokens: tuple[TokenRecord, ...]


class TokenDeleted(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """Whether there was such a token."""

    deleted: bool


class TokenLogEntry(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """One use of a token."""

    time: datetime
    ip: str | None = None
    method: str | None = None
    path: str | None = None
    action: str | None = None
    group: str | None = None
    account: str | None = None
    status: Literal["allowed", "denied"] = "allowed"
    reason: str | None = None


class TokenLog(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """One page of a token's audit trail."""

    token: str
    total: int
    page: int
    pages: int
    entries: tuple[TokenLogEntry, ...] | UnsetType = UNSET


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """What a token with a rate limit has left.

    Attributes:
        limit: calls allowed in one window.
        remaining: calls left in this one; negative when this call is already over the limit.
        reset: seconds until the next window.
    """

    limit: int
    remaining: int
    reset: float
