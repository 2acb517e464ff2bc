"""An open connection to one account."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime

from gateway.errors import UnsupportedOperationError
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
from gateway.provider.mail import (
    AttachmentStream,
    Changes,
    Envelope,
    MailboxChanges,
    MessagePage,
    PageRequest,
    Quota,
    Signature,
    SubmitReceipt,
)
from gateway.provider.one_by_one import one_by_one
from gateway.provider.push import Push
from gateway.provider.source import MessageSource
from gateway.provider.structs import Capability
from gateway.provider.watch import Watch

#: Messages on a page when all that match are wanted.
_SEARCH_PAGE = 1000


class Session(ABC):
    """An open connection to one account, used by one task at a time; the worker keeps it warm.

    A session may connect at its first use. A `TransientError` leaves it unusable: the worker closes it and opens
    another. A `PermanentError` leaves it as it was.

    Attributes:
        readers: sessions of one account that may read at the same time, one that may download not counted. More than
            one are opened while many wait, or one for a download, for services far away that do one thing at a time on
            a connection and allow a few connections.
        deadline: until when whoever uses the session can wait, in seconds of `time.monotonic`; None when nobody said. A
            session that waits because its service asks for it ends with `RateLimitError` rather than later.
        all_mail: what all mail of the account is shown as where it can be listed and searched at once, by the path that
            this has; None where it cannot. It is not one of `mailboxes`, lest everything be taken in twice.
        trash_is_deletion: whether clients are told of a message put into the trash that it was deleted, and where it is
            now, as on services whose own deletion it is; over IMAP they are told that it was not.
    """

    readers: int = 1
    deadline: float | None = None
    all_mail: Mailbox | None = None
    trash_is_deletion: bool = False

    @abstractmethod
    async def check(self) -> None:
        """Connect and log in if that has not happened, and prove that the mailbox answers.

        Raises:
            ConnectError: not reachable.
            ReauthorizationError: the login was refused.
            MailboxUnavailableError: signed in, but the mailbox cannot be opened.
        """

    @abstractmethod
    async def mailboxes(self, *, counters: bool = False) -> Sequence[Mailbox]:
        """Return every mailbox, exactly one of them with the special use ``\\Inbox``, which comes first.

        One that has an `id` and no UIDs keeps ids, positions and states of its messages when it is renamed.

        Args:
            counters: fill `Mailbox.status` with live numbers.
        """

    @abstractmethod
    async def messages(self, mailbox: str, page: PageRequest) -> MessagePage:
        """Return one page of a mailbox, newest first; a page after the last one is empty.

        Raises:
            NotFoundError: there is no such mailbox.
            CursorExpiredError: the cursor can no longer be continued.
        """

    @abstractmethod
    async def message(
        self, id: str, *, text_type: TextType | None = None, max_bytes: int | None = None, mark_as_seen: bool = False
    ) -> MessageDetail:
        """Return one message with headers and attachment list, and its text if `text_type` is given.

        Args:
            id: of the message.
            text_type: which text: "plain", "html" or "*" for both; None for no text.
            max_bytes: at most this many octets of each text part; `MessageText.has_more` tells that it cut.
            mark_as_seen: also set ``\\Seen``.

        Raises:
            NotFoundError: there is no such message.
            InvalidIdentifierError: the id cannot be this provider's.
        """

    @abstractmethod
    async def text(self, id: str, *, text_type: TextType = "*", max_bytes: int | None = None) -> MessageText:
        """Return body text by the `text.id` of a listing."""

    @abstractmethod
    def source(self, id: str) -> AsyncIterator[bytes]:
        """Stream the message as RFC 5322 octets, unchanged. Raises like `message`, at the first step."""

    async def source_size(self, id: str) -> int | None:
        """Return the exact number of octets of `source`; None when the service does not tell. Raises like `message`.

        It may be asked for while the source is being read.
        """
        return None

    @abstractmethod
    async def attachment(self, id: str) -> AttachmentStream:
        """Open one attachment; its chunks must be read before the session is used again."""

    async def search(self, mailbox: str, query: SearchQuery, page: PageRequest) -> MessagePage:
        """Return a page of the messages that match, newest first."""
        raise UnsupportedOperationError("search is not supported", capability=Capability.SEARCH.value)

    async def update_flags(self, id: str, update: FlagUpdate) -> tuple[str, ...]:
        """Change system flags and keywords (RFC 9051 section 2.3.2) and return the flags afterwards."""
        raise UnsupportedOperationError("flags cannot be changed", capability=Capability.FLAGS.value)

    async def update_labels(self, id: str, update: FlagUpdate) -> tuple[str, ...]:
        """Change labels (categories) and return the labels afterwards."""
        raise UnsupportedOperationError("labels are not supported", capability=Capability.LABELS.value)

    async def move(self, id: str, mailbox: str) -> str | None:
        """Move a message and return the id it has now; None when the service does not tell."""
        raise UnsupportedOperationError("moving is not supported", capability=Capability.MOVE.value)

    async def copy(self, id: str, mailbox: str) -> str | None:
        """Copy a message and return the id of the copy; None when the service does not tell."""
        raise UnsupportedOperationError("copying is not supported", capability=Capability.COPY.value)

    async def delete(self, id: str) -> None:
        """Delete a message for good, not into the trash."""
        raise UnsupportedOperationError("deleting is not supported", capability=Capability.DELETE.value)

    def uid(self, id: str) -> int | None:
        """Return the UID (RFC 9051 section 2.3.1.1) that the id of a message stands for; None where there are none."""
        return None

    # Many messages at once. A service that can do them in a few requests overrides these.

    async def search_ids(self, mailbox: str, query: SearchQuery) -> Sequence[str]:
        """Return the id of every message that matches, newest first."""
        ids: dict[str, None] = {}
        page = PageRequest(size=_SEARCH_PAGE)
        while True:
            found = await self.search(mailbox, query, page)
            ids |= dict.fromkeys(entry.id for entry in found.messages)
            if found.next_cursor is None:
                return list(ids)
            page = PageRequest(size=_SEARCH_PAGE, cursor=found.next_cursor)

    async def update_many(self, ids: Sequence[str], update: MessageUpdate) -> Sorted:
        """Change flags and labels of messages of one mailbox.

        Neither this nor the other two raise because of a message or a broken connection: the result tells.
        """

        async def change(id: str) -> str:
            if update.flags is not None:
                await self.update_flags(id, update.flags)
            if update.labels is not None:
                await self.update_labels(id, update.labels)
            return id

        return await one_by_one(ids, change)

    async def move_many(self, ids: Sequence[str], mailbox: str) -> Sorted:
        """Move messages of one mailbox; see `update_many`.

        Raises:
            NotFoundError: there is no such mailbox to move them to; none was moved.
        """
        return await one_by_one(ids, lambda id: self.move(id, mailbox))

    async def delete_many(self, ids: Sequence[str]) -> Sorted:
        """Delete messages of one mailbox for good; see `update_many`."""

        async def change(id: str) -> None:
            await self.delete(id)

        return await one_by_one(ids, change)

    async def append(
        self, mailbox: str, message: bytes | MessageSource, *, flags: Sequence[str] = (), date: datetime | None = None
    ) -> AppendResult:
        """Store a message as it is (RFC 9051 section 6.3.12).

        A large one comes as a source: `MessageSource.of` makes one of either, and `octets` of that the whole message,
        which may be more than a worker should hold.
        """
        raise UnsupportedOperationError("storing is not supported", capability=Capability.APPEND.value)

    async def mailbox_path(self, path: str) -> str:
        """Return the path by which `mailboxes` lists a mailbox that callers may write in other ways, as ``inbox``.

        Raises:
            NotFoundError: there is no such mailbox; where the service has but one way to write a path, it is returned.
        """
        return path

    async def create_mailbox(self, path: str) -> bool:
        """Create a mailbox, subscribed where there is that; False when it existed."""
        raise UnsupportedOperationError("mailboxes cannot be created", capability=Capability.MAILBOXES.value)

    async def rename_mailbox(self, path: str, new_path: str) -> None:
        """Rename a mailbox with everything below it; it stays subscribed, or not."""
        raise UnsupportedOperationError("mailboxes cannot be renamed", capability=Capability.MAILBOXES.value)

    async def delete_mailbox(self, path: str) -> None:
        """Delete a mailbox and its messages."""
        raise UnsupportedOperationError("mailboxes cannot be deleted", capability=Capability.MAILBOXES.value)

    async def subscribe_mailbox(self, path: str, subscribed: bool) -> None:
        """Have a mailbox among those that are subscribed (RFC 9051 section 6.3.7), or no longer."""
        raise UnsupportedOperationError("mailboxes have no subscriptions", capability=Capability.SUBSCRIBE.value)

    async def check_submit(self) -> None:
        """Connect and log in to the submission service. Raises like `check`."""
        raise UnsupportedOperationError("sending is not supported", capability=Capability.SUBMIT.value)

    async def submit(self, message: bytes | MessageSource, envelope: Envelope) -> SubmitReceipt:
        """Hand a message over for delivery (RFC 6409); a large one comes as a source, as to `append`.

        Raises:
            MessageRefusedError: sender, all recipients or content were refused for good.
            OutcomeUnknownError: the connection broke after the message was handed over.
        """
        raise UnsupportedOperationError("sending is not supported", capability=Capability.SUBMIT.value)

    async def submit_draft(self, id: str) -> SubmitReceipt:
        """Send a stored draft and remove it from the drafts."""
        raise UnsupportedOperationError("drafts are not supported", capability=Capability.DRAFTS.value)

    async def changes(self, mailbox: str, since: str | None) -> Changes:
        """Return what may have happened since a state; None asks for every message there is.

        This is the truth: everything the gateway announces comes from here. The same state may be asked from again,
        also by another session. A service without history answers `complete` every time.

        Raises:
            NotFoundError: there is no such mailbox.
            CursorExpiredError: the state cannot be continued from; start again from None, ids are as good as before.
            MailboxResetError: likewise, and no id of before is good any more.
        """
        raise UnsupportedOperationError("changes are not supported", capability=Capability.CHANGES.value)

    async def entries(self, mailbox: str, ids: Sequence[str]) -> Sequence[MessageEntry]:
        """Return up to 500 messages of a mailbox as a listing shows them, in any order; those gone are left out.

        Raises:
            NotFoundError: there is no such mailbox.
        """
        raise UnsupportedOperationError("changes are not supported", capability=Capability.CHANGES.value)

    async def revisions(self) -> Mapping[str, str | None]:
        """Return for each mailbox that can hold messages a token that differs when its messages or their flags do.

        None where the service does not tell that cheaply: then only `changes` knows.
        """
        return {mailbox.path: None for mailbox in await self.mailboxes() if not mailbox.no_select}

    async def mailbox_changes(self, since: str | None) -> MailboxChanges | None:
        """Tell whether the list of mailboxes is worth reading anew, in fewer calls than that takes.

        It is asked once a minute at most. None when only `mailboxes` knows.

        Args:
            since: the state of an answer before, also another session's; None for the first question, to which nothing
                has changed. One that the service has forgotten is no error: mailboxes may have changed then.
        """
        return None

    async def watch(self, mailbox: str) -> Watch:
        """Return a way to learn that asking for changes is worth it: a hint, never the truth.

        Until the watch is closed the session does nothing else.

        Raises:
            NotFoundError: there is no such mailbox.
        """
        raise UnsupportedOperationError("watching is not supported", capability=Capability.WATCH.value)

    async def push(self) -> Push:
        """Return the account's subscriptions at the service; good as long as the session.

        Raises:
            UnsupportedOperationError: the service does not call for this account; the text says why.
        """
        raise UnsupportedOperationError("the service does not call", capability=Capability.PUSH.value)

    async def quota(self) -> Quota | None:
        """Return the account's quota, None when it has none."""
        raise UnsupportedOperationError("quota is not supported", capability=Capability.QUOTA.value)

    async def signatures(self) -> Sequence[Signature]:
        """Return the signatures kept at the provider."""
        raise UnsupportedOperationError("signatures are not supported", capability=Capability.SIGNATURES.value)
