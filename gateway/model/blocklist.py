"""Blocklists: who does not want the mail of a list."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from gateway.model.account import Email
from gateway.model.base import Payload, Resource

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"

_PATTERN = rf"^{_LABEL}(\.{_LABEL})*$"

#: It goes into List-ID (RFC 2919 section 2), hence has the form of a host name.
ListId = Annotated[str, Meta(max_length=253, pattern=_PATTERN, description="Id of a list, like a host name")]


def is_list_id(text: str) -> bool:
    """Tell whether a text has the form of a `ListId`."""
    return len(text) <= 253 and re.fullmatch(_PATTERN, text) is not None


Source = Literal["api", "one-click", "form", "admin"]


class BlockRequest(Payload, frozen=True, kw_only=True):
    """Somebody who is to get no more mail of a list."""

    account: Annotated[str, Meta(max_length=256)]
    recipient: Email
    reason: Annotated[str, Meta(max_length=1024)] = "block"


class Blocked(Resource, frozen=True, kw_only=True):
    """Somebody who gets no mail of a list; `recipient` is in lower case."""

    recipient: str
    account: str
    message_id: str | None = None
    source: Source
    reason: str
    remote_address: str | None = None
    user_agent: str | None = None
    created: datetime


class BlockResult(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """Whether the recipient was not on the list before."""

    success: bool = True
    added: bool


class BlockDeleted(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """Whether the recipient was on the list."""

    deleted: bool


class BlocklistSummary(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """A list and how many are on it."""

    list_id: str
    count: int


class BlocklistList(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """One page of the lists."""

    total: int
    page: int
    pages: int
    blocklists: tuple[BlocklistSummary, ...]


class BlocklistPage(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """One page of a list, newest last."""

    list_id: str
    total: int
    page: int
    pages: int
    addresses: tuple[Blocked, ...]
