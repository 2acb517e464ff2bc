"""What changed since a state, and the hint that asking is worth it (RFC 8620 section 5.2)."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio
import pytest

from gateway.errors import CursorExpiredError, NotFoundError
from gateway.model.message import FlagUpdate
from gateway.provider import Capability, PollWatch, Provider, PushWatch, Session, SocketWatch
from gateway.testing.conformance.base import Deliver, arrived, entries, requires
from gateway.testing.conformance.samples import numbered
from gateway.testing.context import AccountUnderTest

__all__ = ["ChangesConformance"]

_PATIENCE = 10.0


@dataclass
class _Since:
    state: str
    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    @property
    def nothing(self) -> bool:
        return not (self.created or self.updated or self.removed)


async def _since(session: Session, mailbox: str, state: str) -> _Since:
    """Return all changes since a state, however many answers they come in."""
    found = _Since(state)
    for _ in range(100):
        changes = await session.changes(mailbox, found.state)
        found.created += changes.created
        found.updated += changes.updated
        found.removed += changes.removed
        found.state = changes.state
        if not changes.more:
            return found
    pytest.fail("`more` never ends")


class ChangesConformance:
    """Changes: everything the gateway announces comes from here."""

    @requires(Capability.CHANGES)
    async def test_first_state_reports_nothing(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """A new account must not announce ten years of mail as new."""
        await deliver(inbox, numbered(1))
        changes = await session.changes(inbox, None)
        assert changes.state
        assert (changes.created, changes.updated, changes.removed, changes.more) == ((), (), (), False)

    @requires(Capability.CHANGES)
    async def test_new_messages_are_created_exactly_once(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """A lost one is a letter nobody sees; a double one is a webhook that books twice."""
        await deliver(inbox, numbered(1))
        start = (await session.changes(inbox, None)).state
        for number in (2, 3, 4):
            await deliver(inbox, numbered(number))
        new = [entry.id for entry in (await entries(session, inbox))[:3]]
        found = await _since(session, inbox, start)
        assert sorted(found.created) == sorted(new)
        assert (found.updated, found.removed) == ([], [])
        assert (await _since(session, inbox, found.state)).nothing

    @requires(Capability.CHANGES)
    async def test_asking_again_from_an_old_state_gives_the_same(
        self, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """A worker that died after asking asks again: nothing may be lost with the answer."""
        start = (await session.changes(inbox, None)).state
        entry = await arrived(session, deliver, inbox, numbered(1))
        assert (await _since(session, inbox, start)).created == [entry.id]
        assert (await _since(session, inbox, start)).created == [entry.id]

    @requires(Capability.CHANGES, Capability.FLAGS)
    async def test_changed_flags_are_an_update_exactly_once(
        self, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """Read on the phone, read everywhere; and not announced as a new message."""
        await deliver(inbox, numbered(1))
        entry = await arrived(session, deliver, inbox, numbered(2))
        start = (await session.changes(inbox, None)).state
        await session.update_flags(entry.id, FlagUpdate(add=("\\Seen",)))
        found = await _since(session, inbox, start)
        assert (found.created, found.updated, found.removed) == ([], [entry.id], [])
        assert (await _since(session, inbox, found.state)).nothing

    @requires(Capability.CHANGES, Capability.DELETE)
    async def test_deleted_message_is_removed_exactly_once(
        self, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """Under the id that clients know it by."""
        await deliver(inbox, numbered(1))
        entry = await arrived(session, deliver, inbox, numbered(2))
        start = (await session.changes(inbox, None)).state
        await session.delete(entry.id)
        found = await _since(session, inbox, start)
        assert (found.created, found.updated, found.removed) == ([], [], [entry.id])
        assert (await _since(session, inbox, found.state)).nothing

    @requires(Capability.CHANGES)
    async def test_state_outlives_the_session(
        self, provider: Provider, account: AccountUnderTest, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """Mail that came while the worker was restarted is announced when it is back."""
        async with provider.open(*account) as earlier:
            start = (await earlier.changes(inbox, None)).state
        entry = await arrived(session, deliver, inbox, numbered(1))
        assert (await _since(session, inbox, start)).created == [entry.id]

    @requires(Capability.CHANGES)
    async def test_unusable_state_expires(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """Then the gateway starts again; "nothing changed" would leave it blind for ever."""
        await deliver(inbox, numbered(1))
        for state in ("no such state", "", "é", "A" * 2000):
            with pytest.raises(CursorExpiredError):
                await session.changes(inbox, state)

    @requires(Capability.CHANGES)
    async def test_changes_of_an_unknown_mailbox_are_not_found(self, session: Session) -> None:
        """A deleted mailbox is taken off the list of those that are watched."""
        with pytest.raises(NotFoundError):
            await session.changes("no-such-mailbox", None)

    @requires(Capability.WATCH)
    async def test_watch_tells_when_to_ask(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """A socket becomes readable after a delivery, a subscription knows its own calls, a period is a period."""
        watch = await session.watch(inbox)
        if isinstance(watch, PollWatch):
            assert watch.period > 0
        elif isinstance(watch, PushWatch):
            assert not watch.verify({}, b"{}")
        else:
            assert isinstance(watch, SocketWatch)
            await _wait_for_a_hint(watch, deliver, inbox)
        entry = await arrived(session, deliver, inbox, numbered(2))
        assert entry.subject == "number 2"


async def _wait_for_a_hint(watch: SocketWatch, deliver: Deliver, inbox: str) -> None:
    try:
        await deliver(inbox, numbered(1))
        with anyio.fail_after(_PATIENCE):
            while not watch.poll():
                assert not watch.dead
                await anyio.wait_readable(watch.fileno())
    finally:
        await watch.close()
