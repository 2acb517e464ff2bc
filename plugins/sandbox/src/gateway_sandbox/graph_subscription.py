"""One subscription."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants to be told of what.

    Attributes:
        creator: the address of the person who signed in, or the app's id.
        folder: the mailbox's number; 0 for all messages.
        change_type: in lower case, with commas.
        immutable: whether it was created with a preference for immutable ids.
        authorized: whether it may send; after ``reauthorizationRequired`` not before it was reauthorized or renewed.
        silent: created with a delegated token for somebody else's mailbox: taken, but nothing ever comes.
    """

    id: str
    creator: str
    mailbox: str
    folder: int
    change_type: str
    expires: datetime
    notification_url: str
    resource: str
    lifecycle_url: str | None = None
    client_state: str | None = None
    immutable: bool = False
    authorized: bool = True
    silent: bool = False

    def wants(self, mailbox: str, folder: int, change_type: str) -> bool:
        """Return whether it is about a change."""
        here = self.mailbox == mailbox and self.folder in (0, folder)
        return here and self.authorized and not self.silent and change_type in self.change_type.split(",")

    def same_as(self, other: Subscription) -> bool:
        """Return whether two are about the same changes, for the same app."""
        return (self.creator, self.mailbox, self.folder, set(self.change_type.split(","))) == (
            (other.creator, other.mailbox, other.folder, set(other.change_type.split(",")))
        )
