"""An IMAP account as a session of the gateway.

The session is asynchronous, the connection is not: each operation is a function of `reading`, `changing` or `mailboxes`
that runs in a thread from its first to its last round trip. The connection is opened at the first operation that needs
it; submitting needs only SMTP.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime

from gateway.errors import MailboxNotFoundError, NotFoundError, UnsupportedOperationError
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
    Envelope,
    MessagePage,
    MessageSource,
    PageRequest,
    PollWatch,
    Quota,
    Session,
    SessionContext,
    SubmitReceipt,
    Watch,
)
from gateway.smtp import SmtpConnection
from gateway_imap import attachments, bulk, changing, idling, mailboxes, reading
from gateway_imap.changes import read_changed, read_changes
from gateway_imap.changing import Placed
from gateway_imap.connection import Connection
from gateway_imap.ids import (
    MessageId,
    decode_attachment_id,
    decode_message_id,
    decode_text_id,
)
from gateway_imap.known_texts import shared_texts
from gateway_imap.link import Link, drawn
from gateway_imap.listing import LastPage
from gateway_imap.mailboxes import Directory, Quirks, encode_name
from gateway_imap.paging import message_page, read_place, requested_place
from gateway_imap.reading import CHUNK, Target
from gateway_imap.revisions import read_revisions
from gateway_imap.searching import search_page, search_uids
from gateway_imap.wire import Literal, StreamedLiteral, quoted

# Seconds for which the list of mailboxes is believed.
_DIRECTORY_AGE = 300.0
# Seconds between two looks at a mailbox of a server without IDLE.
_POLL_PERIOD = 60.0
# Seconds to wait for the numbering of mailboxes.
_NUMBER_TIMEOUT = 30.0
_MESSAGE_ID = re.compile(rb"^message-id:[ \t]*(?:\r?\n[ \t]+)?(<[^<>\s]+>)", re.IGNORECASE | re.MULTILINE)


class ImapSession(Session):
    """One account; see `gateway_imap.opening.open_session`."""

    def __init__(
        self,
        account: Account,
        context: SessionContext,
        *,
        link: Link | None,
        sender: SmtpConnection | None,
        quirks: Quirks,
    ) -> None:
        self._account = account
        self._context = context
        self._imap = link
        self._sender = sender
        self._quirks = quirks
        self.readers = quirks.readers
        self._loop = asyncio.get_running_loop()
        self._numbers: dict[str, int] = {}
        self._last_page = LastPage()
        self._texts = shared_texts()
        self._directory: Directory | None = None
        self._directory_until = 0.0

    async def close(self) -> None:
        """Close both connections."""
        if self._imap is not None:
            await self._imap.close()
        if self._sender is not None:
            await self._sender.close()

    async def check(self) -> None:
        """See `Session.check`."""
        if self._imap is None:
            await self.check_submit()
        else:
            await self._imap.read(Connection.refreshed, "INBOX", b"INBOX")

    # --- reading ------------------------------------------------------------------------------------------------------

    async def mailboxes(self, *, counters: bool = False) -> Sequence[Mailbox]:
        """See `Session.mailboxes`."""
        directory = await self._link.read(
            mailboxes.list_mailboxes, counters=counters, overrides=self._account.special_use, quirks=self._quirks
        )
        self._directory, self._directory_until = directory, time.monotonic() + _DIRECTORY_AGE
        return directory.mailboxes

    async def messages(self, mailbox: str, page: PageRequest) -> MessagePage:
        """See `Session.messages`."""
        place = requested_place(page)
        directory = await self._mailboxes()
        path = directory.resolve(mailbox)
        found = await self._link.read(
            read_place,
            path,
            directory.server_name(path),
            place,
            size=page.size,
            use=directory.special_use(path),
            number=self._number,
            last=self._last_page,
        )
        self._texts.keep(self._account.id, found.entries)
        return message_page(found, place, page.size)

    async def search(self, mailbox: str, query: SearchQuery, page: PageRequest) -> MessagePage:
        """See `Session.search`."""
        place = requested_place(page)
        directory = await self._mailboxes()
        path = directory.resolve(mailbox)
        found = await self._link.read(
            search_page,
            path,
            directory.server_name(path),
            query,
            place,
            size=page.size,
            use=directory.special_use(path),
            number=self._number,
        )
        self._texts.keep(self._account.id, found.entries)
        return message_page(found, place, page.size)

    async def message(
        self, id: str, *, text_type: TextType | None = None, max_bytes: int | None = None, mark_as_seen: bool = False
    ) -> MessageDetail:
        """See `Session.message`."""
        message = decode_message_id(id)
        directory = await self._mailboxes()
        target = await self._target(message)
        found = await self._link.read(
            reading.read_message,
            target,
            use=directory.special_use(target.path),
            text_type=text_type,
            max_bytes=max_bytes,
            mark_as_seen=mark_as_seen,
            known=self._texts.of(self._account.id, id),
        )
        self._texts.keep(self._account.id, (found,))
        return found

    async def text(self, id: str, *, text_type: TextType = "*", max_bytes: int | None = None) -> MessageText:
        """See `Session.text`."""
        text = decode_text_id(id)
        target = await self._target(text.message)
        return await self._link.read(reading.read_text_id, target, text, text_type=text_type, max_bytes=max_bytes)

    async def source(self, id: str) -> AsyncIterator[bytes]:
        """See `Session.source`."""
        target = await self._target(decode_message_id(id))
        offset = 0
        while True:
            chunk = await self._link.read(reading.read_chunk, target, "", offset)
            if chunk:
                yield chunk
            offset += len(chunk)
            if len(chunk) < CHUNK:
                return

    async def source_size(self, id: str) -> int | None:
        """See `Session.source_size`."""
        return await self._link.read(reading.read_size, await self._target(decode_message_id(id)))

    async def attachment(self, id: str) -> AttachmentStream:
        """See `Session.attachment`."""
        message, number = decode_attachment_id(id)
        target = await self._target(message)
        return await attachments.open_stream(self._link, target, number)

    async def quota(self) -> Quota | None:
        """See `Session.quota`."""
        found = await self._link.read(changing.read_quota)
        return None if found is None else Quota(usage=found[0], limit=found[1])

    # --- changing -----------------------------------------------------------------------------------------------------

    async def update_flags(self, id: str, update: FlagUpdate) -> tuple[str, ...]:
        """See `Session.update_flags`."""
        target = await self._target(decode_message_id(id))
        return await self._link.write(
            changing.update_flags,
            target,
            replace=None if update.set is None else _listed(update.set),
            add=_listed(update.add),
            remove=_listed(update.delete),
        )

    async def move(self, id: str, mailbox: str) -> str | None:
        """See `Session.move`."""
        target = await self._target(decode_message_id(id))
        path, name = await self._destination(mailbox)
        return await self._placed_id(path, await self._link.write(changing.move, target, name))

    def uid(self, id: str) -> int | None:
        """See `Session.uid`."""
        return decode_message_id(id).uid

    async def copy(self, id: str, mailbox: str) -> str | None:
        """See `Session.copy`."""
        target = await self._target(decode_message_id(id))
        path, name = await self._destination(mailbox)
        return await self._placed_id(path, await self._link.write(changing.copy, target, name))

    async def delete(self, id: str) -> None:
        """See `Session.delete`."""
        await self._link.write(changing.delete, await self._target(decode_message_id(id)))

    async def search_ids(self, mailbox: str, query: SearchQuery) -> Sequence[str]:
        """See `Session.search_ids`."""
        path, name = await self._destination(mailbox)
        uid_validity, uids = await self._link.read(search_uids, path, name, query, number=self._number)
        number = await self._context.numbers.number(f"{uid_validity}:{path}")
        return [MessageId(number, uid).encode() for uid in uids]

    async def update_many(self, ids: Sequence[str], update: MessageUpdate) -> Sorted:
        """See `Session.update_many`."""
        if update.labels is not None:
            return await super().update_many(ids, update)
        flags = update.flags or FlagUpdate()
        commands = changing.flag_steps(
            replace=None if flags.set is None else _listed(flags.set),
            add=_listed(flags.add),
            remove=_listed(flags.delete),
        )
        chosen = bulk.one_mailbox(ids)
        if not chosen:
            return Sorted(done={}, failed={})
        outcome = await self._link.write(
            bulk.update_many, await self._target(chosen[0]), bulk.uids_of(chosen), commands
        )
        return bulk.by_id(chosen[0].mailbox, outcome, None)

    async def move_many(self, ids: Sequence[str], mailbox: str) -> Sorted:
        """See `Session.move_many`."""
        path, name = await self._destination(mailbox)
        chosen = bulk.one_mailbox(ids)
        if not chosen:
            return Sorted(done={}, failed={})
        outcome = await self._link.write(bulk.move_many, await self._target(chosen[0]), bulk.uids_of(chosen), name)
        placed = next((place for place in outcome.done.values() if place is not None), None)
        number = await self._context.numbers.number(f"{placed.uid_validity}:{path}") if placed else None
        return bulk.by_id(chosen[0].mailbox, outcome, number)

    async def delete_many(self, ids: Sequence[str]) -> Sorted:
        """See `Session.delete_many`."""
        chosen = bulk.one_mailbox(ids)
        if not chosen:
            return Sorted(done={}, failed={})
        outcome = await self._link.write(bulk.delete_many, await self._target(chosen[0]), bulk.uids_of(chosen))
        return bulk.by_id(chosen[0].mailbox, outcome, None)

    async def append(
        self, mailbox: str, message: bytes | MessageSource, *, flags: Sequence[str] = (), date: datetime | None = None
    ) -> AppendResult:
        """See `Session.append`."""
        path, name = await self._destination(mailbox)
        source = MessageSource.of(message)
        literal = Literal(message) if isinstance(message, bytes) else StreamedLiteral(source.size, drawn(source))
        placed = await self._link.write(changing.append, name, literal, flags=flags, date=date)
        named = _MESSAGE_ID.search(source.header)
        return AppendResult(
            id=await self._placed_id(path, placed),
            path=path,
            uid=placed.uid if placed else None,
            uid_validity=str(placed.uid_validity) if placed else None,
            message_id=named[1].decode("utf-8", "replace") if named else None,
        )

    async def mailbox_path(self, path: str) -> str:
        """See `Session.mailbox_path`."""
        return (await self._mailboxes()).path(path)

    async def create_mailbox(self, path: str) -> bool:
        """See `Session.create_mailbox`. INBOX is always there, in any case (RFC 9051 sections 5.1 and 6.3.4)."""
        if path.upper() == "INBOX":
            return False
        name = (await self._mailboxes()).new_name(path)
        self._directory = None
        return await self._link.write(mailboxes.create_mailbox, name)

    async def rename_mailbox(self, path: str, new_path: str) -> None:
        """See `Session.rename_mailbox`."""
        path, name = await self._destination(path)
        directory = await self._mailboxes()
        subscribed = any(mailbox.path == path and mailbox.subscribed for mailbox in directory.mailboxes)
        self._directory = None
        await self._link.write(mailboxes.rename_mailbox, name, directory.new_name(new_path), subscribed=subscribed)

    async def subscribe_mailbox(self, path: str, subscribed: bool) -> None:
        """See `Session.subscribe_mailbox`; servers take names of mailboxes that are not there, too."""
        self._directory = None
        path, name = await self._destination(path)
        if all(mailbox.path != path for mailbox in (await self._mailboxes()).mailboxes):
            raise MailboxNotFoundError("there is no such mailbox")
        self._directory = None
        await self._link.write(mailboxes.subscribe_mailbox, name, subscribed=subscribed)

    async def delete_mailbox(self, path: str) -> None:
        """See `Session.delete_mailbox`."""
        _, name = await self._destination(path)
        self._directory = None
        await self._link.write(mailboxes.delete_mailbox, name)

    # --- what happens -------------------------------------------------------------------------------------------------

    async def changes(self, mailbox: str, since: str | None) -> Changes:
        """See `Session.changes`."""
        path, name = await self._destination(mailbox)
        return await self._link.read(read_changes, path, name, since, number=self._number)

    async def entries(self, mailbox: str, ids: Sequence[str]) -> Sequence[MessageEntry]:
        """See `Session.entries`."""
        directory = await self._mailboxes()
        path = directory.resolve(mailbox)
        found = await self._link.read(
            read_changed,
            path,
            directory.server_name(path),
            [decode_message_id(id) for id in ids],
            use=directory.special_use(path),
            number=self._number,
        )
        self._texts.keep(self._account.id, found)
        return found

    async def revisions(self) -> Mapping[str, str | None]:
        """See `Session.revisions`."""
        directory = await self._mailboxes()
        paths = [mailbox.path for mailbox in directory.mailboxes if not mailbox.no_select]
        names = {path: directory.server_names.get(path, b"INBOX") for path in paths}
        tokens = await self._link.read(read_revisions, list(names.values()))
        return {path: tokens.get(name) for path, name in names.items()}

    async def watch(self, mailbox: str) -> Watch:
        """See `Session.watch`."""
        watch = await self._link.read(idling.begin, *await self._destination(mailbox))
        return PollWatch(period=_POLL_PERIOD) if watch is None else watch

    # --- submitting ---------------------------------------------------------------------------------------------------

    async def check_submit(self) -> None:
        """See `Session.check_submit`."""
        await self._submission.check()

    async def submit(self, message: bytes | MessageSource, envelope: Envelope) -> SubmitReceipt:
        """See `Session.submit`."""
        if envelope.route is None:
            return await self._submission.submit(message, envelope)
        sender = self._submission.by(envelope.route)
        try:
            return await sender.submit(message, envelope)
        finally:
            await sender.close()

    # --- inside -------------------------------------------------------------------------------------------------------

    @property
    def _link(self) -> Link:
        if self._imap is None:
            raise UnsupportedOperationError("this account has no IMAP server", code="IMAPUnavailable")
        return self._imap

    @property
    def _submission(self) -> SmtpConnection:
        if self._sender is None:
            raise UnsupportedOperationError("this account has no submission server", code="SMTPUnavailable")
        return self._sender

    async def _mailboxes(self) -> Directory:
        """Return the list of mailboxes, asking for it when what is known is too old."""
        if self._directory is None or time.monotonic() > self._directory_until:
            await self.mailboxes()
            assert self._directory is not None
        return self._directory

    async def _destination(self, mailbox: str) -> tuple[str, bytes]:
        directory = await self._mailboxes()
        path = directory.resolve(mailbox)
        return path, directory.server_name(path)

    async def _target(self, id: MessageId) -> Target:
        """Return where the message of an id is.

        Raises:
            NotFoundError: no mailbox has this number.
        """
        name: str | None = await self._context.numbers.name(id.mailbox)
        validity, colon, path = (name or "").partition(":")
        if not colon or not validity.isdigit():
            raise NotFoundError("there is no such message", code="MessageNotFound")
        known = self._directory
        server_name = known.server_name(path) if known is not None else quoted(encode_name(path))
        return Target(id, path, server_name, int(validity))

    def _number(self, name: str) -> int:
        """Number a mailbox; called in the thread of an operation, where each name is asked for once."""
        if name not in self._numbers:
            asked = asyncio.run_coroutine_threadsafe(self._context.numbers.number(name), self._loop)
            self._numbers[name] = asked.result(_NUMBER_TIMEOUT)
        return self._numbers[name]

    async def _placed_id(self, path: str, placed: Placed | None) -> str | None:
        if placed is None:
            return None
        return MessageId(await self._context.numbers.number(f"{placed.uid_validity}:{path}"), placed.uid).encode()


def _listed(flags: tuple[str, ...] | str | None) -> tuple[str, ...]:
    return (flags,) if isinstance(flags, str) else flags or ()
