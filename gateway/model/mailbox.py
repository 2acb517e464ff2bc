"""Mailboxes: what clients send to create, change and delete them, and what they are answered."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.model.base import Payload, Resource

MailboxPath = Annotated[
    str, Meta(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f]+$", description="Path of a mailbox")
]
#: A path as a whole, or its segments, which are joined by the server's delimiter.
NewMailboxPath = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")], ...] | MailboxPath,
    Meta(description="Path of the new mailbox, as a whole or as segments"),
]


class MailboxCreate(Payload, frozen=True, kw_only=True):
    """A new mailbox."""

    path: NewMailboxPath | None = None


class MailboxCreated(Resource, frozen=True, omit_defaults=False, kw_only=True):
    """`created` is false when the mailbox existed."""

    path: str
    created: bool
    mailbox_id: str | msgspec.UnsetType = msgspec.UNSET


class MailboxChange(Payload, frozen=True, kw_only=True):
    """A new name or another subscription of the mailbox `path`."""

    path: MailboxPath
    new_path: NewMailboxPath | None = None
    subscribed: Annotated[bool, Meta(description="Mail programs show it; of IMAP only")] | None = None


class MailboxChanged(Resource, frozen=True, omit_defaults=False, kw_only=True):
    """What was changed; `subscribed` is told where mailboxes have subscriptions."""

    path: str
    new_path: str | msgspec.UnsetType = msgspec.UNSET
    renamed: bool
    mailbox_id: str | msgspec.UnsetType = msgspec.UNSET
    subscribed: bool | msgspec.UnsetType = msgspec.UNSET


class MailboxDeleted(Resource, frozen=True, omit_defaults=False, kw_only=True):
    """The mailbox is gone."""

    path: str
    deleted: bool
    mailbox_id: str | msgspec.UnsetType = msgspec.UNSET
