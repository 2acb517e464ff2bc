"""What a bad network and a busy service do: each ends in the branch of the error tree that leads to the right act."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from gateway.errors import ConnectError, OutcomeUnknownError, RateLimitError, TransientError
from gateway.provider import Envelope, PageRequest, Session
from gateway.testing.conformance.base import Deliver, octets, only
from gateway.testing.conformance.samples import numbered
from gateway.testing.worlds import FaultWorld, Switch

__all__ = ["FaultConformance"]

_PATIENCE = 30.0


class FaultConformance:
    """Faults on the way; skipped without the fixture `faults`."""

    @pytest.fixture
    def network(self, faults: FaultWorld | None) -> FaultWorld:
        """The bad network, or the reason why there is none."""
        if faults is None:
            pytest.skip("no fixture `faults`")
        return faults

    @pytest.fixture
    async def fragile(self, network: FaultWorld) -> AsyncIterator[Session]:
        """A session over that network, connected."""
        async with network.provider.open(*network.account) as session:
            await session.check()
            yield session

    async def test_unreachable_service_is_a_connect_error(self, network: FaultWorld) -> None:
        """The account is tried again, and shown as not connected; it is not broken."""
        await network.unreachable()
        with anyio.fail_after(_PATIENCE), pytest.raises(ConnectError):
            async with network.provider.open(*network.account) as session:
                await session.check()

    async def test_hang_up_in_an_answer_is_a_passing_fault(
        self, network: FaultWorld, fragile: Session, deliver: Deliver, inbox: str
    ) -> None:
        """Half an answer is no answer: not a short message, not an empty mailbox, not a native error."""
        await deliver(inbox, numbered(1, body="0123456789" * 20_000))
        entry = only((await fragile.messages(inbox, PageRequest())).messages)
        await network.hang_up()
        with anyio.fail_after(_PATIENCE), pytest.raises(TransientError):
            await octets(fragile, entry.id)

    async def test_silence_ends_in_a_passing_fault(self, network: FaultWorld, fragile: Session, inbox: str) -> None:
        """A connection that died without a word holds a worker no longer than its timeout."""
        await network.fall_silent()
        with anyio.fail_after(_PATIENCE), pytest.raises(TransientError):
            await fragile.messages(inbox, PageRequest())

    async def test_new_session_works_after_a_fault(self, network: FaultWorld, deliver: Deliver, inbox: str) -> None:
        """Nothing of the broken session is left in the provider."""
        await deliver(inbox, numbered(1))
        await network.hang_up()
        with anyio.fail_after(_PATIENCE), pytest.raises(TransientError):
            async with network.provider.open(*network.account) as session:
                await session.messages(inbox, PageRequest())
        await network.heal()
        async with network.provider.open(*network.account) as session:
            assert (await session.messages(inbox, PageRequest())).total == 1

    async def test_throttling_tells_when_to_come_back(self, network: FaultWorld, fragile: Session, inbox: str) -> None:
        """Coming back too early makes services throttle longer."""
        await _switch(network.throttle)
        with anyio.fail_after(_PATIENCE), pytest.raises(RateLimitError) as caught:
            await fragile.messages(inbox, PageRequest())
        assert caught.value.retry_after > 0

    async def test_hang_up_after_a_submission_is_an_unknown_outcome(
        self, network: FaultWorld, fragile: Session
    ) -> None:
        """The service may have the message: sending it again blindly is how people get a letter twice."""
        await _switch(network.hang_up_after_submit)
        email = network.account.account.email
        letter = numbered(1).replace(b"zoe@example.org", email.encode())
        with anyio.fail_after(_PATIENCE), pytest.raises(OutcomeUnknownError):
            await fragile.submit(letter, Envelope(mail_from=email, rcpt_to=("bob@example.org",)))


async def _switch(fault: Switch | None) -> None:
    if fault is None:
        pytest.skip("this fault cannot happen here")
    await fault()
