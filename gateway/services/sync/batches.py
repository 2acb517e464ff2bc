"""Reading messages so that one that kills workers is left alone in the end.

Each start of reading is counted before it begins and forgotten when it ends in good order. What was started and did
not end has taken its worker along, or stalled it: it is started again message by message, so that the guilty one is
found, and that one is not started any more after its third death.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from gateway.errors import GatewayError, ServiceUnavailableError
from gateway.model.message import MessageEntry
from gateway.provider import Session
from gateway.services.sync.owned import Owned
from gateway.store.index import IndexStore, box_key

#: Messages read at a time.
SIZE = 500

#: Seconds that reading one batch may take: after that it counts as a death.
TIME_LIMIT = 60.0

#: Deaths after which a message is left alone.
DEATHS = 3


class Batch(NamedTuple):
    """Messages that were asked for together.

    Attributes:
        asked: their ids.
        entries: those that were given out, by id.
        quarantined: ids that are not asked for any more.
        mark: of the start, to be forgotten when the batch is written.
        suspect: one message of a batch that took its worker along: to be written at once, lest it counts against this
            one when the next one is the guilty one.
    """

    asked: Sequence[str]
    entries: dict[str, MessageEntry]
    quarantined: tuple[str, ...]
    mark: str
    suspect: bool = False


class Batches:
    """Reads entries under a count of starts and a limit of time."""

    def __init__(self, index: IndexStore, *, size: int = SIZE, time_limit: float = TIME_LIMIT) -> None:
        self._index = index
        self._size = size
        self._time_limit = time_limit

    async def read(self, session: Session, owned: Owned, path: str, ids: Sequence[str]) -> AsyncIterator[Batch]:
        """Yield the entries of messages, batch by batch in the order of `ids`.

        Raises:
            ServiceUnavailableError: reading a batch took too long.
            FencedError: another worker owns the account.
        """
        if not ids:
            return
        started = await self._index.started(owned.account)
        for at in range(0, len(ids), self._size):
            part = ids[at : at + self._size]
            if len(part) == 1:
                yield await self._one(session, owned, path, part[0])
                continue
            before = 0
            if not (started and any(_mark(path, id, alone=True) in started for id in part)):
                mark = _mark(path, part[0], alone=False)
                before = await self._index.start(owned.account, owned.epoch, mark) - 1
                if not before:
                    yield Batch(part, await self._entries(session, owned, path, part, mark), (), mark)
                    continue
            for id in part:
                batch = await self._one(session, owned, path, id, before=min(before, 1))
                yield batch._replace(suspect=True)
        left = [mark for mark in started if mark.startswith(box_key(path))]
        if left:
            await self._index.unstart(owned.account, *left)

    async def _one(self, session: Session, owned: Owned, path: str, id: str, *, before: int = 0) -> Batch:
        """Read one message; `before` it was started in a batch, whose death was one of its own."""
        mark = _mark(path, id, alone=True)
        starts = await self._index.start(owned.account, owned.epoch, mark, before=before)
        if starts > DEATHS:
            return Batch([id], {}, (id,), mark)
        return Batch([id], await self._entries(session, owned, path, [id], mark), (), mark)

    async def _entries(
        self, session: Session, owned: Owned, path: str, ids: Sequence[str], mark: str
    ) -> dict[str, MessageEntry]:
        try:
            async with asyncio.timeout(self._time_limit):
                found = await session.entries(path, ids)
        except TimeoutError:
            raise ServiceUnavailableError("reading messages took too long") from None
        except (GatewayError, asyncio.CancelledError):
            await self._index.unstart(owned.account, mark)
            raise
        return {entry.id: entry for entry in found}


def _mark(path: str, id: str, *, alone: bool) -> str:
    return f"{box_key(path)}:{'one' if alone else 'many'}:{id}"
