"""The mail store as pymap's IMAP server wants to see it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import MappingProxyType

from pymap.backend.mailbox import MailboxDataInterface, MailboxSetInterface
from pymap.backend.session import BaseSession
from pymap.concurrent import Event
from pymap.config import IMAPConfig
from pymap.context import subsystem
from pymap.exceptions import NotAllowedError
from pymap.flags import FlagOp
from pymap.interfaces.message import CachedMessage
from pymap.listtree import ListTree
from pymap.mailbox import MailboxSnapshot
from pymap.message import BaseLoadedMessage, BaseMessage
from pymap.mime import MessageContent
from pymap.parsing.message import AppendMessage
from pymap.parsing.response.fetch import BodyStructure, EnvelopeStructure
from pymap.parsing.specials import FetchRequirement, Flag, ObjectId
from pymap.parsing.specials.flag import Seen, get_system_flags
from pymap.selected import SelectedMailbox, SelectedSet

from gateway_sandbox.imap_mime import Content
from gateway_sandbox.imap_structure import RenderedBodyStructure, RenderedEnvelope
from gateway_sandbox.mailstore import DELIMITER, INBOX, Mailbox, MailStore, StoredMessage

#: Exchange lists these without announcing SPECIAL-USE (RFC 6154).
_SPECIAL_USE = MappingProxyType(
    {
        "Sent Items": b"Sent",
        "Deleted Items": b"Trash",
        "Junk Email": b"Junk",
        "Drafts": b"Drafts",
        "Archive": b"Archive",
        "Sent": b"Sent",
        "Trash": b"Trash",
        "Junk": b"Junk",
    }
)


class LoadedMessage(BaseLoadedMessage):
    """A message with its content."""

    def get_envelope_structure(self) -> EnvelopeStructure:
        parsed = super().get_envelope_structure()
        return parsed if self._content is None else RenderedEnvelope(self._content, parsed)

    def get_body_structure(self) -> BodyStructure:
        if self._content is None:
            return super().get_body_structure()
        return RenderedBodyStructure(self._content)


class Message(BaseMessage):
    """A message whose content is read when it is asked for."""

    __slots__ = ["_mailbox_id", "_store"]

    def __init__(self, store: MailStore, mailbox_id: int, stored: StoredMessage, *, expunged: bool = False) -> None:
        flags = {Flag(flag) for flag in stored.flags}
        super().__init__(stored.uid, stored.received, flags, expunged=expunged)
        self._store = store
        self._mailbox_id = mailbox_id

    async def load_content(self, requirement: FetchRequirement) -> LoadedMessage:
        content: MessageContent | None = None
        if not requirement.has_none(FetchRequirement.CONTENT):
            octets = self._store.content(self._mailbox_id, self.uid)
            content = None if octets is None else Content.parse(octets)
        return LoadedMessage(self, requirement, content)


class MailboxData(MailboxDataInterface[Message]):
    """One mailbox, shared by all sessions that have it open."""

    def __init__(self, store: MailStore, mailbox: Mailbox) -> None:
        self._store = store
        self._mailbox = mailbox
        self._selected_set = SelectedSet()
        self._changed = subsystem.get().new_event()
        store.watch(mailbox.id, self._changed.set)

    @property
    def identifier(self) -> int:
        """The store's own number of this mailbox."""
        return self._mailbox.id

    @property
    def mailbox_id(self) -> ObjectId:
        return ObjectId(b"F%08x" % self._mailbox.id)

    @property
    def readonly(self) -> bool:
        return False

    @property
    def uid_validity(self) -> int:
        return self._mailbox.uid_validity

    @property
    def permanent_flags(self) -> frozenset[Flag]:
        return get_system_flags() | {Flag(b"$MDNSent")}

    @property
    def selected_set(self) -> SelectedSet:
        return self._selected_set

    async def update_selected(self, selected: SelectedMailbox, *, wait_on: Event | None = None) -> SelectedMailbox:
        seen: int = selected.mod_sequence or 0
        if wait_on is not None:
            # Registered before the look at the store: a change in between is not missed.
            either = wait_on.or_event(self._changed)
            if self._modseq() == seen and not wait_on.is_set():
                await either.wait()
        selected.mod_sequence = self._modseq()
        changed = [self._message(stored) for stored in self._store.messages(self.identifier, seen)]
        selected.add_updates(changed, self._store.expunged(self.identifier, seen) if seen else [])
        return selected

    async def append(self, append_msg: AppendMessage, *, recent: bool = False) -> Message:
        flags = {str(flag) for flag in append_msg.flag_set & self.permanent_flags}
        received = append_msg.when
        uid = self._store.append(self.identifier, bytes(append_msg.literal), received=received, flags=flags)
        stored = self._store.message(self.identifier, uid)
        if stored is None:
            raise IndexError(uid)
        return self._message(stored)

    async def copy(self, uid: int, destination: MailboxData, *, recent: bool = False) -> int | None:
        return self._store.copy(self.identifier, uid, destination.identifier)

    async def move(self, uid: int, destination: MailboxData, *, recent: bool = False) -> int | None:
        return self._store.move(self.identifier, uid, destination.identifier)

    async def get(self, uid: int, cached_msg: CachedMessage) -> Message:
        stored = self._store.message(self.identifier, uid)
        if stored is not None:
            return self._message(stored)
        flags = frozenset(str(flag) for flag in cached_msg.permanent_flags)
        gone = StoredMessage(uid=uid, received=cached_msg.internal_date, flags=flags)
        return Message(self._store, self.identifier, gone, expunged=True)

    async def update(self, uid: int, cached_msg: CachedMessage, flag_set: frozenset[Flag], mode: FlagOp) -> Message:
        message = await self.get(uid, cached_msg)
        flags = mode.apply(message.permanent_flags, flag_set)
        if not message.expunged and flags != message.permanent_flags:
            self._store.set_flags(self.identifier, uid, {str(flag) for flag in flags})
            message.permanent_flags = frozenset(flags)
        return message

    async def delete(self, uids: Iterable[int]) -> None:
        self._store.expunge(self.identifier, uids)

    async def claim_recent(self, selected: SelectedMailbox) -> None:
        """Nothing is ever recent: RFC 9051 has removed the flag."""

    async def cleanup(self) -> None:
        """Nothing to tidy up."""

    async def snapshot(self) -> MailboxSnapshot:
        messages = self._store.messages(self.identifier)
        unseen = [number for number, message in enumerate(messages, 1) if Seen.value.decode() not in message.flags]
        return MailboxSnapshot(
            self.mailbox_id,
            self.readonly,
            self.uid_validity,
            self.permanent_flags,
            self.session_flags,
            exists=len(messages),
            recent=0,
            unseen=len(unseen),
            first_unseen=unseen[0] if unseen else None,
            next_uid=self._current().uid_next,
        )

    def _message(self, stored: StoredMessage) -> Message:
        return Message(self._store, self.identifier, stored)

    def _current(self) -> Mailbox:
        return self._store.mailbox_by_id(self.identifier) or self._mailbox

    def _modseq(self) -> int:
        return self._current().modseq


class MailboxSet(MailboxSetInterface[MailboxData]):
    """All mailboxes of one address."""

    def __init__(self, store: MailStore, owner: str, open_mailboxes: dict[int, MailboxData]) -> None:
        self._store = store
        self._owner = owner
        self._open = open_mailboxes

    @property
    def delimiter(self) -> str:
        return DELIMITER

    async def set_subscribed(self, name: str, subscribed: bool) -> None:
        try:
            mailbox = self._store.mailbox(self._owner, name)
        except KeyError:
            # RFC 9051 section 6.3.8: a name can be unsubscribed after its mailbox is gone.
            if not subscribed:
                return
            raise
        self._store.set_subscribed(mailbox, subscribed)

    async def list_subscribed(self) -> ListTree:
        return self._tree(mailbox.name for mailbox in self._store.mailboxes(self._owner) if mailbox.subscribed)

    async def list_mailboxes(self) -> ListTree:
        return self._tree(mailbox.name for mailbox in self._store.mailboxes(self._owner))

    async def get_mailbox(self, name: str) -> MailboxData:
        mailbox = self._store.mailbox(self._owner, name)
        if mailbox.id not in self._open:
            self._open[mailbox.id] = MailboxData(self._store, mailbox)
        return self._open[mailbox.id]

    async def add_mailbox(self, name: str) -> ObjectId:
        self._store.create_mailbox(self._owner, name)
        return (await self.get_mailbox(name)).mailbox_id

    async def delete_mailbox(self, name: str) -> None:
        self._refuse_special(name)
        mailbox = self._store.mailbox(self._owner, name)
        self._store.delete_mailbox(mailbox)
        self._open.pop(mailbox.id, None)

    async def rename_mailbox(self, before: str, after: str) -> None:
        self._refuse_special(before)
        self._store.rename_mailbox(self._store.mailbox(self._owner, before), after)

    def _tree(self, names: Iterable[str]) -> ListTree:
        return ListTree(DELIMITER).update(*names)

    def _refuse_special(self, name: str) -> None:
        if name in _SPECIAL_USE or name.upper() == INBOX:
            raise NotAllowedError("A default folder cannot be deleted or renamed.")


class MailSession(BaseSession[Message]):
    """One logged-in connection."""

    def __init__(self, owner: str, config: IMAPConfig, mailbox_set: MailboxSet) -> None:
        super().__init__(owner)
        self._config = config
        self._mailbox_set = mailbox_set

    @property
    def config(self) -> IMAPConfig:
        return self._config

    @property
    def mailbox_set(self) -> MailboxSet:
        return self._mailbox_set

    async def list_mailboxes(
        self, ref_name: str, filter_: str, subscribed: bool = False, selected: SelectedMailbox | None = None
    ) -> tuple[Iterable[tuple[str, str | None, Sequence[bytes]]], SelectedMailbox | None]:
        listed, selected = await super().list_mailboxes(ref_name, filter_, subscribed, selected)
        flagged = [
            (name, delimiter, [*attributes, *([_SPECIAL_USE[name]] if name in _SPECIAL_USE else [])])
            for name, delimiter, attributes in listed
        ]
        return flagged, selected
