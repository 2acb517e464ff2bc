"""Bugs in what a bad network does."""

from __future__ import annotations

from collections.abc import AsyncIterator

from gateway.errors import ConnectError, GatewayError, ReauthorizationError, TransientError, UnsupportedOperationError
from gateway.provider import Envelope, MessagePage, MessageSource, PageRequest, SubmitReceipt
from tests.contract.memory_provider import MemorySession
from tests.contract.planting import breaks


@breaks("test_unreachable_service_is_a_connect_error")
class UnreachableIsReauthorization(MemorySession):
    async def check(self) -> None:
        try:
            await super().check()
        except ConnectError:
            raise ReauthorizationError("cannot log in") from None


@breaks("test_unreachable_service_is_a_connect_error")
class NetworkErrorLeaks(MemorySession):
    async def check(self) -> None:
        self.service.reach()


@breaks("test_hang_up_in_an_answer_is_a_passing_fault")
class HalfAnAnswer(MemorySession):
    async def source(self, id: str) -> AsyncIterator[bytes]:
        try:
            async for chunk in super().source(id):
                yield chunk
        except ConnectError:
            yield b"0123456789"


@breaks("test_silence_ends_in_a_passing_fault")
class SilenceIsAnEmptyMailbox(MemorySession):
    async def messages(self, mailbox: str, page: PageRequest) -> MessagePage:
        try:
            return await super().messages(mailbox, page)
        except TransientError:
            return MessagePage(total=0, page=0, messages=())


@breaks("test_new_session_works_after_a_fault")
class FaultStaysInTheProvider(MemorySession):
    async def messages(self, mailbox: str, page: PageRequest) -> MessagePage:
        try:
            return await super().messages(mailbox, page)
        except ConnectError:
            self.service.mailboxes = {}
            raise


@breaks("test_throttling_tells_when_to_come_back")
class ThrottlingIsPermanent(MemorySession):
    async def messages(self, mailbox: str, page: PageRequest) -> MessagePage:
        try:
            return await super().messages(mailbox, page)
        except TransientError:
            raise UnsupportedOperationError("HTTP 429") from None


@breaks("test_hang_up_after_a_submission_is_an_unknown_outcome")
class SubmissionIsTriedAgain(MemorySession):
    async def submit(self, message: bytes | MessageSource, envelope: Envelope) -> SubmitReceipt:
        try:
            return await super().submit(message, envelope)
        except GatewayError:
            raise ConnectError("the service hung up") from None
