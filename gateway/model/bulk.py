"""Changes to many messages at once: what is asked for, and what became of every single message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.errors import GatewayError
from gateway.model.base import Payload, Resource
from gateway.model.mailbox import MailboxPath
from gateway.model.message import FlagResult, MessageUpdate, SearchQuery


class BulkUpdateRequest(Payload, frozen=True, kw_only=True):
    """Which messages to change, and how."""

    search: SearchQuery
    update: MessageUpdate = MessageUpdate()


class BulkMoveRequest(Payload, frozen=True, kw_only=True):
    """Which messages to move, and where to."""

    search: SearchQuery
    path: MailboxPath


class BulkDeleteRequest(Payload, frozen=True, kw_only=True):
    """Which messages to delete."""

    search: SearchQuery


class MessageFailure(Resource, frozen=True, kw_only=True):
    """A message that was not changed as it was asked for, and why."""

    id: str
    code: str
    error: str


class BulkOutcome(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """What became of each message that was found or named; every one of them is in exactly one of the three lists.

    Attributes:
        done: ids, as they were before.
        failed: messages that are where they were, and what no message has of `emailIds`; when a mail server refuses a
            part of a change of flags, the other part stays.
        unknown: ids for which the connection broke before the server told.
    """

    done: tuple[str, ...] = ()
    failed: tuple[MessageFailure, ...] = ()
    unknown: tuple[str, ...] = ()


EmailIds = Annotated[
    tuple[str, ...], Meta(description="Messages that were changed and keep their id (not those of IMAP)")
]
#: Not tuple[str, str]: generators of clients do not know arrays whose members are described one by one.
IdPair = Annotated[tuple[str, ...], Meta(min_length=2, max_length=2, description="Id before, id after")]
IdMap = Annotated[tuple[IdPair, ...], Meta(description="Ids before and after, as far as the server tells (RFC 4315)")]


class BulkUpdateResult(Resource, frozen=True, kw_only=True):
    """The request echoed, and what became of each message."""

    flags: FlagResult | None = None
    labels: FlagResult | None = None
    email_ids: EmailIds | None = None
    outcome: BulkOutcome


class BulkMoveResult(Resource, frozen=True, kw_only=True):
    """Where the messages are now, and what became of each."""

    path: str
    id_map: IdMap | None = None
    email_ids: EmailIds | None = None
    outcome: BulkOutcome


class BulkMovedTo(Resource, frozen=True, kw_only=True):
    """Where deleted messages were put."""

    destination: str
    id_map: IdMap | None = None
    email_ids: EmailIds | None = None


class DeletedMessages(Resource, frozen=True, kw_only=True):
    """Messages that were deleted for good."""

    email_ids: EmailIds | None = None


class BulkDeleteResult(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """`moved` tells where messages are that were not deleted for good; `deleted` is false then, but true on Graph.

    `outcome` tells of each message.
    """

    deleted: bool
    moved: BulkMovedTo | msgspec.UnsetType = msgspec.UNSET
    deleted_messages: DeletedMessages | msgspec.UnsetType = msgspec.UNSET
    outcome: BulkOutcome


class Sorted(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider did to many messages; every id that it was given is in exactly one of the members.

    Attributes:
        done: the id before, and the id afterwards; None when the service does not tell it.
        failed: messages that are where they were, and why; of a change of flags a part may have been made.
        unknown: ids for which the connection broke before the service told.
    """

    done: Mapping[str, str | None]
    failed: Mapping[str, GatewayError]
    unknown: tuple[str, ...] = ()
