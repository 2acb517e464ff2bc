"""Whether the service of an account calls when something changes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from gateway.model.base import Resource


class SubscriptionState(Resource, frozen=True, kw_only=True):
    """What became of the last step for a subscription."""

    state: Literal["creating", "created", "renewing", "error"]
    time: Annotated[int, Meta(description="Milliseconds since 1970")] | None = None
    error: str | None = None
    retry_count: int = 0
    create_retry_count: int = 0


class OutlookSubscription(Resource, frozen=True, kw_only=True):
    """A subscription to change notifications of Microsoft Graph."""

    id: str | None = None
    expiration_date_time: datetime | None = None
    state: SubscriptionState


class PushInfo(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """Whether the mail service calls when something changes; else it is asked regularly, and events come later."""

    active: bool
    code: Annotated[str, Meta(description="Why it does not")] | None = None
    text: Annotated[str, Meta(description="The same as a sentence")] | None = None
