"""Submission, and what a provider knows of the account that sends."""

from __future__ import annotations

import pytest

from gateway.errors import MessageRefusedError, NotFoundError
from gateway.provider import Capability, Envelope, Quota, Session, Signature
from gateway.testing.conformance.base import only, requires, same_octets
from gateway.testing.conformance.samples import numbered
from gateway.testing.context import AccountUnderTest
from gateway.testing.pieces import Pieces
from gateway.testing.worlds import SubmissionWorld

__all__ = ["SubmitConformance"]


def _message(sender: AccountUnderTest, recipient: str) -> bytes:
    """Return a letter from the account: services refuse to send in the name of somebody else."""
    letter = numbered(1).replace(b'"Doe, Bob" <bob@example.org>, carol@example.org', recipient.encode())
    return letter.replace(b"zoe@example.org", sender.account.email.encode())


def _refused(submission: SubmissionWorld) -> str:
    if submission.refused_recipient is None:
        pytest.skip("this service takes every address and bounces later")
    return submission.refused_recipient


def _content(message: bytes) -> bytes:
    """Return what a service may not change: the text; relays add header fields."""
    return message.partition(b"\r\n\r\n")[2].rstrip(b"\r\n")


class SubmitConformance:
    """Sending."""

    @requires(Capability.SUBMIT)
    async def test_submission_can_be_checked(self, session: Session, submission: SubmissionWorld) -> None:
        """A wrong password is found when the account is added, not with the first letter; nothing is sent for it."""
        await session.check_submit()
        assert not await submission.received()

    @requires(Capability.SUBMIT)
    async def test_submitted_message_reaches_its_recipients(
        self, session: Session, account: AccountUnderTest, submission: SubmissionWorld
    ) -> None:
        """Once, to those of the envelope, with the text as it was written."""
        message = _message(account, submission.recipient)
        receipt = await session.submit(
            message, Envelope(mail_from=account.account.email, rcpt_to=(submission.recipient,))
        )
        envelope, received = only(await submission.received())
        assert receipt.response
        assert not receipt.refused
        assert envelope.rcpt_to == (submission.recipient,)
        same_octets(_content(received), _content(message))

    @requires(Capability.SUBMIT)
    async def test_message_that_comes_in_pieces_is_submitted_whole(
        self, session: Session, account: AccountUnderTest, submission: SubmissionWorld
    ) -> None:
        """A large one is never held as a whole. Where its pieces end has nothing to do with its lines."""
        message = _message(account, submission.recipient) + b".\r\n..\r\n.end\r\n"
        await session.submit(
            Pieces(message), Envelope(mail_from=account.account.email, rcpt_to=(submission.recipient,))
        )
        _, received = only(await submission.received())
        same_octets(_content(received), _content(message))

    @requires(Capability.SUBMIT)
    async def test_refusal_of_all_recipients_is_final(
        self, session: Session, account: AccountUnderTest, submission: SubmissionWorld
    ) -> None:
        """No amount of trying again makes the address exist; nothing is sent, and the session goes on."""
        refused = _refused(submission)
        with pytest.raises(MessageRefusedError) as caught:
            await session.submit(
                _message(account, refused), Envelope(mail_from=account.account.email, rcpt_to=(refused,))
            )
        assert refused not in f"{caught.value}", "an error names no address"
        assert not await submission.received()
        await session.check_submit()

    @requires(Capability.SUBMIT)
    async def test_refusal_of_some_recipients_is_told(
        self, session: Session, account: AccountUnderTest, submission: SubmissionWorld
    ) -> None:
        """The others have the message; sending it again would give it to them twice. A service may refuse it whole."""
        both = (submission.recipient, _refused(submission))
        try:
            receipt = await session.submit(
                _message(account, ", ".join(both)), Envelope(mail_from=account.account.email, rcpt_to=both)
            )
        except MessageRefusedError:
            assert not await submission.received()
        else:
            assert set(receipt.refused) == set(both[1:])
            assert [envelope.rcpt_to for envelope, _ in await submission.received()] == [(submission.recipient,)]

    @requires(Capability.DRAFTS, Capability.APPEND)
    async def test_submitted_draft_is_sent_and_no_longer_a_draft(
        self, session: Session, account: AccountUnderTest, elsewhere: str, submission: SubmissionWorld
    ) -> None:
        """A draft that stays behind is sent again by its owner."""
        drafts = next((box.path for box in await session.mailboxes() if box.special_use == "\\Drafts"), elsewhere)
        stored = await session.append(drafts, _message(account, submission.recipient), flags=("\\Draft",))
        assert stored.id is not None
        receipt = await session.submit_draft(stored.id)
        envelope, _ = only(await submission.received())
        assert receipt.response
        assert envelope.rcpt_to[0] == submission.recipient
        with pytest.raises(NotFoundError):
            await session.message(stored.id)

    @requires(Capability.QUOTA)
    async def test_quota_is_in_octets(self, session: Session) -> None:
        """A bar is drawn from it; an account without a quota has None."""
        quota = await session.quota()
        assert quota is None or isinstance(quota, Quota)
        assert quota is None or (quota.usage >= 0 and (quota.limit is None or quota.limit > 0))

    @requires(Capability.SIGNATURES)
    async def test_signatures_belong_to_addresses(self, session: Session) -> None:
        """A client picks the one of the address it sends from."""
        signatures = await session.signatures()
        assert all(isinstance(signature, Signature) and "@" in signature.address for signature in signatures)
        assert len({signature.address for signature in signatures}) == len(signatures)
