"""Whether an account's mailboxes are still those that were looked at."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from gateway.errors import AccountError, PermanentError
from gateway.provider import Session
from gateway_workers.watching.tools import WatchTools

log = structlog.get_logger()


class MailboxList:
    """Has every mailbox looked at soon after one is new, renamed or gone, where the service tells that cheaply.

    Elsewhere that is found with everything else.
    """

    def __init__(self, tools: WatchTools, account: str, sync: Callable[[], None]) -> None:
        """Prepare; `sync` has every mailbox looked at."""
        self._tools = tools
        self._account = account
        self._sync = sync
        self._state: str | None = None
        self._ask_at: float | None = None
        self._told = True

    async def ask(self, session: Session) -> None:
        """Ask if it is time; the first time, before the mailboxes are listed, only for the state to ask from.

        Raises:
            TransientError: the service could not be asked.
        """
        now = self._tools.clock()
        if not self._told or (self._ask_at is not None and now < self._ask_at):
            return
        # Also while this question is under way, which other watches of the account do not have to ask, too.
        self._ask_at = now + self._tools.periods.mailboxes
        try:
            changes = await session.mailbox_changes(self._state)
        except (PermanentError, AccountError) as error:
            # Some clouds of Microsoft do not know this question; what else is wrong, other questions show.
            log.info("mailboxes_not_followed", account=self._account, error=type(error).__name__)
            changes = None
        if changes is None:
            self._told = False
            return
        self._state = changes.state
        if changes.changed:
            self._sync()
