"""Bugs in subscriptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from gateway.provider import Notification, Push
from tests.contract.memory_provider import MemoryProvider, MemorySession
from tests.contract.memory_push import MemoryPush
from tests.contract.planting import breaks


class _Everywhere(MemoryPush):
    async def places(self, messages: Sequence[str]) -> Mapping[str, str]:
        return dict.fromkeys(messages, "INBOX")


class _Immortal(MemoryPush):
    async def renew(self, subscription: str) -> datetime:
        return datetime.now(UTC)


class _Strict(MemoryPush):
    async def delete(self, subscription: str) -> None:
        assert subscription in self.service.subscriptions, "there is none"


@breaks("test_places_are_those_of_now")
class FindsWhatIsGone(MemorySession):
    async def push(self) -> Push:
        return _Everywhere(self.service)


@breaks("test_lost_subscription_is_told_from_one_that_lives")
class RenewsWhatIsGone(MemorySession):
    async def push(self) -> Push:
        return _Immortal(self.service)


@breaks("test_lost_subscription_can_be_deleted")
class InsistsOnDeleting(MemorySession):
    async def push(self) -> Push:
        return _Strict(self.service)


@breaks("test_call_that_cannot_be_read_is_refused")
class ReadsAnything(MemoryProvider):
    def notifications(self, body: bytes) -> Sequence[Notification]:
        return []
