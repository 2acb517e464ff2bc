"""Mailboxes: listing, counting, creating, renaming, deleting."""

from __future__ import annotations

import pytest

from gateway.errors import NotFoundError
from gateway.model.message import MailboxStatus
from gateway.provider import Capability, PageRequest, Session
from gateway.testing.conformance.base import Deliver, entries, octets, only, requires
from gateway.testing.conformance.samples import numbered

__all__ = ["MailboxConformance"]


class MailboxConformance:
    """The mailboxes of an account."""

    async def test_check_succeeds(self, session: Session) -> None:
        """A healthy account is not parked, and a second check is as good as the first."""
        await session.check()
        await session.check()

    async def test_exactly_one_inbox_and_it_comes_first(self, session: Session) -> None:
        """Watching, new mail and the default of many calls hang on the inbox; clients show it on top."""
        uses = [mailbox.special_use for mailbox in await session.mailboxes()]
        assert uses[0] == "\\Inbox"
        assert uses.count("\\Inbox") == 1

    async def test_mailbox_paths_are_unique_and_their_parents_listed(self, session: Session) -> None:
        """The path is the only identifier of a mailbox, and clients draw the tree from `parent_path`."""
        mailboxes = await session.mailboxes()
        paths = [mailbox.path for mailbox in mailboxes]
        assert all(paths)
        assert all(mailbox.name for mailbox in mailboxes)
        assert len(paths) == len(set(paths))
        assert {mailbox.parent_path for mailbox in mailboxes} <= {"", *paths}

    @pytest.mark.usefixtures("elsewhere")
    async def test_every_listed_mailbox_can_be_opened(self, session: Session) -> None:
        """Synchronization goes through the list; a path that cannot be opened stops it every time."""
        for mailbox in await session.mailboxes():
            if not mailbox.no_select:
                await session.messages(mailbox.path, PageRequest())

    async def test_counters_are_counted_when_asked_for(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """Badges are drawn from them; counting costs a round trip per mailbox, so it happens on demand."""
        for number in range(2):
            await deliver(inbox, numbered(number))
        assert (await session.mailboxes(counters=True))[0].status == MailboxStatus(messages=2, unseen=2)
        assert (await session.mailboxes())[0].status is None

    async def test_unknown_mailbox_is_not_found(self, session: Session) -> None:
        """Not an empty page, not a native error; and no path leads out of the account."""
        for path in ("no-such-mailbox", "../INBOX", "no/such/mailbox", "__proto__", "", "\0"):
            with pytest.raises(NotFoundError):
                await session.messages(path, PageRequest())

    @requires(Capability.MAILBOXES)
    async def test_mailbox_is_created_once(self, session: Session) -> None:
        """Creating again is not an error: a client that lost the answer repeats itself."""
        assert await session.create_mailbox("Projects") is True
        assert await session.create_mailbox("Projects") is False
        assert [mailbox.path for mailbox in await session.mailboxes()].count("Projects") == 1
        assert await entries(session, "Projects") == []

    @requires(Capability.MAILBOXES)
    async def test_mailbox_path_is_the_listed_one(self, session: Session) -> None:
        """Clients go on with the path that they are answered, whichever way they wrote it."""
        await session.create_mailbox("Projects")
        path = await session.mailbox_path("Projects")
        assert path in {mailbox.path for mailbox in await session.mailboxes()}
        assert await entries(session, path) == []

    @requires(Capability.MAILBOXES)
    async def test_renamed_mailbox_keeps_its_messages(self, session: Session, deliver: Deliver) -> None:
        """A rename is not a delete and a create."""
        await session.create_mailbox("Projects")
        await deliver("Projects", numbered(1))
        await session.rename_mailbox("Projects", "Done")
        assert {"Projects", "Done"} & {mailbox.path for mailbox in await session.mailboxes()} == {"Done"}
        entry = only(await entries(session, "Done"))
        assert await octets(session, entry.id) == numbered(1)

    @requires(Capability.MAILBOXES, Capability.SUBSCRIBE)
    async def test_subscriptions_are_kept_and_told(self, session: Session) -> None:
        """Mail programs show what is subscribed; a mailbox with another name is the same one."""

        async def subscribed(path: str) -> bool:
            return only([mailbox for mailbox in await session.mailboxes() if mailbox.path == path]).subscribed

        await session.create_mailbox("Projects")
        assert await subscribed("Projects")
        await session.subscribe_mailbox("Projects", False)
        assert not await subscribed("Projects")
        await session.rename_mailbox("Projects", "Done")
        assert not await subscribed("Done")
        await session.subscribe_mailbox("Done", True)
        assert await subscribed("Done")
        await session.rename_mailbox("Done", "Projects")
        assert await subscribed("Projects")

    @requires(Capability.MAILBOXES)
    async def test_deleted_mailbox_is_gone(self, session: Session, deliver: Deliver) -> None:
        """With its messages; and one created later under the same name is empty."""
        await session.create_mailbox("Projects")
        await deliver("Projects", numbered(1))
        await session.delete_mailbox("Projects")
        with pytest.raises(NotFoundError):
            await session.messages("Projects", PageRequest())
        await session.create_mailbox("Projects")
        assert await entries(session, "Projects") == []

    @requires(Capability.MAILBOXES)
    async def test_changing_an_unknown_mailbox_is_not_found(self, session: Session) -> None:
        """A client has to learn that somebody else was faster."""
        with pytest.raises(NotFoundError):
            await session.delete_mailbox("no-such-mailbox")
        with pytest.raises(NotFoundError):
            await session.rename_mailbox("no-such-mailbox", "Done")

    @requires(Capability.SUBSCRIBE)
    async def test_subscribing_an_unknown_mailbox_is_not_found(self, session: Session) -> None:
        """Servers take any name (RFC 9051 section 6.3.7)."""
        with pytest.raises(NotFoundError):
            await session.subscribe_mailbox("no-such-mailbox", True)
