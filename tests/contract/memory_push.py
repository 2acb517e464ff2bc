"""Subscriptions of the memory service, which calls nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from gateway.errors import ConflictError, InvalidRequestError, NotFoundError
from gateway.provider import Notification, Push, PushSubscription
from tests.contract.memory_service import MailService

_LIFETIME = timedelta(days=1)


class MemoryPush(Push):
    def __init__(self, service: MailService) -> None:
        self.service = service

    async def create(self, notification_url: str, lifecycle_url: str, secret: str) -> PushSubscription:
        if self.service.subscriptions:
            raise ConflictError("there is one")
        made = PushSubscription(
            id="s1", expires=datetime.now(UTC) + _LIFETIME, notification_url=notification_url, secret=secret
        )
        self.service.subscriptions[made.id] = made
        return made

    async def existing(self) -> Sequence[PushSubscription]:
        return list(self.service.subscriptions.values())

    async def renew(self, subscription: str) -> datetime:
        if subscription not in self.service.subscriptions:
            raise NotFoundError("there is no such subscription")
        return datetime.now(UTC) + _LIFETIME

    async def delete(self, subscription: str) -> None:
        self.service.subscriptions.pop(subscription, None)

    async def places(self, messages: Sequence[str]) -> Mapping[str, str]:
        return {one.id: path for path, box in self.service.mailboxes.items() for one in box if one.id in messages}


def read_call(body: bytes) -> list[Notification]:
    """Read what the service would call with: pairs of subscription and message."""
    try:
        told = msgspec.json.decode(body, type=list[tuple[str, str]])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidRequestError("not a call") from None
    return [Notification(kind="changed", subscription=one, secret="", message=message) for one, message in told]
