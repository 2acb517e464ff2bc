"""Creating, renaming and deleting mailboxes on an open session, and telling which mailbox it was."""

from __future__ import annotations

import msgspec

from gateway.errors import ProviderError
from gateway.model.mailbox import MailboxChanged, MailboxCreated, MailboxDeleted
from gateway.model.message import Mailbox
from gateway.provider import Session


async def create(session: Session, path: str) -> MailboxCreated:
    """Create a mailbox unless there is one."""
    created = await session.create_mailbox(path)
    found = await _found(session, path)
    return MailboxCreated(path=_path(found, path), created=created, mailbox_id=_id(found))


async def change(session: Session, path: str, new_path: str | None, subscribed: bool | None) -> MailboxChanged:
    """Subscribe a mailbox or end that; give it, with everything below it, a new name."""
    if subscribed is not None:
        await session.subscribe_mailbox(path, subscribed)
    if new_path is not None:
        await session.rename_mailbox(path, new_path)
    found = await _found(session, new_path or path)
    return MailboxChanged(
        path=path,
        new_path=msgspec.UNSET if new_path is None else _path(found, new_path),
        renamed=new_path is not None,
        mailbox_id=_id(found),
        subscribed=msgspec.UNSET if found is None else found.subscribed,
    )


async def delete(session: Session, path: str) -> MailboxDeleted:
    """Delete a mailbox and its messages."""
    found = await _found(session, path)
    await session.delete_mailbox(path)
    return MailboxDeleted(path=_path(found, path), deleted=True, mailbox_id=_id(found))


async def _found(session: Session, path: str) -> Mailbox | None:
    """Return a mailbox; None too when it cannot be looked for, because the change itself is what counts."""
    try:
        listed = await session.mailboxes()
        path = await session.mailbox_path(path)
    except ProviderError:
        return None
    return next((mailbox for mailbox in listed if mailbox.path == path), None)


def _path(mailbox: Mailbox | None, path: str) -> str:
    """Return the path that a mailbox is listed by: the service may write it otherwise than the caller."""
    return path if mailbox is None else mailbox.path


def _id(mailbox: Mailbox | None) -> str | msgspec.UnsetType:
    return msgspec.UNSET if mailbox is None or mailbox.id is None else mailbox.id
