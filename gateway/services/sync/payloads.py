"""What events of mailboxes and messages tell."""

from __future__ import annotations

import msgspec

from gateway.mime.parse import flag_fields
from gateway.model.event import (
    FlagChange,
    MailboxDeletedData,
    MailboxNewData,
    MailboxResetData,
    MessageChanges,
    MessageDeletedData,
    MessageUpdatedData,
)
from gateway.model.message import MessageEntry
from gateway.provider import MessageState
from gateway.store.index import BoxRecord, KnownState

_decode_entry = msgspec.json.Decoder(MessageEntry).decode
_encode = msgspec.json.Encoder().encode


def mailbox_new(box: BoxRecord, renamed_from: str | None = None) -> MailboxNewData:
    """Return the data of `mailboxNew`."""
    return MailboxNewData(
        path=box.path,
        name=box.name,
        special_use=box.special_use or False,
        uid_validity=_text(box.uid_validity),
        renamed_from=renamed_from,
    )


def mailbox_deleted(box: BoxRecord, renamed_to: str | None = None) -> MailboxDeletedData:
    """Return the data of `mailboxDeleted`."""
    return MailboxDeletedData(path=box.path, name=box.name, special_use=box.special_use or False, renamed_to=renamed_to)


def mailbox_reset(box: BoxRecord, *, validity: int | None, lost: bool) -> MailboxResetData:
    """Return the data of `mailboxReset`; `box` is what was known before."""
    return MailboxResetData(
        path=box.path,
        name=box.name,
        special_use=box.special_use or False,
        uid_validity=_text(validity),
        prev_uid_validity=None if lost else _text(box.uid_validity),
        reason="syncStateLost" if lost else "uidValidityChange",
    )


def message_deleted(id: str, state: KnownState, entry: MessageEntry | None, *, uids: bool) -> MessageDeletedData:
    """Return the data of `messageDeleted`; positions are UIDs where the service has them."""
    return MessageDeletedData(
        id=id,
        uid=state.position if uids else None,
        email_id=state.email_id,
        thread_id=None if entry is None else entry.thread_id,
    )


def message_updated(
    before: KnownState, now: MessageState, entry: MessageEntry | None, *, uids: bool
) -> MessageUpdatedData:
    """Return the data of `messageUpdated`."""
    return MessageUpdatedData(
        id=now.id,
        uid=now.position if uids else None,
        email_id=before.email_id,
        thread_id=None if entry is None else entry.thread_id,
        changes=MessageChanges(flags=_change(before.flags, now.flags), labels=_change(before.labels, now.labels)),
    )


def read_entry(held: bytes | None) -> MessageEntry | None:
    """Return an entry of a listing that the index holds."""
    return None if held is None else _decode_entry(held)


def with_state(entry: MessageEntry, now: MessageState) -> bytes:
    """Return an entry of a listing, JSON, with other flags and labels."""
    return _encode(msgspec.structs.replace(entry, labels=now.labels, **flag_fields(now.flags)))


def same(before: KnownState, now: MessageState) -> bool:
    """Tell whether flags and labels are what they were; their order says nothing."""
    return set(before.flags) == set(now.flags) and set(before.labels) == set(now.labels)


def _change(before: tuple[str, ...], now: tuple[str, ...]) -> FlagChange | None:
    added = tuple(flag for flag in now if flag not in before)
    deleted = tuple(flag for flag in before if flag not in now)
    return FlagChange(added=added, deleted=deleted, value=now) if added or deleted else None


def _text(validity: int | None) -> str | None:
    return None if validity is None else str(validity)
