"""Subscriptions to change notifications, and the notifications themselves.

https://learn.microsoft.com/graph/api/resources/subscription,
https://learn.microsoft.com/graph/change-notifications-lifecycle-events
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec

from gateway.errors import (
    ConflictError,
    InvalidRequestError,
    MailboxUnavailableError,
    NotFoundError,
    PermanentError,
)
from gateway.provider import Clock, Notification, NotificationKind, Push, PushSubscription
from gateway_outlook_graph.client import GraphClient, Request, path, read
from gateway_outlook_graph.folders import Mailboxes
from gateway_outlook_graph.following import token_of
from gateway_outlook_graph.priority import Priority
from gateway_outlook_graph.reading import Reading
from gateway_outlook_graph.transport import Reply

#: What is granted at most (https://learn.microsoft.com/graph/api/resources/subscription#subscription-lifetime), and
#: what was until 2024 and still is in places. A quarter of an hour less, as clocks differ.
_LONGEST = timedelta(minutes=10_080 - 15)
_LONGEST_BEFORE = timedelta(minutes=4_230 - 15)
_CHANGES = "created,updated,deleted"
_KINDS: Mapping[str, NotificationKind] = MappingProxyType(
    {"reauthorizationrequired": "reauthorize", "subscriptionremoved": "removed", "missed": "missed"}
)


#: Notifications in one call. Anybody can call: what is read of that has to be bounded.
_MOST = 2000


class _Struct(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of what Graph sends."""


class _Subscription(_Struct, frozen=True, kw_only=True):
    id: str
    expiration_date_time: datetime
    resource: str = ""
    notification_url: str = ""
    client_state: str | None = None


class _Subscriptions(_Struct, frozen=True, kw_only=True):
    value: tuple[_Subscription, ...] = ()
    next_link: str | None = msgspec.field(name="@odata.nextLink", default=None)


class _ResourceData(_Struct, frozen=True, kw_only=True):
    id: str | None = None


class _Notification(_Struct, frozen=True, kw_only=True):
    subscription_id: str
    client_state: str
    lifecycle_event: str | None = None
    resource_data: _ResourceData | None = None


class _Notifications(_Struct, frozen=True, kw_only=True):
    value: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=_MOST)]


class GraphPush(Push):
    """Subscriptions to all messages of the mailbox of the person who signed in, or that an app opens."""

    def __init__(self, client: GraphClient, mailboxes: Mailboxes, reading: Reading, clock: Clock) -> None:
        """Prepare; `clock` is aware UTC."""
        self._client = client
        self._mailboxes = mailboxes
        self._reading = reading
        self._clock = clock
        self._resource = f"{client.mailbox}/messages"

    async def create(self, notification_url: str, lifecycle_url: str, secret: str) -> PushSubscription:
        """See `Push.create`."""
        wanted = {
            "changeType": _CHANGES,
            "resource": self._resource,
            "notificationUrl": notification_url,
            "lifecycleNotificationUrl": lifecycle_url,
            "clientState": secret,
        }
        made = await self._for_long("POST", path("subscriptions"), wanted)
        return PushSubscription(id=made.id, expires=made.expiration_date_time, notification_url=notification_url)

    async def existing(self) -> Sequence[PushSubscription]:
        """See `Push.existing`; what an app has on other mailboxes is left out."""
        found: list[_Subscription] = []
        query: Mapping[str, str] = {}
        while True:
            page = read(await self._call("GET", path("subscriptions"), query=query), _Subscriptions)
            found += [one for one in page.value if _same(one.resource, self._resource)]
            if page.next_link is None:
                break
            query = dict([token_of(page.next_link, "$skiptoken")])
        return [
            PushSubscription(
                id=one.id,
                expires=one.expiration_date_time,
                notification_url=one.notification_url,
                secret=one.client_state,
            )
            for one in found
        ]

    async def renew(self, subscription: str) -> datetime:
        """See `Push.renew`. A new end lets a silent one speak again: that needs no call of its own."""
        return (await self._for_long("PATCH", path("subscriptions", subscription), {})).expiration_date_time

    async def delete(self, subscription: str) -> None:
        """See `Push.delete`."""
        with contextlib.suppress(NotFoundError):
            await self._call("DELETE", path("subscriptions", subscription))

    async def places(self, messages: Sequence[str]) -> Mapping[str, str]:
        """See `Push.places`."""
        found = {}
        for message in await self._reading.states_there(messages, Priority.BACKGROUND):
            place = await self._mailboxes.place(message.parent_folder_id)
            if place.path is not None:
                found[message.id] = place.path
        return found

    async def _for_long(self, method: str, where: str, wanted: Mapping[str, Any]) -> _Subscription:
        """Ask for the longest time, and then for the one that was the longest before."""
        try:
            reply = await self._call(method, where, {**wanted, "expirationDateTime": self._in(_LONGEST)})
        except PermanentError as error:
            if isinstance(error, ConflictError | NotFoundError):
                raise
            reply = await self._call(method, where, {**wanted, "expirationDateTime": self._in(_LONGEST_BEFORE)})
        return read(reply, _Subscription)

    def _in(self, lifetime: timedelta) -> str:
        return (self._clock().astimezone(UTC) + lifetime).strftime("%Y-%m-%dT%H:%M:%SZ")

    async def _call(
        self,
        method: str,
        where: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] = MappingProxyType({}),
    ) -> Reply:
        request = Request(method=method, path=where, of_mailbox=False, json=body, query=query)
        try:
            return await self._client.call(request, Priority.BACKGROUND)
        except MailboxUnavailableError as error:
            if error.native_code == "ResourceNotFound":
                raise NotFoundError("there is no such subscription", native_code=error.native_code) from error
            raise


def _same(resource: str, other: str) -> bool:
    """Tell whether two paths are of the same thing: a service may write them in its own way."""
    return unquote(resource).strip("/").casefold() == unquote(other).strip("/").casefold()


def read_notifications(body: bytes) -> list[Notification]:
    """Read what Graph called with: change notifications, or lifecycle notifications. Those that are odd are left out.

    Raises:
        InvalidRequestError: it is no list of notifications.
    """
    try:
        told = msgspec.json.decode(body, type=_Notifications).value
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidRequestError("not a list of notifications") from None
    found = []
    for each in told:
        try:
            one = msgspec.json.decode(each, type=_Notification)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        kind = "changed" if one.lifecycle_event is None else _KINDS.get(one.lifecycle_event.lower())
        if kind is not None:
            message = one.resource_data.id if one.resource_data is not None else None
            found.append(
                Notification(kind=kind, subscription=one.subscription_id, secret=one.client_state, message=message)
            )
    return found
