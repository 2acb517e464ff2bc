"""What the owner of an account knows of it while it syncs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from gateway.model.message import Mailbox
from gateway.store.accounts import AccountConfig, IndexState


class Owned(msgspec.Struct, frozen=True, kw_only=True):
    """An account and the right to write about it.

    Attributes:
        epoch: of its ownership.
        index: of its mail. A mailbox that is not known is news when the index is whole, and only then.
    """

    config: AccountConfig
    epoch: int
    index: IndexState

    @property
    def account(self) -> str:
        """Its id."""
        return self.config.account

    @property
    def notify_from(self) -> datetime | None:
        """Messages that arrived earlier are not announced."""
        return self.config.notify_from or self.config.created

    @property
    def only_new(self) -> bool:
        """The fast indexer: nothing is told but new messages."""
        return self.config.imap_indexer == "fast"

    def tracked(self, mailboxes: Sequence[Mailbox]) -> list[Mailbox]:
        """Return the mailboxes that are synced: all that hold messages, or those that the account's `path` names."""
        chosen = self.config.path
        holding = [mailbox for mailbox in mailboxes if not mailbox.no_select]
        if not chosen or "*" in chosen:
            return holding
        return [mailbox for mailbox in holding if any(_names(path, mailbox) for path in chosen)]

    def watched(self, mailboxes: Sequence[Mailbox]) -> list[Mailbox]:
        """Return the mailboxes that have a connection of their own: the inbox, else the first, and `subconnections`."""
        tracked = self.tracked(mailboxes)
        primary = next((mailbox for mailbox in tracked if mailbox.special_use == "\\Inbox"), None)
        first = [primary] if primary is not None else tracked[:1]
        others = [
            mailbox
            for mailbox in mailboxes
            if not mailbox.no_select and any(_names(path, mailbox) for path in self.config.subconnections)
        ]
        return first + [mailbox for mailbox in others if mailbox not in first]


def _names(path: str, mailbox: Mailbox) -> bool:
    if path.startswith("\\"):
        return mailbox.special_use is not None and mailbox.special_use.lower() == path.lower()
    return path == mailbox.path or (path.upper() == "INBOX" and mailbox.special_use == "\\Inbox")
