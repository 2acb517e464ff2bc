"""What changed since a state, and the hint that asking is worth it (RFC 8620 section 5.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio
import pytest

from gateway.errors import CursorExpiredError, NotFoundError
from gateway.model.message import FlagUpdate, MessageEntry
from gateway.provider import Capability, MailboxChanges, PollWatch, Provider, Session, SocketWatch
from gateway.testing.conformance.base import Deliver, arrived, entries, requires
from gateway.testing.conformance.ledger import Ledger, News, followed
from gateway.testing.conformance.samples import MULTIPART, numbered
from gateway.testing.context import AccountUnderTest

__all__ = ["ChangesConformance"]

_PATIENCE = 10.0
_NUMBERS = range(1, 6)


def _agrees(ledger: Ledger, listed: Sequence[MessageEntry]) -> None:
    """Fail unless a ledger holds what a listing shows, in its order."""
    newest_first = sorted(ledger.messages.values(), key=lambda message: message.position, reverse=True)
    assert [message.id for message in newest_first] == [entry.id for entry in listed]
    for message, entry in zip(newest_first, listed, strict=True):
        assert set(message.flags) == set(entry.flags)
        assert set(message.labels) == set(entry.labels)


async def _mailbox_changes(session: Session, since: str | None) -> MailboxChanges:
    """Ask; a service that cannot tell says so every time, and there is nothing to test."""
    told = await session.mailbox_changes(since)
    if told is None:
        pytest.skip("the service does not tell changes of mailboxes")
    return told


class ChangesConformance:
    """Changes: everything the gateway announces comes from here."""

    @requires(Capability.CHANGES)
    async def test_first_answer_is_complete(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """The gateway must know that it has everything, or old mail is announced as new one day."""
        for number in _NUMBERS:
            await deliver(inbox, numbered(number))
        assert (await session.changes(inbox, None)).complete
        _agrees(await followed(session, inbox), await entries(session, inbox))

    @requires(Capability.CHANGES)
    async def test_new_messages_are_new_exactly_once(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """A lost one is a letter nobody sees; a double one is a webhook that books twice."""
        await deliver(inbox, numbered(1))
        ledger = await followed(session, inbox)
        for number in _NUMBERS:
            await deliver(inbox, numbered(number + 1))
        news = await ledger.follow(session, inbox)
        listed = await entries(session, inbox)
        assert sorted(news.new) == sorted(entry.id for entry in listed[: len(_NUMBERS)])
        assert (news.updated, news.gone) == ([], [])
        assert await ledger.follow(session, inbox) == News()
        _agrees(ledger, listed)

    @requires(Capability.CHANGES)
    async def test_asking_again_from_an_old_state_gives_the_same(
        self, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """A worker that died after asking asks again: nothing may be lost with the answer."""
        ledger = await followed(session, inbox)
        entry = await arrived(session, deliver, inbox, numbered(1))
        for _ in range(2):
            assert await ledger.copy().follow(session, inbox) == News(new=[entry.id])

    @requires(Capability.CHANGES, Capability.FLAGS)
    async def test_changed_flags_are_an_update_exactly_once(
        self, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """Read on the phone, read everywhere; and not announced as a new message."""
        await deliver(inbox, numbered(1))
        entry = await arrived(session, deliver, inbox, numbered(2))
        ledger = await followed(session, inbox)
        await session.update_flags(entry.id, FlagUpdate(add=("\\Seen",)))
        assert await ledger.follow(session, inbox) == News(updated=[entry.id])
        assert "\\Seen" in ledger.messages[entry.id].flags
        assert await ledger.follow(session, inbox) == News()
        _agrees(ledger, await entries(session, inbox))

    @requires(Capability.CHANGES, Capability.LABELS)
    async def test_changed_labels_are_an_update_exactly_once(
        self, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """Labels are how people sort; a rule that waits for one must hear of it."""
        await deliver(inbox, numbered(1))
        entry = await arrived(session, deliver, inbox, numbered(2))
        ledger = await followed(session, inbox)
        await session.update_labels(entry.id, FlagUpdate(add=("Red",)))
        assert await ledger.follow(session, inbox) == News(updated=[entry.id])
        assert await ledger.follow(session, inbox) == News()
        _agrees(ledger, await entries(session, inbox))

    @requires(Capability.CHANGES, Capability.DELETE)
    async def test_deleted_message_is_gone_exactly_once(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """Under the id that clients know it by."""
        await deliver(inbox, numbered(1))
        entry = await arrived(session, deliver, inbox, numbered(2))
        ledger = await followed(session, inbox)
        await session.delete(entry.id)
        assert await ledger.follow(session, inbox) == News(gone=[entry.id])
        assert await ledger.follow(session, inbox) == News()
        _agrees(ledger, await entries(session, inbox))

    @requires(Capability.CHANGES)
    async def test_state_outlives_the_session(
        self, provider: Provider, account: AccountUnderTest, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """Mail that came while the worker was restarted is announced when it is back."""
        await deliver(inbox, numbered(1))
        async with provider.open(*account) as earlier:
            ledger = await followed(earlier, inbox)
        entry = await arrived(session, deliver, inbox, numbered(2))
        assert await ledger.follow(session, inbox) == News(new=[entry.id])

    @requires(Capability.CHANGES)
    async def test_unusable_state_expires(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """Then the gateway starts again; "nothing changed" would leave it blind for ever."""
        await deliver(inbox, numbered(1))
        for state in ("no such state", "", "é", "A" * 2000):
            with pytest.raises(CursorExpiredError):
                await session.changes(inbox, state)

    @requires(Capability.CHANGES, Capability.MAILBOXES, Capability.APPEND)
    async def test_mailbox_made_anew_holds_nothing_of_the_old_one(self, session: Session) -> None:
        """Somebody deletes a mailbox and makes one of that name: its messages are others."""
        await session.create_mailbox("Anew")
        await session.append("Anew", numbered(1))
        ledger = await followed(session, "Anew")
        await session.delete_mailbox("Anew")
        await session.create_mailbox("Anew")
        await session.append("Anew", numbered(2))
        try:
            await ledger.follow(session, "Anew")
        except CursorExpiredError:
            ledger = await followed(session, "Anew")
        _agrees(ledger, await entries(session, "Anew"))

    @requires(Capability.CHANGES)
    async def test_changes_of_an_unknown_mailbox_are_not_found(self, session: Session) -> None:
        """A deleted mailbox is taken off the list of those that are watched."""
        with pytest.raises(NotFoundError):
            await session.changes("no-such-mailbox", None)

    @requires(Capability.CHANGES)
    async def test_entries_of_changed_messages_are_those_of_the_listing(
        self, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """The index is filled with the one and compared with the other."""
        for message in (numbered(1), MULTIPART, numbered(2)):
            await deliver(inbox, message)
        changed = list((await followed(session, inbox)).messages)
        found = {entry.id: entry for entry in await session.entries(inbox, changed)}
        assert found == {entry.id: entry for entry in await entries(session, inbox)}
        assert [entry.id for entry in await session.entries(inbox, changed[:1])] == changed[:1]

    @requires(Capability.CHANGES, Capability.DELETE)
    async def test_entries_of_messages_that_are_gone_are_left_out(
        self, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """Between the changes and the entries anybody may delete; the others are still wanted."""
        gone = await arrived(session, deliver, inbox, numbered(1))
        kept = await arrived(session, deliver, inbox, numbered(2))
        await session.delete(gone.id)
        assert [entry.id for entry in await session.entries(inbox, [gone.id, kept.id])] == [kept.id]
        assert list(await session.entries(inbox, [gone.id])) == []

    @requires(Capability.CHANGES)
    async def test_revisions_differ_where_something_happened(
        self, session: Session, deliver: Deliver, inbox: str, elsewhere: str
    ) -> None:
        """They decide which mailboxes are not even asked; a service that cannot tell says None."""
        before = await session.revisions()
        assert {inbox, elsewhere} <= before.keys()
        assert await session.revisions() == before
        await deliver(inbox, numbered(1))
        after = await session.revisions()
        assert after.keys() == before.keys()
        assert after[elsewhere] == before[elsewhere]
        assert after[inbox] is None or after[inbox] != before[inbox]

    @requires(Capability.CHANGES, Capability.MAILBOXES)
    async def test_changes_of_mailboxes_are_told_exactly_once(self, session: Session) -> None:
        """All mailboxes are looked at when there is one: again and again, or not before the next quarter of an hour."""
        before = await _mailbox_changes(session, None)
        assert not before.changed
        happened: tuple[Callable[[], Awaitable[object]], ...] = (
            lambda: session.create_mailbox("Projects"),
            lambda: session.rename_mailbox("Projects", "Done"),
            lambda: session.delete_mailbox("Done"),
        )
        for happen in happened:
            await happen()
            told = await _mailbox_changes(session, before.state)
            again = await _mailbox_changes(session, before.state)
            assert (told.changed, again.changed) == (True, True)
            before = await _mailbox_changes(session, told.state)
            assert not before.changed

    @requires(Capability.CHANGES)
    async def test_messages_do_not_change_mailboxes(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """They come all the time, and counters with them."""
        before = await _mailbox_changes(session, None)
        await deliver(inbox, numbered(1))
        assert not (await _mailbox_changes(session, before.state)).changed

    @requires(Capability.CHANGES)
    async def test_unusable_state_of_mailboxes_is_no_error(self, session: Session) -> None:
        """It may be of an earlier release; what is not known is looked at."""
        told = await _mailbox_changes(session, "no state")
        assert told.changed
        assert not (await _mailbox_changes(session, told.state)).changed

    @requires(Capability.WATCH)
    async def test_watch_tells_when_to_ask(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """A socket becomes readable after a delivery, a period is a period."""
        ledger = await followed(session, inbox)
        watch = await session.watch(inbox)
        if isinstance(watch, PollWatch):
            assert watch.period > 0
        else:
            assert isinstance(watch, SocketWatch)
            await _wait_for_a_hint(watch, deliver, inbox)
            assert len((await ledger.follow(session, inbox)).new) == 1
        entry = await arrived(session, deliver, inbox, numbered(2))
        assert entry.subject == "number 2"

    @requires(Capability.WATCH)
    async def test_watch_answers_a_probe(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """A connection that died without a word looks like a quiet one; only a sign of life tells them apart."""
        watch = await session.watch(inbox)
        if isinstance(watch, SocketWatch):
            try:
                assert watch.answered
                await _probe(watch)
                await _probe(watch)
            except BaseException:
                await watch.close()
                raise
            await _wait_for_a_hint(watch, deliver, inbox)


async def _wait_for_a_hint(watch: SocketWatch, deliver: Deliver, inbox: str) -> None:
    try:
        await deliver(inbox, numbered(1))
        with anyio.fail_after(_PATIENCE):
            while not watch.poll():
                assert not watch.dead
                await anyio.wait_readable(watch.fileno())
    finally:
        await watch.close()


async def _probe(watch: SocketWatch) -> None:
    watch.probe()
    assert not watch.answered, "an answer that was there before the question is none"
    with anyio.fail_after(_PATIENCE):
        while not watch.answered:
            assert not watch.dead
            await anyio.wait_readable(watch.fileno())
            watch.poll()
