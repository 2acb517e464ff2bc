"""Subscriptions at a service that calls us when something may have changed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from gateway.provider.structs import SecretStruct

#: - changed: something happened to a message
#: - reauthorize: the subscription is silent until it is renewed
#: - removed: the subscription is gone, and calls may have been missed
#: - missed: calls were missed
NotificationKind = Literal["changed", "reauthorize", "removed", "missed"]


class PushSubscription(SecretStruct, frozen=True, kw_only=True):
    """A subscription, to all mailboxes of an account.

    Attributes:
        id: at the service.
        expires: when it ends unless it is renewed, aware UTC.
        notification_url: where the service calls.
        secret: what its calls bring along; None where the service does not tell it again.
    """

    __shown__ = ("id", "expires")

    id: str
    expires: datetime
    notification_url: str = ""
    secret: str | None = None


class Notification(SecretStruct, frozen=True, kw_only=True):
    """What one call said; a hint, never the truth.

    Attributes:
        kind: see `NotificationKind`.
        subscription: id of the subscription.
        secret: what the caller brought along; whoever compares it takes constant time.
        message: id of the message that was concerned, where it was told.
    """

    __shown__ = ("kind",)

    kind: NotificationKind
    subscription: str
    secret: str
    message: str | None = None


class Push(ABC):
    """Subscriptions of one account. The service is asked at once for the longest time that it grants."""

    @abstractmethod
    async def create(self, notification_url: str, lifecycle_url: str, secret: str) -> PushSubscription:
        """Subscribe; the service calls both addresses to see whether they answer.

        Args:
            notification_url: where changes are told.
            lifecycle_url: where it is told what happens to the subscription itself.
            secret: brought along by every call, at most 128 characters.

        Raises:
            ConflictError: there is such a subscription already, see `existing`.
        """

    @abstractmethod
    async def existing(self) -> Sequence[PushSubscription]:
        """Return the app's own subscriptions for the account."""

    @abstractmethod
    async def renew(self, subscription: str) -> datetime:
        """Prolong a subscription, let it speak again if it was silent, and return when it ends.

        Raises:
            NotFoundError: there is none of this id any more.
        """

    @abstractmethod
    async def delete(self, subscription: str) -> None:
        """End a subscription; one that is already gone is not an error."""

    @abstractmethod
    async def places(self, messages: Sequence[str]) -> Mapping[str, str]:
        """Return the paths of the mailboxes that messages are in by now, without those that are gone."""
