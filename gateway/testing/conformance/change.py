"""Changing messages: flags, labels, moving, copying, deleting, storing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.errors import NotFoundError
from gateway.model.message import FlagUpdate
from gateway.provider import Capability, Session
from gateway.testing.conformance.base import Deliver, arrived, entries, octets, only, requires, same_octets, subjects
from gateway.testing.conformance.samples import numbered, octets_of_every_kind
from gateway.testing.pieces import Pieces

__all__ = ["ChangeConformance"]


class ChangeConformance:
    """Changes to messages."""

    @requires(Capability.FLAGS)
    async def test_flags_are_added_and_deleted_independently(
        self, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """Marking as read must not lose the star."""
        entry = await arrived(session, deliver, inbox, numbered(1))
        after = await session.update_flags(entry.id, FlagUpdate(add=("\\Seen", "\\Flagged")))
        assert {"\\Seen", "\\Flagged"} <= set(after)
        after = await session.update_flags(entry.id, FlagUpdate(delete="\\Seen", add="\\Answered"))
        assert {"\\Seen", "\\Flagged", "\\Answered"} & set(after) == {"\\Flagged", "\\Answered"}
        listed = only(await entries(session, inbox))
        assert set(listed.flags) == set(after)
        assert (listed.unseen, listed.flagged, listed.answered) == (True, True, True)

    @requires(Capability.FLAGS)
    async def test_setting_flags_replaces_them(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """`set` is the whole truth afterwards, whatever stands beside it."""
        entry = await arrived(session, deliver, inbox, numbered(1))
        await session.update_flags(entry.id, FlagUpdate(add=("\\Seen",)))
        after = await session.update_flags(entry.id, FlagUpdate(set=("\\Flagged",), add=("\\Answered",)))
        assert {"\\Seen", "\\Flagged", "\\Answered"} & set(after) == {"\\Flagged"}
        assert (await session.message(entry.id)).unseen

    @requires(Capability.FLAGS)
    async def test_id_survives_a_change_of_flags(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """A message that was read is the same message."""
        entry = await arrived(session, deliver, inbox, numbered(1))
        await session.update_flags(entry.id, FlagUpdate(add=("\\Seen",)))
        assert [listed.id for listed in await entries(session, inbox)] == [entry.id]
        assert await octets(session, entry.id) == numbered(1)

    @requires(Capability.FLAGS)
    async def test_reading_marks_as_seen_when_asked(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """One call instead of two when a person opens a message."""
        entry = await arrived(session, deliver, inbox, numbered(1))
        await session.message(entry.id, mark_as_seen=True)
        assert not (await entries(session, inbox))[0].unseen

    @requires(Capability.LABELS)
    async def test_labels_are_added_and_deleted(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """Labels are not flags: one never shows among the other."""
        entry = await arrived(session, deliver, inbox, numbered(1))
        assert set(await session.update_labels(entry.id, FlagUpdate(add=("Red", "Blue")))) == {"Red", "Blue"}
        assert await session.update_labels(entry.id, FlagUpdate(delete=("Red",))) == ("Blue",)
        listed = only(await entries(session, inbox))
        assert listed.labels == ("Blue",)
        assert "Blue" not in listed.flags

    @requires(Capability.MOVE)
    async def test_moved_message_leaves_and_arrives(
        self, session: Session, deliver: Deliver, inbox: str, elsewhere: str
    ) -> None:
        """It is in one place at a time, octet by octet; an id that is returned works there."""
        entry = await arrived(session, deliver, inbox, numbered(1))
        moved = await session.move(entry.id, elsewhere)
        assert await entries(session, inbox) == []
        listed = only(await entries(session, elsewhere))
        assert moved in (None, listed.id)
        assert await octets(session, listed.id) == numbered(1)

    @requires(Capability.MOVE)
    async def test_moving_to_an_unknown_mailbox_keeps_the_message(
        self, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """A spelling mistake must not cost a message, nor create a mailbox."""
        entry = await arrived(session, deliver, inbox, numbered(1))
        with pytest.raises(NotFoundError):
            await session.move(entry.id, "no-such-mailbox")
        assert await octets(session, entry.id) == numbered(1)

    @requires(Capability.COPY)
    async def test_copied_message_stays_and_arrives(
        self, session: Session, deliver: Deliver, inbox: str, elsewhere: str
    ) -> None:
        """Two messages that do not depend on one another."""
        entry = await arrived(session, deliver, inbox, numbered(1))
        copied = await session.copy(entry.id, elsewhere)
        assert [listed.id for listed in await entries(session, inbox)] == [entry.id]
        listed = only(await entries(session, elsewhere))
        assert listed.id != entry.id
        assert copied in (None, listed.id)
        assert await octets(session, listed.id) == numbered(1)

    @requires(Capability.DELETE)
    async def test_deleted_message_is_gone(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """For good and alone; deleting it again is told."""
        await deliver(inbox, numbered(1))
        entry = await arrived(session, deliver, inbox, numbered(2))
        await session.delete(entry.id)
        assert await subjects(session, inbox) == ["number 1"]
        with pytest.raises(NotFoundError):
            await session.message(entry.id)
        with pytest.raises(NotFoundError):
            await session.delete(entry.id)

    @requires(Capability.APPEND)
    async def test_stored_message_is_unchanged(self, session: Session, elsewhere: str) -> None:
        """What was sent is what is filed under Sent, and it counts as read."""
        result = await session.append(elsewhere, octets_of_every_kind(), flags=("\\Seen",))
        listed = only(await entries(session, elsewhere))
        assert result.path == elsewhere
        assert result.id in (None, listed.id)
        assert not listed.unseen
        same_octets(await octets(session, listed.id), octets_of_every_kind())

    @requires(Capability.APPEND)
    async def test_message_that_comes_in_pieces_is_stored_whole(self, session: Session, elsewhere: str) -> None:
        """A large one is never held as a whole."""
        result = await session.append(elsewhere, Pieces(octets_of_every_kind()))
        listed = only(await entries(session, elsewhere))
        assert result.id in (None, listed.id)
        same_octets(await octets(session, listed.id), octets_of_every_kind())

    @requires(Capability.APPEND)
    async def test_stored_message_keeps_its_date(self, session: Session, elsewhere: str) -> None:
        """Mail that is moved from another service sorts where it belongs."""
        date = datetime(2024, 2, 29, 12, 30, 15, tzinfo=UTC)
        await session.append(elsewhere, octets_of_every_kind(), date=date)
        listed = only(await entries(session, elsewhere))
        assert listed.date == date

    @requires(Capability.APPEND)
    async def test_storing_in_an_unknown_mailbox_is_not_found(self, session: Session) -> None:
        """Neither lost silently nor filed in a new mailbox with a spelling mistake."""
        with pytest.raises(NotFoundError):
            await session.append("no-such-mailbox", numbered(1))
        assert "no-such-mailbox" not in {mailbox.path for mailbox in await session.mailboxes()}
