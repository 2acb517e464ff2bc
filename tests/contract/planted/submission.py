"""Bugs in submission."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from gateway.errors import MessageRefusedError, ServiceUnavailableError
from gateway.mime.parse import parse_message
from gateway.provider import Envelope, MessageSource, Quota, Signature, SubmitReceipt
from tests.contract.memory_provider import MemorySession
from tests.contract.planting import breaks


@breaks("test_submission_can_be_checked")
class CheckSendsAMessage(MemorySession):
    async def check_submit(self) -> None:
        await self.submit(b"Subject: test\r\n\r\n", Envelope(mail_from="a@example.org", rcpt_to=("a@example.org",)))


@breaks("test_submitted_message_reaches_its_recipients")
class SubmitsNothing(MemorySession):
    async def submit(self, message: bytes | MessageSource, envelope: Envelope) -> SubmitReceipt:
        return SubmitReceipt(response="queued")


@breaks("test_submitted_message_reaches_its_recipients")
class SubmitsTwice(MemorySession):
    async def submit(self, message: bytes | MessageSource, envelope: Envelope) -> SubmitReceipt:
        await super().submit(message, envelope)
        return await super().submit(message, envelope)


@breaks("test_submitted_message_reaches_its_recipients")
class SubmitsToTheHeaders(MemorySession):
    async def submit(self, message: bytes | MessageSource, envelope: Envelope) -> SubmitReceipt:
        found = parse_message(await MessageSource.of(message).octets())
        everybody = (*found.addresses("to"), *found.addresses("cc"))
        return await super().submit(message, replace(envelope, rcpt_to=tuple(one.address for one in everybody)))


@breaks("test_message_that_comes_in_pieces_is_submitted_whole")
class SubmitsTheFirstPiece(MemorySession):
    async def submit(self, message: bytes | MessageSource, envelope: Envelope) -> SubmitReceipt:
        return await super().submit(await anext(MessageSource.of(message).chunks()), envelope)


@breaks("test_refusal_of_all_recipients_is_final")
class RefusalIsTriedAgain(MemorySession):
    async def submit(self, message: bytes | MessageSource, envelope: Envelope) -> SubmitReceipt:
        try:
            return await super().submit(message, envelope)
        except MessageRefusedError:
            raise ServiceUnavailableError("the service answered 550") from None


@breaks("test_refusal_of_all_recipients_is_final")
class RefusalNamesTheAddress(MemorySession):
    async def submit(self, message: bytes | MessageSource, envelope: Envelope) -> SubmitReceipt:
        try:
            return await super().submit(message, envelope)
        except MessageRefusedError:
            raise MessageRefusedError(f"550 {envelope.rcpt_to[0]} unknown") from None


@breaks("test_refusal_of_some_recipients_is_told")
class PartialRefusalIsSilent(MemorySession):
    async def submit(self, message: bytes | MessageSource, envelope: Envelope) -> SubmitReceipt:
        return replace(await super().submit(message, envelope), refused={})


@breaks("test_refusal_of_some_recipients_is_told")
class PartialRefusalIsAnError(MemorySession):
    async def submit(self, message: bytes | MessageSource, envelope: Envelope) -> SubmitReceipt:
        receipt = await super().submit(message, envelope)
        if receipt.refused:
            raise MessageRefusedError("a recipient was refused")
        return receipt


@breaks("test_submitted_draft_is_sent_and_no_longer_a_draft")
class DraftStays(MemorySession):
    async def submit_draft(self, id: str) -> SubmitReceipt:
        envelope = Envelope(mail_from="zoe@example.org", rcpt_to=("bob@example.org",))
        return await self.submit(self.find(id)[1].octets, envelope)


@breaks("test_quota_is_in_octets")
class NegativeQuota(MemorySession):
    async def quota(self) -> Quota | None:
        return Quota(usage=-1, limit=0)


@breaks("test_signatures_belong_to_addresses")
class SignatureOfNobody(MemorySession):
    async def signatures(self) -> Sequence[Signature]:
        return [Signature(address="", signature="Zoë")]
