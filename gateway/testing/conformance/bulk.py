"""Changing many messages at once."""

from __future__ import annotations

from gateway.errors import NotFoundError
from gateway.model.message import FlagUpdate, MessageUpdate, SearchQuery
from gateway.provider import Capability, Session
from gateway.testing.conformance.base import Deliver, entries, requires, subjects
from gateway.testing.conformance.samples import numbered

__all__ = ["BulkConformance"]


async def _ids(session: Session, deliver: Deliver, inbox: str, count: int) -> list[str]:
    for number in range(1, count + 1):
        await deliver(inbox, numbered(number))
    return [entry.id for entry in await entries(session, inbox)]


class BulkConformance:
    """Each message that was named is accounted for."""

    @requires(Capability.SEARCH)
    async def test_search_for_ids_finds_what_a_search_finds(
        self, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """What a client saw in a search is what it then changes."""
        ids = await _ids(session, deliver, inbox, 3)
        assert list(await session.search_ids(inbox, SearchQuery())) == ids
        assert list(await session.search_ids(inbox, SearchQuery(subject="number 2"))) == ids[1:2]
        assert list(await session.search_ids(inbox, SearchQuery(subject="nothing"))) == []

    @requires(Capability.FLAGS)
    async def test_flags_of_many_are_changed(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """Those that were named, and no others."""
        *named, other = await _ids(session, deliver, inbox, 3)
        result = await session.update_many(named, MessageUpdate(flags=FlagUpdate(add="\\Flagged")))
        assert (set(result.done), dict(result.failed), result.unknown) == (set(named), {}, ())
        assert {entry.id for entry in await entries(session, inbox) if entry.flagged} == set(named)
        assert other not in named

    @requires(Capability.MOVE)
    async def test_many_are_moved(self, session: Session, deliver: Deliver, inbox: str, elsewhere: str) -> None:
        """They leave and arrive; new ids that are returned are those of the same messages."""
        *named, _ = await _ids(session, deliver, inbox, 3)
        before = {entry.id: entry.subject for entry in await entries(session, inbox)}
        result = await session.move_many(named, elsewhere)
        assert (set(result.done), dict(result.failed), result.unknown) == (set(named), {}, ())
        assert await subjects(session, inbox) == ["number 1"]
        after = {entry.id: entry.subject for entry in await entries(session, elsewhere)}
        assert sorted(map(str, after.values())) == ["number 2", "number 3"]
        for old, new in result.done.items():
            assert new is None or after[new] == before[old]

    @requires(Capability.MOVE)
    async def test_many_stay_when_there_is_no_such_mailbox(
        self, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """Nothing is lost by a spelling mistake, whether it is told by an error or for each message."""
        ids = await _ids(session, deliver, inbox, 2)
        try:
            result = await session.move_many(ids, "no-such-mailbox")
        except NotFoundError:
            pass
        else:
            assert set(result.failed) == set(ids)
            assert all(isinstance(error, NotFoundError) for error in result.failed.values())
        assert await subjects(session, inbox) == ["number 1", "number 2"]

    @requires(Capability.DELETE)
    async def test_many_are_deleted(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """For good, and no others."""
        *named, _ = await _ids(session, deliver, inbox, 3)
        result = await session.delete_many(named)
        assert (set(result.done), dict(result.failed), result.unknown) == (set(named), {}, ())
        assert await subjects(session, inbox) == ["number 1"]

    @requires(Capability.MOVE, Capability.DELETE)
    async def test_message_that_is_gone_is_told_and_the_others_are_moved(
        self, session: Session, deliver: Deliver, inbox: str, elsewhere: str
    ) -> None:
        """One that somebody else deleted in between spoils nothing and is not dropped."""
        ids = await _ids(session, deliver, inbox, 3)
        await session.delete(ids[1])
        result = await session.move_many(ids, elsewhere)
        assert set(result.done) == {ids[0], ids[2]}
        assert set(result.failed) == {ids[1]}
        assert isinstance(result.failed[ids[1]], NotFoundError)
        assert await subjects(session, elsewhere) == ["number 1", "number 3"]
