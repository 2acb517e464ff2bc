"""Services that call: what they say is a hint, and nothing of it is believed."""

from __future__ import annotations

import pytest

from gateway.errors import InvalidRequestError, NotFoundError
from gateway.provider import Capability, Provider, Session
from gateway.testing.conformance.base import Deliver, arrived, requires
from gateway.testing.conformance.samples import numbered

__all__ = ["PushConformance"]

_NOBODYS = "00000000-0000-4000-8000-000000000000"


class PushConformance:
    """Subscriptions. That one can be made is for the provider's own tests, as the service has to reach somebody."""

    @requires(Capability.PUSH)
    async def test_places_are_those_of_now(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """A call names a message; where it is decides which mailbox is looked at."""
        push = await session.push()
        kept = await arrived(session, deliver, inbox, numbered(1))
        gone = await arrived(session, deliver, inbox, numbered(2))
        await session.delete(gone.id)
        assert await push.places([kept.id, gone.id]) == {kept.id: inbox}

    @requires(Capability.PUSH)
    async def test_lost_subscription_is_told_from_one_that_lives(self, session: Session) -> None:
        """Else it is renewed for ever, and nobody calls."""
        push = await session.push()
        assert _NOBODYS not in {one.id for one in await push.existing()}
        with pytest.raises(NotFoundError):
            await push.renew(_NOBODYS)

    @requires(Capability.PUSH)
    async def test_lost_subscription_can_be_deleted(self, session: Session) -> None:
        """Who cleans up cannot know what is left."""
        push = await session.push()
        await push.delete(_NOBODYS)
        assert _NOBODYS not in {one.id for one in await push.existing()}

    @requires(Capability.PUSH)
    def test_call_that_cannot_be_read_is_refused(self, provider: Provider) -> None:
        """Anybody can call."""
        for body in (b"", b"{", b"\xff", b'"text"'):
            with pytest.raises(InvalidRequestError):
                provider.notifications(body)
