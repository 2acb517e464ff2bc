"""One pass over one mailbox."""

from __future__ import annotations

import msgspec
import structlog

from gateway.errors import CursorExpiredError, MailboxResetError
from gateway.provider import Session
from gateway.services.sync import payloads
from gateway.services.sync.collected import Collected, collect
from gateway.services.sync.owned import Owned
from gateway.services.sync.taking_in import TakingIn, Tools
from gateway.store.events import event_fields
from gateway.store.index import BoxRecord

log = structlog.get_logger(__name__)


class MailboxSync:
    """Takes in what happened in a mailbox since it was last looked at."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def run(
        self,
        session: Session,
        owned: Owned,
        box: BoxRecord,
        *,
        entries: bool,
        new: bool = False,
        lost: bool = False,
        revision: str | None = None,
    ) -> BoxRecord:
        """Bring index and log up to date with a mailbox, and return its new record.

        Args:
            session: open, used by nobody else.
            owned: the account.
            box: the mailbox as it is known.
            entries: hold the entries of its messages, because it is watched.
            new: tell of the mailbox before its messages.
            lost: tell that what was known of it is lost.
            revision: what the provider told of the mailbox beforehand.

        Raises:
            NotFoundError: there is no such mailbox any more.
            FencedError: another worker owns the account.
            ProviderError: the service could not be asked; what was taken in before is kept.
        """
        box, found = await self._found(session, owned, box, lost=lost)
        if new:
            box = await self._tell(owned, msgspec.structs.replace(box, uid_validity=found.uid_validity))
        taking_in = TakingIn(self._tools, session, owned, box, found, entries=entries)
        if owned.only_new:
            await taking_in.tell_new_only()
        else:
            await taking_in.everything()
        after = msgspec.structs.replace(
            box,
            state=found.state,
            revision=revision,
            uid_validity=found.uid_validity,
            entries=entries and not owned.only_new,
            top=max(box.top, found.top),
            count=taking_in.count,
            announce="all",
        )
        await taking_in.writer.flush(box=after if after != box else None)
        return after

    async def _found(
        self, session: Session, owned: Owned, box: BoxRecord, *, lost: bool
    ) -> tuple[BoxRecord, Collected]:
        """Ask what happened; a mailbox that was made anew, or whose index was lost, starts again without announcing.

        It is read before that is told: what comes after `mailboxReset` is announced.
        """
        lost = lost or (box.state is not None and await self._tools.index.lost(owned.account, box))
        try:
            found = await collect(session, box.path, None if lost else box.state)
        except MailboxResetError as error:
            found = await collect(session, box.path, None)
            return await self._reset(owned, box, validity=error.details.get("uid_validity"), lost=False), found
        except CursorExpiredError:
            log.info("sync_state_expired", account=owned.account)
            found = await collect(session, box.path, None)
        if lost:
            box = await self._reset(owned, box, validity=found.uid_validity, lost=True)
        return box, found

    async def _tell(self, owned: Owned, box: BoxRecord) -> BoxRecord:
        events, data = self._tools.events, payloads.mailbox_new(box)
        event = events.make("mailboxNew", owned.account, data, path=box.path, special_use=box.special_use)
        await self._tools.index.apply(owned.account, owned.epoch, box.path, box=box, events=[event_fields(event)])
        await events.announce(owned.account)
        return box

    async def _reset(self, owned: Owned, box: BoxRecord, *, validity: int | None, lost: bool) -> BoxRecord:
        """Forget what is known of a mailbox and say so; its messages are read anew without being announced."""
        events = self._tools.events
        data = payloads.mailbox_reset(box, validity=validity, lost=lost)
        event = events.make("mailboxReset", owned.account, data, path=box.path, special_use=box.special_use)
        fresh = BoxRecord(path=box.path, name=box.name, special_use=box.special_use, announce="nothing")
        await self._tools.index.forget(owned.account, owned.epoch, box.path, event_fields(event), instead=fresh)
        await events.announce(owned.account)
        return fresh
