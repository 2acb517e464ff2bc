"""One pass over the mailboxes of an account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import structlog

from gateway.errors import FencedError, PermanentError, ServiceUnavailableError
from gateway.model.account_errors import SyncError
from gateway.model.message import Mailbox
from gateway.provider import Clock, Session
from gateway.services.sync import payloads
from gateway.services.sync.mailbox import MailboxSync
from gateway.services.sync.owned import Owned
from gateway.services.sync.renaming import Renaming
from gateway.services.sync.taking_in import Tools
from gateway.store.accounts import AccountStore, IndexState
from gateway.store.events import event_fields
from gateway.store.index import Announce, BoxRecord

log = structlog.get_logger(__name__)


class AccountSync:
    """Brings index and log of an account up to date. Only the account's owner may use it."""

    def __init__(self, tools: Tools, accounts: AccountStore, clock: Clock) -> None:
        self._tools = tools
        self._accounts = accounts
        self._clock = clock
        self._mailbox_sync = MailboxSync(tools)
        self._renaming = Renaming(tools)

    async def full_pass(
        self, session: Session, owned: Owned, mailboxes: Sequence[Mailbox], *, beside: Sequence[str] = ()
    ) -> list[Mailbox]:
        """Look at every mailbox that is synced, and return those that have to be watched, the most important first.

        That one is looked at last, so that a session which follows a mailbox without help of the server can go on.
        A mailbox that the server lists and does not open is left for the next pass.

        Args:
            session: open, used by nobody else.
            owned: the account.
            mailboxes: all of them, as the session has just listed them.
            beside: paths of mailboxes that are watched meanwhile, and not looked at here.

        Raises:
            FencedError: another worker owns the account, or what was known is lost, and mailboxes are watched: all of
                it has to be looked at again.
            ProviderError: the service could not be asked; nothing is taken for deleted because of that.
        """
        known = await self._tools.index.boxes(owned.account)
        state = owned.index
        if state == "whole" and not known:
            if beside:
                raise FencedError("the index is lost")
            # Remembered, lest what is still to be read is news to the next owner when this one dies in between.
            state = "lost"
            await self._accounts.set_index(owned.account, state)
        watched = owned.watched(mailboxes)
        synced = [mailbox for mailbox in owned.tracked(mailboxes) if mailbox not in watched] + watched[::-1]
        listed = {mailbox.path for mailbox in mailboxes if not mailbox.no_select}
        if not listed:
            raise ServiceUnavailableError("the server lists no mailbox")
        for half in [box for box in known.values() if box.renamed_from is not None]:
            # Told by an owner that got no further.
            known.pop(half.renamed_from or "", None)
            known[half.path] = await self._renaming.finish(owned, half)
        vanished = {path: box for path, box in known.items() if path not in listed}
        await self._forget_untracked(owned, known, synced, listed)
        revisions, failed = await session.revisions(), None
        for mailbox in synced:
            if mailbox.path in beside:
                continue
            box, fresh = known.get(mailbox.path), False
            if box is None:
                box, fresh = await self._appeared(session, owned, mailbox, vanished, state), True
            revision = revisions.get(mailbox.path)
            entries = mailbox in watched
            if revision is None or revision != box.revision or entries != box.entries:
                error = await self._run(session, owned, mailbox, box, fresh=fresh, entries=entries, revision=revision)
                if error is not None and mailbox in watched:
                    watched.remove(mailbox)
                failed = failed or error
        await self._accounts.set_sync_error(owned.account, failed)
        for box in vanished.values():
            await self._disappeared(owned, box)
        if state != "whole":
            await self._accounts.set_index(owned.account, "whole")
        return watched

    async def look(self, session: Session, owned: Owned, path: str) -> bool:
        """Look at one mailbox that is synced and not watched; False when it is not one that is known.

        Raises as `full_pass` does.
        """
        box = await self._tools.index.box(owned.account, path)
        if box is None:
            return False
        try:
            await self._mailbox_sync.run(session, owned, box, entries=False)
        except PermanentError as error:
            # The next look at every mailbox finds out what it means.
            log.info("mailbox_not_looked_at", account=owned.account, error=type(error).__name__)
            return False
        return True

    async def watched_pass(self, session: Session, owned: Owned, mailbox: Mailbox) -> BoxRecord:
        """Look at one mailbox that is watched, and return its record. Raises as `MailboxSync.run` does.

        Raises:
            FencedError: likewise when what was known is lost: all of it has to be looked at again.
        """
        box = await self._tools.index.box(owned.account, mailbox.path)
        if box is None:
            raise FencedError("the index is lost")
        return await self._mailbox_sync.run(session, owned, box, entries=True)

    async def _run(
        self,
        session: Session,
        owned: Owned,
        mailbox: Mailbox,
        box: BoxRecord,
        *,
        fresh: bool,
        entries: bool,
        revision: str | None,
    ) -> SyncError | None:
        """Look at one mailbox, and return why that was not possible, if it was not."""
        box = msgspec.structs.replace(box, name=mailbox.name, special_use=mailbox.special_use, mailbox_id=mailbox.id)
        new, lost = fresh and box.announce == "all", fresh and box.announce == "nothing"
        try:
            await self._mailbox_sync.run(session, owned, box, new=new, lost=lost, entries=entries, revision=revision)
        except PermanentError as error:
            log.warning("mailbox_not_synced", account=owned.account, error=type(error).__name__, code=error.error_code)
            return SyncError(path=mailbox.path, time=self._clock(), error=error.message)
        return None

    async def _appeared(
        self, session: Session, owned: Owned, mailbox: Mailbox, vanished: dict[str, BoxRecord], state: IndexState
    ) -> BoxRecord:
        """Return a record of a mailbox that is not known.

        It is not known because the account is new, or it is, or it was renamed, or all that was known is lost.
        """
        if state == "lost":
            return _record(mailbox, "nothing")
        if state == "none":
            return _record(mailbox, "recent")
        renamed = await self._renaming.follow(session, owned, _record(mailbox, "above"), vanished)
        return renamed if renamed is not None else _record(mailbox, "all")

    async def _disappeared(self, owned: Owned, box: BoxRecord) -> None:
        data = payloads.mailbox_deleted(box)
        event = self._tools.events.make(
            "mailboxDeleted", owned.account, data, path=box.path, special_use=box.special_use
        )
        await self._tools.index.forget(owned.account, owned.epoch, box.path, event_fields(event))
        await self._tools.events.announce(owned.account)

    async def _forget_untracked(
        self, owned: Owned, known: Mapping[str, BoxRecord], synced: Sequence[Mailbox], listed: set[str]
    ) -> None:
        """Forget mailboxes that are there but not synced any more."""
        paths = {mailbox.path for mailbox in synced}
        for path in known:
            if path in listed and path not in paths:
                await self._tools.index.forget(owned.account, owned.epoch, path)


def _record(mailbox: Mailbox, announce: Announce) -> BoxRecord:
    return BoxRecord(
        path=mailbox.path,
        name=mailbox.name,
        special_use=mailbox.special_use,
        mailbox_id=mailbox.id,
        announce=announce,
    )
