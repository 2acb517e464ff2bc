"""Webhooks: where events are delivered, and what came of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from gateway.model.account import CustomHeader
from gateway.model.base import Payload, Resource

#: The endpoint of the settings `webhooks` and of the accounts' own `webhooks`.
DEFAULT_ENDPOINT = "default"

TargetUrl = Annotated[str, Meta(max_length=8192, pattern=r"^https?://\S+$")]
Headers = Annotated[tuple[CustomHeader, ...], Meta(max_length=64)]
Expression = Annotated[str, Meta(max_length=4096, description="JMESPath over the event as it is delivered")]
EndpointId = Annotated[str, Meta(max_length=256, description="Id of a route, or `default`")]
AccountId = Annotated[str, Meta(max_length=256)]


class RouteContent(Payload, frozen=True, kw_only=True):
    """`fn` selects events, all of them when it is absent; `map` makes what is delivered in place of the event."""

    fn: Expression | None = None
    map: Expression | None = None


class RouteCreate(Payload, frozen=True, kw_only=True):
    """A new webhook route."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    target_url: TargetUrl
    description: Annotated[str, Meta(max_length=1024)] | None = None
    enabled: bool = True
    custom_headers: Headers = ()
    content: RouteContent | None = None


class RouteUpdate(Payload, frozen=True, kw_only=True):
    """A change of a webhook route; members that are absent stay. It takes a disabled route into service again."""

    name: Annotated[str, Meta(min_length=1, max_length=256)] | UnsetType = UNSET
    target_url: TargetUrl | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=1024)] | None | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    custom_headers: Headers | UnsetType = UNSET
    content: RouteContent | None | UnsetType = UNSET


class EndpointTrouble(Resource, frozen=True, kw_only=True):
    """What is wrong with an endpoint; `disabled` says that nothing is delivered to it any more."""

    message: str
    time: datetime
    disabled: bool = False


class RouteContentInfo(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """What selects the route's events, and what they are made into."""

    fn: str | None = None
    map: str | None = None


class WebhookRoute(Resource, frozen=True, kw_only=True):
    """A webhook route; `tcount` counts the events that it was given, `v` its versions."""

    id: str
    name: str
    description: str | None = None
    created: datetime
    updated: datetime
    enabled: bool | UnsetType = UNSET
    target_url: str
    tcount: int | UnsetType = UNSET
    webhook_error_flag: EndpointTrouble | None = None
    custom_headers: tuple[CustomHeader, ...] = ()
    v: int | UnsetType = UNSET
    content: RouteContentInfo | None = None


class WebhookRouteList(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """One page of the webhook routes."""

    total: int
    page: int
    pages: int
    webhooks: tuple[WebhookRoute, ...]


class RouteCreated(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """The new route's id."""

    id: str
    created: bool = True


class RouteUpdated(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """The route was changed."""

    id: str
    updated: bool = True


class RouteDeleted(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """The route is gone, and with it what it had still to deliver."""

    id: str
    deleted: bool = True


DeliveryState = Literal["delivered", "failed", "dead"]


class WebhookDelivery(Resource, frozen=True, kw_only=True):
    """One attempt to deliver an event.

    `failed` is tried again at `nextAttempt`, `dead` is not. Values of custom headers are masked.
    """

    endpoint: str
    account: str
    event: str
    event_id: str
    state: DeliveryState
    time: datetime
    attempt: Annotated[int, Meta(description="From 0")] | UnsetType = UNSET
    duration: Annotated[int, Meta(description="Milliseconds")] | UnsetType = UNSET
    status: Annotated[int, Meta(description="Of the answer, if there was one")] | None = None
    error: Annotated[str, Meta(description="Why it is no success; a stable code, and words")] | None = None
    answer: Annotated[str, Meta(description="How the answer began")] | None = None
    request_headers: dict[str, str] | None = None
    replay: bool = False
    next_attempt: datetime | None = None


class WebhookDeliveryList(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """Attempts, newest first; `nextCursor` is there when there are more."""

    deliveries: tuple[WebhookDelivery, ...]
    next_cursor: str | None


class ReplayRequest(Payload, frozen=True, kw_only=True):
    """Which events an endpoint is to get again: some of one account by their ids, or those of a time."""

    endpoint: EndpointId = DEFAULT_ENDPOINT
    account: AccountId | None = None
    events: Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=1000)] | None = None
    from_: datetime | None = field(name="from", default=None)
    to: datetime | None = None


class ReplayStarted(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """How many events wait to be delivered again, and how many accounts they belong to."""

    queued: int
    accounts: int


class TestRequest(Payload, frozen=True, kw_only=True):
    """Where to send a test event: to an endpoint as it is configured."""

    __test__ = False

    endpoint: EndpointId = DEFAULT_ENDPOINT
    account: AccountId | None = None


class TestResult(Resource, frozen=True, kw_only=True):
    """What came of a test event."""

    __test__ = False

    success: bool | UnsetType = UNSET
    status: int | None = None
    duration: Annotated[int, Meta(description="Milliseconds")] | UnsetType = UNSET
    error: str | None = None
    answer: str | None = None


class SecretRotated(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """The new secret, shown this once; the one before it still signs, until the next rotation."""

    secret: str
    secrets: int


class Endpoint(Resource, frozen=True, kw_only=True):
    """An endpoint as an operator sees it: a route, that of the settings, or what an `account` has in its place.

    `host` is where it is; the rest of its URL may be a secret.
    """

    id: str
    name: str
    account: str | None = None
    host: str | None = None
    enabled: bool | UnsetType = UNSET
    trouble: EndpointTrouble | None = None
    delivered: int | UnsetType = UNSET
