"""Where messages are listed and searched: in one folder, or in all of them at once.

https://learn.microsoft.com/graph/api/user-list-messages
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.model.message import Mailbox, MessageEntry
from gateway_outlook_graph import mapping
from gateway_outlook_graph.client import path
from gateway_outlook_graph.folders import DELIMITER, Mailboxes
from gateway_outlook_graph.resources import Message

#: What all mail is shown as. It is no folder: nothing can be put into it.
ALL_MAIL = Mailbox(
    path="\\All",
    name="All Mail",
    delimiter=DELIMITER,
    listed=True,
    subscribed=True,
    no_select=True,
    special_use="\\All",
    special_use_source="extension",
)


class Scope(NamedTuple):
    """A folder by its id; None for all mail."""

    folder: str | None

    @property
    def messages(self) -> str:
        """The path of its messages."""
        return path("messages") if self.folder is None else path("mailFolders", self.folder, "messages")

    def holds(self, message: Message) -> bool:
        """Tell whether a message is in it."""
        return self.folder is None or message.parent_folder_id == self.folder


async def scope_of(mailboxes: Mailboxes, mailbox: str) -> Scope:
    """Return what is meant by the path of a mailbox, or by a special use.

    Raises:
        NotFoundError: there is no such mailbox.
    """
    if mailbox.lower() == ALL_MAIL.path.lower():
        return Scope(None)
    return Scope(await mailboxes.folder(mailbox))


async def entries(mailboxes: Mailboxes, messages: Sequence[Message]) -> tuple[MessageEntry, ...]:
    """Return messages as a listing shows them, each with the path of the folder that it is in."""
    places = await mailboxes.places({message.parent_folder_id for message in messages})
    return tuple(mapping.entry(message, *places[message.parent_folder_id]) for message in messages)
