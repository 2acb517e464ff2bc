"""Everything that can be asked of a worker: the allowlist.

A job names its operation; a name that is not here is refused and never looked up anywhere else. RQ itself would
import whatever dotted path stands in Redis.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from gateway.model.message import MessageUpdate, SearchQuery, TextType
from gateway.model.stream import OctetRange

Lane = Literal["read", "send", "background", "webhook", "export"]

#: The queue of each lane; every lane has workers' slots of its own, so that none can starve another. Beside it, every
#: worker has one for the accounts that it owns, see `gateway.redis.keys.own_queue`.
QUEUES: dict[Lane, str] = {
    "read": "mail",
    "send": "send",
    "background": "background",
    "webhook": "webhook",
    "export": "export",
}

#: How long, in seconds, a job that nobody waits for may run.
TIME_LIMITS: dict[Lane, int] = {"read": 120, "send": 300, "background": 600, "webhook": 300, "export": 120}


class Arguments(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the argument structs."""

    @property
    def changes_mail(self) -> bool:
        """Whether the operation may change what is in the account's mailboxes."""
        return False


class ChangeArguments(Arguments, frozen=True, kw_only=True):
    """Base of the argument structs of operations that change mail."""

    @property
    def changes_mail(self) -> bool:
        """See `Arguments.changes_mail`."""
        return True


class NoArguments(Arguments, frozen=True, kw_only=True):
    """For operations that need only the account."""


class ListMailboxes(Arguments, frozen=True, kw_only=True):
    """`counters` asks for live numbers of each mailbox."""

    counters: bool = False


class ListMessages(Arguments, frozen=True, kw_only=True):
    """One page of a mailbox; `page` counts from 0, a cursor wins over it."""

    path: str
    page: int = 0
    page_size: int = 20
    cursor: str | None = None


class SearchMessages(Arguments, frozen=True, kw_only=True):
    """One page of what a search finds in a mailbox; `page` counts from 0, a cursor wins over it.

    Without a path it is all mail, where the provider has that, else the inbox.
    """

    query: SearchQuery
    path: str | None = None
    page: int = 0
    page_size: int = 20
    cursor: str | None = None


class FindNewest(Arguments, frozen=True, kw_only=True):
    """The newest message of a thread; those of the addresses `own` only when there are no others."""

    thread: str
    own: tuple[str, ...] = ()


class GetMessage(Arguments, frozen=True, kw_only=True):
    """One message; no text unless `text_type` is given, at most `max_bytes` octets of each part."""

    message: str
    text_type: TextType | None = None
    max_bytes: int | None = None
    mark_as_seen: bool = False
    safe_html: bool = False
    embed_images: bool = False

    @property
    def changes_mail(self) -> bool:
        """See `Arguments.changes_mail`."""
        return self.mark_as_seen


class GetText(Arguments, frozen=True, kw_only=True):
    """Body text by its id."""

    text: str
    text_type: TextType = "*"
    max_bytes: int | None = None
    safe_html: bool = False


class DownloadArguments(Arguments, frozen=True, kw_only=True):
    """What is downloaded; `range` is honoured if the size of the whole is known beforehand."""

    range: OctetRange | None = None


class GetSource(DownloadArguments, frozen=True, kw_only=True):
    """The octets of one message."""

    message: str


class GetAttachment(DownloadArguments, frozen=True, kw_only=True):
    """The octets of one attachment."""

    attachment: str


class UpdateMessage(ChangeArguments, frozen=True, kw_only=True):
    """A change of flags or labels."""

    message: str
    update: MessageUpdate


class MoveMessage(ChangeArguments, frozen=True, kw_only=True):
    """Where to move a message."""

    message: str
    path: str


class DeleteMessage(ChangeArguments, frozen=True, kw_only=True):
    """`force` deletes for good what would otherwise go to the trash."""

    message: str
    force: bool = False


class BulkArguments(ChangeArguments, frozen=True, kw_only=True):
    """All messages of a mailbox that a search finds."""

    path: str
    query: SearchQuery


class UpdateMessages(BulkArguments, frozen=True, kw_only=True):
    """A change of flags or labels of many messages."""

    update: MessageUpdate


class MoveMessages(BulkArguments, frozen=True, kw_only=True):
    """Where to move many messages."""

    destination: str


class DeleteMessages(BulkArguments, frozen=True, kw_only=True):
    """`force` deletes for good what would otherwise go to the trash."""

    force: bool = False


class AppendMessage(ChangeArguments, frozen=True, kw_only=True):
    """A message (RFC 5322 octets) to store."""

    path: str
    content: bytes
    flags: tuple[str, ...] = ()
    date: datetime | None = None


class CreateMailbox(ChangeArguments, frozen=True, kw_only=True):
    """The path of the new mailbox."""

    path: str


class ChangeMailbox(ChangeArguments, frozen=True, kw_only=True):
    """The path of a mailbox, and what is to be changed of it."""

    path: str
    new_path: str | None = None
    subscribed: bool | None = None


class DeleteMailbox(ChangeArguments, frozen=True, kw_only=True):
    """The path of the mailbox to delete."""

    path: str


class VerifyAccount(Arguments, frozen=True, kw_only=True):
    """Connection settings to try, encrypted: job data can be read by everybody who can read Redis."""

    sealed: bytes


class VerifyOAuth2(Arguments, frozen=True, kw_only=True):
    """Whether the grant of an account works for an app, and optionally whether the mailbox opens with it."""

    app: str
    account: str
    test_connection: bool = False


class SendSubmission(ChangeArguments, frozen=True, kw_only=True):
    """The outbox entry to send; the entry, not the job, is the truth of a send."""

    queue_id: str


class ResolveSubmission(Arguments, frozen=True, kw_only=True):
    """The outbox entry of which nobody knows whether it was sent."""

    queue_id: str


class RunExport(Arguments, frozen=True, kw_only=True):
    """The export to go on with; its record, not the job, tells how far it has come."""

    export: str


class DeliverWebhooks(Arguments, frozen=True, kw_only=True):
    """The endpoint that the account's new events go to."""

    endpoint: str


class TestWebhook(Arguments, frozen=True, kw_only=True):
    """The endpoint that a test event goes to; as one account's if it is named, which need not own the job."""

    __test__ = False

    endpoint: str
    for_account: str | None = None


class Operation(msgspec.Struct, frozen=True):
    """One thing that can be asked for.

    Attributes:
        name: what stands in the job, "resource.verb".
        arguments: the struct of its arguments.
        lane: which queue and which slots it uses.
        repeatable: running it a second time, after a worker died or a connection broke, does no harm.
        streams: it answers with a stream of octets.
        beside: unless its arguments change mail, it may be done at the same time as other jobs of the account.
    """

    name: str
    arguments: type[Arguments]
    lane: Lane
    repeatable: bool
    streams: bool = False
    beside: bool = False

    @property
    def queue(self) -> str:
        """The queue its jobs go to."""
        return QUEUES[self.lane]

    @property
    def routed(self) -> bool:
        """Whether the jobs of an account go to the worker that owns it; webhooks need no connection to its mail."""
        return self.lane != "webhook"

    @property
    def session_lane(self) -> str:
        """Which of an account's sessions it uses; a slow download must not hold up the account's other reads."""
        return "stream" if self.streams else self.lane

    @property
    def changes_mailboxes(self) -> bool:
        """Whether there are other mailboxes afterwards."""
        return self.arguments in (CreateMailbox, ChangeMailbox, DeleteMailbox)


MAILBOXES_LIST = Operation("mailboxes.list", ListMailboxes, "read", repeatable=True, beside=True)
MAILBOXES_CREATE = Operation("mailboxes.create", CreateMailbox, "read", repeatable=False)
MAILBOXES_CHANGE = Operation("mailboxes.change", ChangeMailbox, "read", repeatable=False)
MAILBOXES_DELETE = Operation("mailboxes.delete", DeleteMailbox, "read", repeatable=False)

MESSAGES_LIST = Operation("messages.list", ListMessages, "read", repeatable=True, beside=True)
MESSAGES_SEARCH = Operation("messages.search", SearchMessages, "read", repeatable=True, beside=True)
MESSAGES_NEWEST = Operation("messages.newest", FindNewest, "read", repeatable=True, beside=True)
MESSAGES_GET = Operation("messages.get", GetMessage, "read", repeatable=True, beside=True)
MESSAGES_TEXT = Operation("messages.text", GetText, "read", repeatable=True, beside=True)
# Its reader may already have had a part of the octets.
MESSAGES_SOURCE = Operation("messages.source", GetSource, "read", repeatable=False, streams=True, beside=True)
MESSAGES_ATTACHMENT = Operation(
    "messages.attachment", GetAttachment, "read", repeatable=False, streams=True, beside=True
)
MESSAGES_UPDATE = Operation("messages.update", UpdateMessage, "read", repeatable=True)
MESSAGES_MOVE = Operation("messages.move", MoveMessage, "read", repeatable=False)
MESSAGES_DELETE = Operation("messages.delete", DeleteMessage, "read", repeatable=False)
MESSAGES_APPEND = Operation("messages.append", AppendMessage, "read", repeatable=False)

# A repetition would answer for what is left, not for what was done.
BULK_UPDATE = Operation("bulk.update", UpdateMessages, "read", repeatable=False)
BULK_MOVE = Operation("bulk.move", MoveMessages, "read", repeatable=False)
BULK_DELETE = Operation("bulk.delete", DeleteMessages, "read", repeatable=False)

ACCOUNT_CONNECT = Operation("account.connect", NoArguments, "read", repeatable=True)
ACCOUNT_SYNC = Operation("account.sync", NoArguments, "background", repeatable=True)
ACCOUNT_QUOTA = Operation("account.quota", NoArguments, "read", repeatable=True)
ACCOUNT_SIGNATURES = Operation("account.signatures", NoArguments, "read", repeatable=True)
ACCOUNT_VERIFY = Operation("account.verify", VerifyAccount, "read", repeatable=True)

OAUTH_VERIFY = Operation("oauth.verify", VerifyOAuth2, "read", repeatable=True)
GRANT_RENEW = Operation("grant.renew", NoArguments, "background", repeatable=True)

# Not repeatable by the queue: the outbox knows whether the message may be out already, and enqueues it again itself.
OUTBOX_SEND = Operation("outbox.send", SendSubmission, "send", repeatable=False)
OUTBOX_RESOLVE = Operation("outbox.resolve", ResolveSubmission, "background", repeatable=True)

EXPORT_RUN = Operation("export.run", RunExport, "export", repeatable=True)

WEBHOOK_DELIVER = Operation("webhook.deliver", DeliverWebhooks, "webhook", repeatable=True)
WEBHOOK_TEST = Operation("webhook.test", TestWebhook, "webhook", repeatable=True)

ALLOWLIST: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        MAILBOXES_LIST,
        MAILBOXES_CREATE,
        MAILBOXES_CHANGE,
        MAILBOXES_DELETE,
        MESSAGES_LIST,
        MESSAGES_SEARCH,
        MESSAGES_NEWEST,
        MESSAGES_GET,
        MESSAGES_TEXT,
        MESSAGES_SOURCE,
        MESSAGES_ATTACHMENT,
        MESSAGES_UPDATE,
        MESSAGES_MOVE,
        MESSAGES_DELETE,
        MESSAGES_APPEND,
        BULK_UPDATE,
        BULK_MOVE,
        BULK_DELETE,
        ACCOUNT_CONNECT,
        ACCOUNT_SYNC,
        ACCOUNT_QUOTA,
        ACCOUNT_SIGNATURES,
        ACCOUNT_VERIFY,
        OAUTH_VERIFY,
        GRANT_RENEW,
        OUTBOX_SEND,
        OUTBOX_RESOLVE,
        EXPORT_RUN,
        WEBHOOK_DELIVER,
        WEBHOOK_TEST,
    )
}
