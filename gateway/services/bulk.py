"""Changing all messages of a mailbox that a search finds, and telling what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from gateway.errors import NotFoundError
from gateway.model.bulk import (
    BulkDeleteResult,
    BulkMovedTo,
    BulkMoveResult,
    BulkOutcome,
    BulkUpdateResult,
    DeletedMessages,
    MessageFailure,
    Sorted,
)
from gateway.model.message import FlagResult, FlagUpdate, MessageUpdate, SearchQuery
from gateway.provider import PageRequest, Session
from gateway.services.mail import FINAL, many, resolve


async def update(session: Session, path: str, query: SearchQuery, request: MessageUpdate) -> BulkUpdateResult:
    """Change flags and labels, and echo what was asked for.

    Raises:
        NotFoundError: there is no such mailbox.
    """
    found = await _found(session, path, query)
    result = found.with_missing(await session.update_many(found.ids, request))
    return BulkUpdateResult(
        flags=_echo(request.flags), labels=_echo(request.labels), email_ids=_kept(result), outcome=_outcome(result)
    )


async def move(session: Session, path: str, query: SearchQuery, destination: str) -> BulkMoveResult:
    """Move messages; the destination may be a special use such as ``\\Archive``.

    Raises:
        NotFoundError: there is no such mailbox; nothing was moved.
    """
    target = await resolve(session, destination)
    found = await _found(session, path, query)
    result = found.with_missing(await session.move_many(found.ids, target))
    return BulkMoveResult(path=target, id_map=_id_map(result), email_ids=_kept(result), outcome=_outcome(result))


async def delete(session: Session, path: str, query: SearchQuery, *, force: bool) -> BulkDeleteResult:
    """Move messages to the trash, or delete them for good if they are there already, are junk, or `force` says so.

    Raises:
        NotFoundError: there is no such mailbox.
    """
    found = await _found(session, path, query)
    trash = None if force else await _trash(session, path)
    if trash is None:
        result = found.with_missing(await session.delete_many(found.ids))
        return BulkDeleteResult(
            deleted=True, deleted_messages=DeletedMessages(email_ids=_kept(result)), outcome=_outcome(result)
        )
    result = found.with_missing(await session.move_many(found.ids, trash))
    moved = BulkMovedTo(destination=trash, id_map=_id_map(result), email_ids=_kept(result))
    return BulkDeleteResult(deleted=session.trash_is_deletion, moved=moved, outcome=_outcome(result))


class _Found(NamedTuple):
    """The messages of a search, and which of those that were named are not among them."""

    ids: Sequence[str]
    missing: Sequence[str] = ()

    def with_missing(self, result: Sorted) -> Sorted:
        """Add to what became of messages those that are not there."""
        absent = {id: NotFoundError("there is no such message", code="MessageNotFound") for id in self.missing}
        return msgspec.structs.replace(result, failed={**result.failed, **absent})


async def _found(session: Session, path: str, query: SearchQuery) -> _Found:
    named = dict.fromkeys(query.email_ids or ())
    ids = await session.search_ids(path, query)
    if len(ids) >= len(named):
        return _Found(ids)
    page = await session.search(path, query, PageRequest(size=len(named)))
    known = {id for entry in page.messages for id in (entry.id, entry.email_id)}
    return _Found(ids, [id for id in named if id not in known])


async def _trash(session: Session, path: str) -> str | None:
    """Return where to move what is deleted from a mailbox; None when that is final."""
    mailboxes = await session.mailboxes()
    is_all_mail = session.all_mail is not None and path.lower() == session.all_mail.path.lower()
    source = path if is_all_mail else await resolve(session, path)
    uses = {mailbox.path: mailbox.special_use for mailbox in mailboxes}
    if uses.get(source) in FINAL:
        return None
    return next((mailbox.path for mailbox in mailboxes if mailbox.special_use == "\\Trash"), None)


def _echo(request: FlagUpdate | None) -> FlagResult | None:
    if request is None:
        return None
    return FlagResult(add=many(request.add), delete=many(request.delete), set=many(request.set))


def _id_map(result: Sorted) -> tuple[tuple[str, str], ...]:
    return tuple((old, new) for old, new in result.done.items() if new is not None and new != old)


def _kept(result: Sorted) -> tuple[str, ...] | None:
    return tuple(old for old, new in result.done.items() if new == old) or None


def _outcome(result: Sorted) -> BulkOutcome:
    records = ((id, error.record()) for id, error in result.failed.items())
    failed = tuple(MessageFailure(id=id, code=record.code, error=record.message) for id, record in records)
    return BulkOutcome(done=tuple(result.done), failed=failed, unknown=result.unknown)
