"""Mail operations on an open session: what the API promises, made of what the provider contract offers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from gateway.errors import MailboxNotFoundError, UnsupportedOperationError
from gateway.model.account import QuotaInfo
from gateway.model.message import (
    AppendResult,
    DeleteResult,
    FlagResult,
    FlagUpdate,
    Mailbox,
    MailboxList,
    MessageDetail,
    MessageList,
    MessageUpdate,
    MessageUpdateResult,
    MovedTo,
    MoveResult,
    SearchQuery,
)
from gateway.model.signature import SignatureInfo, SignatureList
from gateway.provider import MessagePage, PageRequest, Session

#: Mailboxes from which a message is deleted for good.
FINAL = ("\\Trash", "\\Junk")


async def list_mailboxes(session: Session, *, counters: bool) -> MailboxList:
    """Return every mailbox; first of them, where the provider has that, the one that stands for all mail."""
    found = await session.mailboxes(counters=counters)
    virtual = () if session.all_mail is None else (session.all_mail,)
    return MailboxList(mailboxes=(*virtual, *map(_counted, found)))


def _counted(mailbox: Mailbox) -> Mailbox:
    """Tell the number of messages once more where older clients look for it."""
    if mailbox.status is None:
        return mailbox
    return msgspec.structs.replace(mailbox, messages=mailbox.status.messages)


async def list_messages(session: Session, path: str, request: PageRequest) -> MessageList:
    """Return one page of a mailbox, newest first."""
    return _page(await session.messages(path, request), request)


async def search_messages(session: Session, path: str | None, query: SearchQuery, request: PageRequest) -> MessageList:
    """Return one page of the messages of a mailbox that match, newest first.

    Without a path it is that of all mail, where the provider has that, else the inbox.
    """
    if path is None:
        path = "INBOX" if session.all_mail is None else session.all_mail.path
    return _page(await session.search(path, query, request), request)


def _page(page: MessagePage, request: PageRequest) -> MessageList:
    return MessageList(
        total=page.total,
        page=page.page,
        pages=-(-page.total // request.size),
        next_page_cursor=page.next_cursor,
        prev_page_cursor=page.previous_cursor,
        messages=page.messages,
    )


async def update(session: Session, id: str, request: MessageUpdate) -> MessageUpdateResult:
    """Change flags and labels, and echo what was asked for."""
    flags = labels = None
    if request.flags is not None:
        flags = _result(request.flags, await session.update_flags(id, request.flags))
    if request.labels is not None:
        labels = _result(request.labels, await session.update_labels(id, request.labels))
    return MessageUpdateResult(flags=flags, labels=labels)


async def move(session: Session, id: str, path: str) -> MoveResult:
    """Move a message; the path may be a special use such as ``\\Trash``."""
    target = await resolve(session, path)
    moved = await session.move(id, target)
    return MoveResult(path=target, id=moved, uid=None if moved is None else session.uid(moved))


async def delete(session: Session, id: str, *, force: bool) -> DeleteResult:
    """Move a message to the trash, or delete it for good when it is there already, is junk, or `force` says so."""
    if not force:
        message = await session.message(id)
        mailboxes = await session.mailboxes()
        trash = next((mailbox.path for mailbox in mailboxes if mailbox.special_use == "\\Trash"), None)
        if trash is not None and not _is_final(message, mailboxes):
            moved = await session.move(id, trash)
            return DeleteResult(deleted=session.trash_is_deletion, moved=MovedTo(destination=trash, message=moved))
    await session.delete(id)
    return DeleteResult(deleted=True)


async def append(
    session: Session, path: str, message: bytes, *, flags: Sequence[str], date: datetime | None
) -> AppendResult:
    """Store a message; the path may be a special use."""
    return await session.append(await resolve(session, path), message, flags=flags, date=date)


async def quota(session: Session) -> QuotaInfo | None:
    """Return the account's quota, None where there is none or the provider does not tell."""
    try:
        found = await session.quota()
    except UnsupportedOperationError:
        return None
    if found is None:
        return None
    if not found.limit:
        return QuotaInfo(usage=found.usage)
    return QuotaInfo(usage=found.usage, limit=found.limit, status=f"{found.usage * 100 // found.limit}%")


async def signatures(session: Session) -> SignatureList:
    """Return the signatures kept at the provider."""
    try:
        found = await session.signatures()
    except UnsupportedOperationError:
        return SignatureList(signatures=(), signatures_supported=False)
    infos = tuple(SignatureInfo(address=item.address, signature=item.signature) for item in found)
    return SignatureList(signatures=infos, signatures_supported=True)


async def resolve(session: Session, path: str) -> str:
    """Return the path of a mailbox that may be named by its special use (RFC 6154).

    Raises:
        MailboxNotFoundError: no mailbox has that special use, nor that very name.
    """
    if not path.startswith("\\"):
        return path
    mailboxes = await session.mailboxes()
    for mailbox in mailboxes:
        if mailbox.special_use is not None and mailbox.special_use.lower() == path.lower():
            return mailbox.path
    if any(mailbox.path == path for mailbox in mailboxes):
        return path
    raise MailboxNotFoundError("no mailbox has this special use")


def _is_final(message: MessageDetail, mailboxes: Sequence[Mailbox]) -> bool:
    by_path = {mailbox.path: mailbox.special_use for mailbox in mailboxes}
    return by_path.get(message.path or "") in FINAL or message.special_use in FINAL


def _result(request: FlagUpdate, result: tuple[str, ...]) -> FlagResult:
    return FlagResult(add=many(request.add), delete=many(request.delete), set=many(request.set), result=result)


def many(value: tuple[str, ...] | str | None) -> tuple[str, ...] | None:
    """Return what a `FlagUpdate` lists as a list: a single string stands for a list of one."""
    return (value,) if isinstance(value, str) else value
