"""A session: the operations of the contract, each handed to the part that does it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime

from gateway.errors import MailboxUnavailableError, NotFoundError, Remedy, UnsupportedOperationError
from gateway.model.bulk import Sorted
from gateway.model.message import (
    AppendResult,
    FlagUpdate,
    Mailbox,
    MessageDetail,
    MessageEntry,
    MessageText,
    MessageUpdate,
    SearchQuery,
    TextType,
)
from gateway.provider import (
    Account,
    AttachmentStream,
    Changes,
    Clock,
    Envelope,
    MailboxChanges,
    MessagePage,
    MessageSource,
    PageRequest,
    PollWatch,
    Push,
    Session,
    SubmitReceipt,
    Watch,
)
from gateway_outlook_graph.changing import Changing
from gateway_outlook_graph.client import GraphClient
from gateway_outlook_graph.folder_changes import FolderChanges
from gateway_outlook_graph.folders import Mailboxes
from gateway_outlook_graph.following import Following
from gateway_outlook_graph.listing import Listing
from gateway_outlook_graph.many import Many
from gateway_outlook_graph.pushing import GraphPush
from gateway_outlook_graph.reading import Reading
from gateway_outlook_graph.resources import Folder
from gateway_outlook_graph.scope import ALL_MAIL
from gateway_outlook_graph.searching import Searching
from gateway_outlook_graph.storing import Storing
from gateway_outlook_graph.submitting import Submitting

#: Seconds between two looks for changes.
POLL_PERIOD = 15.0


class GraphSession(Session):
    """One mailbox over Graph. Nothing is connected to stay: a call that fails leaves the session as it was."""

    # A session costs nothing by itself, and Exchange takes four calls of a mailbox at once.
    readers: int = 4
    all_mail: Mailbox | None = ALL_MAIL
    # https://learn.microsoft.com/graph/api/message-delete: to delete is to put into Deleted Items.
    trash_is_deletion: bool = True

    def __init__(
        self, client: GraphClient, account: Account, clock: Callable[[], float], now: Clock, *, foreign: bool
    ) -> None:
        """Prepare.

        Args:
            client: of the mailbox.
            account: whose it is.
            clock: monotonic seconds.
            now: aware UTC.
            foreign: whether a person opens the mailbox of somebody else.
        """
        self._client = client
        self._mailboxes = Mailboxes(client, account.special_use, clock)
        self._reading = Reading(client, self._mailboxes)
        self._listing = Listing(client, self._mailboxes)
        self._searching = Searching(client, self._mailboxes, self._reading, self._listing)
        self._changing = Changing(client, self._mailboxes, self._reading)
        self._storing = Storing(client, self._mailboxes)
        self._submitting = Submitting(client, account)
        self._many = Many(client, self._mailboxes, self._reading, self._changing)
        self._following = Following(client, self._mailboxes, self._reading)
        self._folder_changes = FolderChanges(client)
        self._push = GraphPush(client, self._mailboxes, self._reading, now)
        self._foreign = foreign

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @property
    def deadline(self) -> float | None:
        """Until when pauses are waited for that the service asks for; see `gateway.provider.Session`."""
        return self._client.until

    @deadline.setter
    def deadline(self, moment: float | None) -> None:
        self._client.until = moment

    async def close(self) -> None:
        """End what is open."""
        await self._reading.close()

    async def check(self) -> None:
        """Prove that the token is good for this mailbox: the inbox can be read."""
        try:
            await self._client.get(Folder, "/mailFolders/inbox", {"$select": "id"})
        except NotFoundError as error:
            # What Exchange tells a stranger about somebody else's mailbox.
            raise MailboxUnavailableError(_NO_ACCESS.title, native_code=error.native_code, remedy=_NO_ACCESS) from error

    async def mailboxes(self, *, counters: bool = False) -> Sequence[Mailbox]:
        """Return every mailbox, the inbox first."""
        return await self._mailboxes.listed(counters=counters)

    async def messages(self, mailbox: str, page: PageRequest) -> MessagePage:
        """Return one page of a mailbox, newest first."""
        return await self._listing.page(mailbox, page)

    async def message(
        self, id: str, *, text_type: TextType | None = None, max_bytes: int | None = None, mark_as_seen: bool = False
    ) -> MessageDetail:
        """Return one message."""
        if mark_as_seen:
            await self._changing.flags(id, FlagUpdate(add="\\Seen"))
        return await self._reading.detail(id, text_type=text_type, max_bytes=max_bytes)

    async def text(self, id: str, *, text_type: TextType = "*", max_bytes: int | None = None) -> MessageText:
        """Return body text; the id is that of the message."""
        return await self._reading.text(id, text_type=text_type, max_bytes=max_bytes)

    def source(self, id: str) -> AsyncIterator[bytes]:
        """Stream the message as MIME."""
        return self._reading.source(id)

    async def attachment(self, id: str) -> AttachmentStream:
        """Open one attachment."""
        return await self._reading.attachment(id)

    async def search(self, mailbox: str, query: SearchQuery, page: PageRequest) -> MessagePage:
        """Return a page of the messages that match, newest first."""
        return await self._searching.page(mailbox, query, page)

    async def update_flags(self, id: str, update: FlagUpdate) -> tuple[str, ...]:
        """Change flags; Graph keeps ``\\Seen``, ``\\Flagged`` and ``\\Answered``."""
        return await self._changing.flags(id, update)

    async def update_labels(self, id: str, update: FlagUpdate) -> tuple[str, ...]:
        """Change categories."""
        return await self._changing.labels(id, update)

    async def move(self, id: str, mailbox: str) -> str | None:
        """Move a message; its id stays."""
        return await self._changing.move(id, mailbox)

    async def copy(self, id: str, mailbox: str) -> str | None:
        """Copy a message."""
        return await self._changing.copy(id, mailbox)

    async def delete(self, id: str) -> None:
        """Delete a message for good."""
        await self._changing.delete(id)

    async def search_ids(self, mailbox: str, query: SearchQuery) -> Sequence[str]:
        """Return the id of every message that matches, newest first."""
        return await self._searching.ids(mailbox, query)

    async def update_many(self, ids: Sequence[str], update: MessageUpdate) -> Sorted:
        """Change flags and categories of messages."""
        return await self._many.update(ids, update)

    async def move_many(self, ids: Sequence[str], mailbox: str) -> Sorted:
        """Move messages."""
        return await self._many.move(ids, mailbox)

    async def delete_many(self, ids: Sequence[str]) -> Sorted:
        """Delete messages for good."""
        return await self._many.delete(ids)

    async def append(
        self, mailbox: str, message: bytes | MessageSource, *, flags: Sequence[str] = (), date: datetime | None = None
    ) -> AppendResult:
        """Store a message."""
        return await self._storing.append(mailbox, MessageSource.of(message), flags=flags, date=date)

    async def mailbox_path(self, path: str) -> str:
        """Return the path by which a folder is listed."""
        return await self._mailboxes.path(path)

    async def create_mailbox(self, path: str) -> bool:
        """Create a folder, and those above it that are not there."""
        return await self._mailboxes.create(path)

    async def rename_mailbox(self, path: str, new_path: str) -> None:
        """Rename or move a folder."""
        await self._mailboxes.rename(path, new_path)

    async def delete_mailbox(self, path: str) -> None:
        """Delete a folder for good."""
        await self._mailboxes.delete(path)

    async def check_submit(self) -> None:
        """Prove that the token is good: Graph sends with the one that it reads with."""
        await self.check()

    async def submit(self, message: bytes | MessageSource, envelope: Envelope) -> SubmitReceipt:
        """Send a message."""
        return await self._submitting.message(MessageSource.of(message), envelope)

    async def submit_draft(self, id: str) -> SubmitReceipt:
        """Send a draft."""
        return await self._submitting.draft(id)

    async def changes(self, mailbox: str, since: str | None) -> Changes:
        """Return what changed since a state."""
        return await self._following.changes(mailbox, since)

    async def entries(self, mailbox: str, ids: Sequence[str]) -> Sequence[MessageEntry]:
        """Return messages as a listing shows them."""
        return await self._following.entries(mailbox, ids)

    async def mailbox_changes(self, since: str | None) -> MailboxChanges:
        """Tell whether folders are new, renamed or gone."""
        return await self._folder_changes.since(since)

    async def watch(self, mailbox: str) -> Watch:
        """Return how often to ask."""
        await self._mailboxes.folder(mailbox)
        return PollWatch(period=POLL_PERIOD)

    async def push(self) -> Push:
        """Return the account's subscriptions.

        Microsoft takes one for a mailbox that somebody else opens, and then never calls: an app has to ask for it
        (https://learn.microsoft.com/graph/outlook-change-notifications-overview).
        """
        if self._foreign:
            raise UnsupportedOperationError("Microsoft tells a person only of changes to their own mailbox")
        return self._push


_NO_ACCESS = Remedy(
    code="no_access",
    title="this mailbox is not there, or not open to the account",
    who="user",
    steps=(
        "Check the address of the mailbox.",
        "Have an administrator give you full access to it, and wait up to an hour.",
    ),
)
