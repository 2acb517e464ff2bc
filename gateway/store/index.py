"""The index: what the gateway knows of the messages of each mailbox, and of how fresh that is.

Every mailbox that is synced has a record, and the state (flags, labels) of each of its messages; a mailbox that is
watched also has each message's entry as ready JSON. The index is written by the account's owner only: each script
that writes names the owner's epoch and is refused when another owner has come (`FencedError`). What a script takes in
and the events that tell of it are written together or not at all.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from gateway.errors import FencedError
from gateway.model.message import SpecialUse
from gateway.provider import Place
from gateway.redis import keys
from gateway.store.events import MAX_EVENTS, EventFields
from gateway.store.scripts import APPLY, CONFIRM, DIRTY, FENCE, FORGET, PAGE, REWORD, SIGHTS, START, UNCONFIRM
from gateway.store.store import Store, to_json

#: Entries of the newest messages of a watched mailbox that are held, some 600 octets each; older pages come from the
#: mail server.
DEPTH = 10_000


Announce: TypeAlias = Literal["all", "recent", "above", "nothing"]


class BoxRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of one mailbox.

    Attributes:
        path: of the mailbox.
        state: what the provider continues from; None when the mailbox was never synced to the end.
        revision: what the provider told when it was last synced (`Session.revisions`).
        uid_validity: where the service has one (RFC 9051 section 2.3.1.1).
        mailbox_id: where the service has one, which stays when the mailbox is renamed (RFC 8474 section 4).
        entries: whether the entries of the messages are held.
        top: the highest position that was ever there.
        count: messages that are known; tells an index that was lost from an empty mailbox.
        announce: what is news when the mailbox is first read: all of it, recent mail only as the account is new, what
            lies above `top` as the rest was known under another name, or nothing as it was known and got lost.
        renamed_from: the name under which it was known, until that is forgotten; that it was renamed is told.
    """

    path: str
    name: str = ""
    special_use: SpecialUse | None = None
    state: str | None = None
    revision: str | None = None
    uid_validity: int | None = None
    mailbox_id: str | None = None
    entries: bool = False
    top: int = 0
    count: int = 0
    announce: Announce = "all"
    renamed_from: str | None = None


class KnownState(msgspec.Struct, frozen=True, array_like=True):
    """Flags, labels and position of one message; `email_id` if it was ever read and has one."""

    flags: tuple[str, ...]
    labels: tuple[str, ...]
    position: int
    email_id: str | None = None


class IndexedMessage(NamedTuple):
    """A message to be written: `entry` is its JSON, empty to leave the one that is held as it is."""

    id: str
    state: KnownState
    entry: bytes


class Mark(NamedTuple):
    """What the mark of a live mailbox says: the owner's epoch, the kind of cursors, and UIDVALIDITY or 0."""

    epoch: int
    cursor_kind: str
    uid_validity: int


class IndexPage(NamedTuple):
    """One page: the mark of the mailbox, the state of the account, the entries, a JSON array, and where they lie.

    `first` is the number of messages above them, `newest` and `oldest` are positions, None when there are no entries.
    """

    mark: Mark
    state: str
    total: int
    entries: bytes
    first: int
    size: int
    newest: int | None
    oldest: int | None


_decode_state = msgspec.json.Decoder(KnownState).decode
_decode_box = msgspec.json.Decoder(BoxRecord).decode
_encode = msgspec.json.Encoder().encode


def box_key(path: str) -> str:
    """Return the short name of a mailbox in keys: a path may be long, and hold anything."""
    return hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class IndexStore:
    """Reads and writes the index in the data tier."""

    def __init__(self, store: Store) -> None:
        self._data = store.data

    # --- ownership ----------------------------------------------------------------------------------------------------

    async def fence(self, account: str, epoch: int) -> bool:
        """Make `epoch` the one that may write; False when the account is gone.

        Raises:
            FencedError: a later owner was here before.
        """
        found = await FENCE.run(self._data, [keys.account(account), keys.live(account)], epoch)
        if int(found) == 0:
            raise _fenced()
        return int(found) > 0

    async def epoch(self, account: str) -> int | None:
        """Return the epoch that may write; None when nobody may, or all that was known is lost."""
        found = await self._data.call("HGET", keys.live(account), "epoch")
        return None if found is None else int(found)

    # --- what is known ------------------------------------------------------------------------------------------------

    async def boxes(self, account: str) -> dict[str, BoxRecord]:
        """Return the records of every mailbox that is synced, by path."""
        answer = await self._data.call("HGETALL", keys.boxes(account))
        values = answer.values() if isinstance(answer, dict) else answer[1::2]
        return {box.path: box for box in map(_decode_box, values)}

    async def box(self, account: str, path: str) -> BoxRecord | None:
        """Return the record of one mailbox."""
        found = await self._data.call("HGET", keys.boxes(account), path)
        return None if found is None else _decode_box(found)

    async def lost(self, account: str, box: BoxRecord) -> bool:
        """Tell whether the messages of a mailbox that had some are not known any more."""
        if not box.count:
            return False
        key = box_key(box.path)
        held = await self._data.call("EXISTS", keys.box_order(account, key), keys.box_states(account, key))
        return int(held) < 2

    async def states(self, account: str, path: str, ids: Sequence[str]) -> dict[str, KnownState]:
        """Return what is known of some messages; those that are not known are left out."""
        if not ids:
            return {}
        found = await self._data.call("HMGET", keys.box_states(account, box_key(path)), *ids)
        return {id: _decode_state(state) for id, state in zip(ids, found, strict=True) if state is not None}

    async def all_states(self, account: str, path: str) -> dict[str, KnownState]:
        """Return what is known of every message of a mailbox."""
        answer = await self._data.call("HGETALL", keys.box_states(account, box_key(path)))
        pairs: Iterable[Any] = (
            answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=True)
        )
        return {id.decode(): _decode_state(state) for id, state in pairs}

    async def holding(self, account: str, ids: Sequence[str]) -> set[str]:
        """Return the paths of the mailboxes that are known to hold some of these messages."""
        paths = list(await self.boxes(account)) if ids else []
        found = await asyncio.gather(
            *(self._data.call("HMGET", keys.box_states(account, box_key(path)), *ids) for path in paths)
        )
        return {path for path, states in zip(paths, found, strict=True) if any(state is not None for state in states)}

    async def entries(self, account: str, path: str, ids: Sequence[str]) -> dict[str, bytes]:
        """Return the entries that are held of some messages, JSON."""
        if not ids:
            return {}
        found = await self._data.call("HMGET", keys.box_entries(account, box_key(path)), *ids)
        return {id: entry for id, entry in zip(ids, found, strict=True) if entry is not None}

    async def newest(self, account: str, path: str, first: int, size: int) -> list[str]:
        """Return ids of a mailbox from `first` on, newest first."""
        order = keys.box_order(account, box_key(path))
        return [id.decode() for id in await self._data.call("ZREVRANGE", order, first, first + size - 1)]

    async def without_entry(self, account: str, path: str) -> list[str]:
        """Return the ids among the newest `DEPTH` messages whose entries are not held, newest first."""
        key = box_key(path)
        ids = await self._data.call("ZREVRANGE", keys.box_order(account, key), 0, DEPTH - 1)
        held = set(await self._data.call("HKEYS", keys.box_entries(account, key)))
        return [id.decode() for id in ids if id not in held]

    async def page(self, account: str, path: str, place: Place, size: int, *, unseen: bool = False) -> IndexPage | None:
        """Return the messages of a page, the newest first.

        None when the mailbox is not live, or not all of them are held. Whether the epoch's owner lives is not known
        here.
        """
        key = box_key(path)
        order = keys.box_unseen(account, key) if unseen else keys.box_order(account, key)
        names = [keys.live(account), order, keys.box_entries(account, key), keys.account(account)]
        found = await PAGE.run(self._data, names, _mark_field(path), *_span(place, size))
        if found[0] is None or found[1] is None:
            return None
        mark, state, total, entries, first, shown, *ends = found
        words = mark.decode().split(" ")
        if len(words) != 3:
            # Of an earlier version; its owner will say it anew.
            return None
        epoch, kind, validity = words
        newest, oldest = (int(end) for end in ends) if ends else (None, None)
        return IndexPage(
            mark=Mark(int(epoch), kind, int(validity)),
            state=state.decode(),
            total=int(total),
            entries=b"[" + entries + b"]",
            first=int(first),
            size=int(shown),
            newest=newest,
            oldest=oldest,
        )

    # --- writing ------------------------------------------------------------------------------------------------------

    async def apply(
        self,
        account: str,
        epoch: int,
        path: str,
        *,
        messages: Sequence[IndexedMessage] = (),
        removed: Sequence[str] = (),
        events: Sequence[EventFields] = (),
        box: BoxRecord | None = None,
        finished: Sequence[str] = (),
    ) -> None:
        """Take in messages, changed or new, and removals, and log the events.

        Args:
            account: whose.
            epoch: of the owner.
            path: of the mailbox.
            messages: at most a few hundred.
            removed: ids.
            events: in order.
            box: the mailbox's new record, None to leave it.
            finished: the batches (`start`) that are through with this.

        Raises:
            FencedError: another worker owns the account.
        """
        key = box_key(path)
        names = [
            *(keys.live(account), keys.boxes(account), keys.box_order(account, key), keys.box_states(account, key)),
            *(keys.box_entries(account, key), keys.box_unseen(account, key), keys.box_starts(account)),
            keys.events(account),
        ]
        arguments: list[Any] = [epoch, path, to_json(box) if box else "", MAX_EVENTS, *_writing(path), DEPTH]
        arguments += [len(finished), len(messages), len(removed), len(events), *finished]
        for id, state, entry in messages:
            arguments += [id, state.position, _encode(state), entry, "0" if "\\Seen" in state.flags else "1"]
        arguments += removed
        for fields in events:
            arguments += [len(fields), *fields]
        if await APPLY.run(self._data, names, *arguments) is None:
            raise _fenced()

    async def reword(self, account: str, epoch: int, path: str, id: str, before: bytes, entry: bytes) -> bool:
        """Put another entry in the place of one; False when that is not what it was any more. Raises like `apply`."""
        names = [keys.live(account), keys.box_entries(account, box_key(path))]
        found = await REWORD.run(self._data, names, epoch, id, before, entry)
        if found is None:
            raise _fenced()
        return int(found) > 0

    async def forget(
        self, account: str, epoch: int, path: str, event: EventFields = (), *, instead: BoxRecord | None = None
    ) -> None:
        """Forget a mailbox, or only its messages when there is a record `instead`, and log the event if there is one.

        Raises like `apply`.
        """
        key = box_key(path)
        names = [
            *(keys.live(account), keys.boxes(account), keys.box_order(account, key), keys.box_states(account, key)),
            *(keys.box_entries(account, key), keys.box_unseen(account, key), keys.events(account)),
        ]
        record = to_json(instead) if instead is not None else ""
        arguments = [epoch, path, _mark_field(path), record, MAX_EVENTS, *_writing(path), *event]
        if await FORGET.run(self._data, names, *arguments) is None:
            raise _fenced()

    async def started(self, account: str) -> list[str]:
        """Return the batches of messages on which work was started and not seen to end."""
        return [batch.decode() for batch in await self._data.call("HKEYS", keys.box_starts(account))]

    async def start(self, account: str, epoch: int, batch: str, *, before: int = 0) -> int:
        """Count a start of work on a batch of messages and return how many there were.

        Args:
            account: whose.
            epoch: of the owner.
            batch: its mark.
            before: starts that count already when this is the first.

        Raises:
            FencedError: another worker owns the account.
        """
        found = await START.run(self._data, [keys.live(account), keys.box_starts(account)], epoch, batch, before)
        if found is None:
            raise _fenced()
        return int(found)

    async def unstart(self, account: str, *batches: str) -> None:
        """Forget the starts of batches that ended in good order."""
        await self._data.call("HDEL", keys.box_starts(account), *batches)

    async def first_sights(self, account: str, messages: Sequence[str]) -> list[bool]:
        """Note Message-IDs and tell of each whether it is new here; wrong once in a hundred times."""
        found = await SIGHTS.run(self._data, [keys.seen(account)], *messages)
        return [bool(each) for each in found]

    # --- freshness ----------------------------------------------------------------------------------------------------

    async def dirty_count(self, account: str) -> int:
        """Return how often operations of ours may have changed the account's mail."""
        return int(await self._data.call("HGET", keys.live(account), "dirty") or 0)

    async def dirty(self, account: str) -> None:
        """Take every mark off an account: an operation of ours may have changed its mail."""
        await DIRTY.run(self._data, [keys.live(account)])

    async def confirm(self, account: str, path: str, mark: Mark, *, dirty: int) -> bool:
        """Mark a mailbox as live; False when an operation of ours came in between.

        Args:
            account: whose.
            path: of the mailbox.
            mark: what it says.
            dirty: the count (`dirty_count`) before the sync that is confirmed began.

        Raises:
            FencedError: another worker owns the account.
        """
        said = f"{mark.epoch} {mark.cursor_kind} {mark.uid_validity}"
        found = int(await CONFIRM.run(self._data, [keys.live(account)], mark.epoch, dirty, _mark_field(path), said))
        if found < 0:
            raise _fenced()
        return found > 0

    async def unconfirm(self, account: str, path: str, epoch: int) -> None:
        """Take the mark off one mailbox, unless it belongs to the owner of another epoch."""
        await UNCONFIRM.run(self._data, [keys.live(account)], epoch, _mark_field(path))

    async def erase(self, account: str) -> None:
        """Forget everything that is known of an account's mailboxes; its log of events stays."""
        names = [keys.live(account), keys.boxes(account), keys.box_starts(account), keys.seen(account)]
        names += [keys.bounces(account), keys.bounce_times(account)]
        for path in await self.boxes(account):
            key = box_key(path)
            names += [keys.box_order(account, key), keys.box_states(account, key)]
            names += [keys.box_entries(account, key), keys.box_unseen(account, key)]
        await self._data.call("UNLINK", *names)


def _span(place: Place, size: int) -> tuple[str, object, int]:
    """Return a page as the script takes it."""
    if place.below is not None:
        return "below", place.below, size
    if place.above is not None:
        return "above", place.above, size
    return "from", place.first, size


def _mark_field(path: str) -> str:
    return f"box:{box_key(path)}"


def _writing(path: str) -> tuple[str, str]:
    """Return the field that holds the last writing to a mailbox, and the id of a new one."""
    return f"last:{box_key(path)}", secrets.token_hex(8)


def _fenced() -> FencedError:
    return FencedError("another worker owns the account")
