"""A mailbox in memory that can be deadly to read, and what takes it in."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from gateway.errors import CursorExpiredError, NotFoundError
from gateway.mime.parse import flag_fields, open_part, parse_message
from gateway.model.message import Mailbox, MessageDetail, MessageEntry, MessageText, SpecialUse, TextType
from gateway.provider import AttachmentStream, Changes, MessagePage, MessageState, PageRequest, Session
from gateway.services.sync import AccountSync, Batches, Content, Owned, Reports, Tools
from gateway.store.accounts import AccountConfig
from tests.integration.services.world import World

ACCOUNT = "ann"


class DeathError(Exception):
    """Stands for the end of a worker in the middle of its work: nothing is tidied up."""


async def no_sleep(seconds: float) -> None:
    """Let others run."""
    await asyncio.sleep(0)


_USES: dict[str, SpecialUse] = {"INBOX": "\\Inbox", "Junk": "\\Junk", "Sent": "\\Sent"}


class ScriptedSession(Session):
    """One account in memory: mailbox path -> message id -> flags.

    Attributes:
        deadly: ids that kill whoever reads them.
        hungry: ids that take two gibibytes of memory to read.
        withheld: ids that are listed and not given out, with how often they are still withheld.
        sources: of messages that have one, by id; what their reading shows.
        deadly_sources: ids that kill whoever reads the source.
        closed: mailboxes that are listed and cannot be opened.
        read: ids that were read, in order.
        opened: attachments that were read, in order.
        on_read: awaited before each reading.
        uid_validity: of every mailbox; None where mailboxes have ids that stay instead.
        mailbox_ids: those ids, by path.
    """

    def __init__(self, world: World) -> None:
        self.boxes: dict[str, dict[str, tuple[str, ...]]] = {"INBOX": {}}
        self.deadly: set[str] = set()
        self.hungry: set[str] = set()
        self.withheld: dict[str, int] = {}
        self.sources: dict[str, bytes] = {}
        self.deadly_sources: set[str] = set()
        self.closed: set[str] = set()
        self.read: list[str] = []
        self.opened: list[str] = []
        self.on_read: Callable[[], Awaitable[None]] | None = None
        self.uid_validity: int | None = 1
        self.mailbox_ids: dict[str, str] = {}
        self._clock = world.clock

    def put(self, *ids: str, path: str = "INBOX", flags: tuple[str, ...] = ()) -> None:
        """Put messages into a mailbox; an id is its position."""
        self.boxes[path] |= dict.fromkeys(ids, flags)

    async def mailboxes(self, *, counters: bool = False) -> Sequence[Mailbox]:
        """Every mailbox; the inbox has its use."""
        return [
            Mailbox(path=path, name=path, delimiter="/", special_use=_USES.get(path), id=self.mailbox_ids.get(path))
            for path in self.boxes
        ]

    async def changes(self, mailbox: str, since: str | None) -> Changes:
        """Everything."""
        if mailbox in self.closed:
            raise NotFoundError("the mailbox cannot be opened")
        if since == "lost":
            raise CursorExpiredError("not a state")
        box = self.boxes[mailbox]
        changed = tuple(MessageState(id=id, position=int(id), flags=flags) for id, flags in box.items())
        return Changes(state=f"s{len(box)}", changed=changed, complete=True, uid_validity=self.uid_validity)

    async def entries(self, mailbox: str, ids: Sequence[str]) -> Sequence[MessageEntry]:
        """Those that are asked for, unless one of them is deadly."""
        if self.on_read is not None:
            await self.on_read()
        self.read += ids
        if self.deadly & set(ids):
            raise DeathError
        if self.hungry & set(ids):
            bytearray(2 << 30)
        found = []
        for id in ids:
            if self.withheld.get(id, 0) > 0:
                self.withheld[id] -= 1
            elif id in self.boxes[mailbox]:
                date = self._clock() + timedelta(seconds=1)
                fields = flag_fields(self.boxes[mailbox][id])
                entry = MessageEntry(
                    id=id, uid=int(id), date=date, size=10, subject=id, message_id=f"<{id}@x>", **fields
                )
                if id in self.sources:
                    parsed, flags = parse_message(self.sources[id]), self.boxes[mailbox][id]
                    named = functools.partial("{}/{}".format, id)
                    read = parsed.entry(id, flags=flags, received=date, attachment_id=named)
                    entry = msgspec.structs.replace(read, uid=int(id))
                found.append(entry)
        return found

    async def revisions(self) -> Mapping[str, str | None]:
        """Unknown."""
        return dict.fromkeys(self.boxes)

    async def check(self) -> None:
        """It answers."""

    async def messages(self, mailbox: str, page: PageRequest) -> MessagePage:
        """Not asked for."""
        raise NotImplementedError

    async def message(
        self, id: str, *, text_type: TextType | None = None, max_bytes: int | None = None, mark_as_seen: bool = False
    ) -> MessageDetail:
        """What its source shows."""
        return parse_message(self.sources[id]).detail(
            id, attachment_id=functools.partial("{}/{}".format, id), text_type=text_type, max_bytes=max_bytes
        )

    async def text(self, id: str, *, text_type: TextType = "*", max_bytes: int | None = None) -> MessageText:
        """Not asked for."""
        raise NotImplementedError

    async def source(self, id: str) -> AsyncIterator[bytes]:
        """What was put there."""
        if id in self.deadly_sources:
            raise DeathError
        yield self.sources[id]

    async def attachment(self, id: str) -> AttachmentStream:
        """A part of the source."""
        message, _, part = id.partition("/")
        self.opened.append(id)
        return open_part(self.sources[message], part)


class Taking:
    """The owner of one account."""

    def __init__(self, world: World, *, time_limit: float = 5.0, size: int = 500) -> None:
        services = world.services
        self.services = services
        self.session = ScriptedSession(world)
        self.tools = Tools(
            index=services.index,
            events=services.events,
            batches=Batches(services.index, size=size, time_limit=time_limit),
            content=Content(services.runtime_settings),
            reports=Reports(services.bounced),
            bounced=services.bounced,
            sleep=no_sleep,
        )
        self.sync = AccountSync(self.tools, services.account_store, world.clock)
        self._config = AccountConfig(account=ACCOUNT, created=world.clock(), notify_from=world.clock())

    async def begin(self) -> None:
        """Store the account and own it."""
        await self.services.account_store.save(self._config, None, "connected")
        await self.services.index.fence(ACCOUNT, 1)

    async def take(self, **members: Any) -> None:
        """Look at every mailbox once. Raises what the session raises."""
        stored = await self.services.account_store.get(ACCOUNT)
        assert stored is not None
        config = msgspec.structs.replace(stored.config, **members)
        owned = Owned(config=config, epoch=1, index=stored.index)
        await self.sync.full_pass(self.session, owned, await self.session.mailboxes())

    async def take_whatever_dies(self, most: int = 20, **members: Any) -> int:
        """Begin again after each death, as the next owner does; return how many there were.

        Raises:
            AssertionError: there was no end to it.
        """
        for deaths in range(most):
            try:
                await self.take(**members)
            except (DeathError, MemoryError):
                continue
            return deaths
        raise AssertionError("it never ends")

    async def events(self, *names: str) -> list[dict[str, Any]]:
        """The log, of all events or of some."""
        found, _ = await self.services.events.log(ACCOUNT, set(names), after="0", until="+", limit=100_000)
        return [msgspec.json.decode(event) for event in found]

    async def ids(self, name: str = "messageNew") -> list[str]:
        """Ids of the messages that events of a name tell of."""
        return [event["data"]["id"] for event in await self.events(name)]

    async def held(self, path: str = "INBOX") -> dict[str, Any]:
        """The entries that the index holds, by id."""
        states = await self.services.index.all_states(ACCOUNT, path)
        entries = await self.services.index.entries(ACCOUNT, path, list(states))
        return {id: msgspec.json.decode(entry) for id, entry in entries.items()}
