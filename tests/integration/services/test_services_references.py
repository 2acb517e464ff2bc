"""What many messages refer to."""

from __future__ import annotations

import pytest

from gateway.errors import NotFoundError
from gateway.mime.compose import OutgoingAttachment
from gateway.model.message import MessageDetail
from gateway.model.submission import ComposeFields, MessageReference
from gateway.services.references import ReferenceService
from gateway.store.accounts import AccountConfig
from tests.integration.services.world import World

pytestmark = pytest.mark.anyio


class CountingReader:
    """Mail with one message in one thread, `t`."""

    def __init__(self) -> None:
        self.searches = 0

    async def newest(self, account: str, thread: str, own: tuple[str, ...]) -> str:
        self.searches += 1
        if thread != "t":
            raise NotFoundError("there is no message of this thread")
        return "m"

    async def original(self, account: str, message: str, *, max_bytes: int) -> MessageDetail:
        return MessageDetail(id=message, thread_id="t")

    async def attachment(self, account: str, attachment: str, *, most: int) -> OutgoingAttachment:
        raise NotFoundError("there is no such attachment")


@pytest.mark.parametrize("thread", ["t", "nothing"])
async def test_thread_is_looked_for_once_for_all_messages_of_a_merge(world: World, thread: str) -> None:
    """Also when there is none: every mailbox is searched for it."""
    reader = CountingReader()
    service = ReferenceService(reader, world.services.runtime_settings).remembering()
    fields = ComposeFields(reference=MessageReference(thread_id=thread, ignore_missing=True), text="x")
    for _ in range(3):
        referred = await service.resolve(AccountConfig(account="ann", email="ann@example.test"), fields)
        assert referred.result is not None
        assert referred.result.success == (thread == "t")
    assert reader.searches == 1
