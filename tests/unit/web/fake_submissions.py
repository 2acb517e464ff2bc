"""An outbox in memory behind the pages."""

from __future__ import annotations

import msgspec

from gateway.errors import ConflictError, ResourceNotFoundError
from gateway.model.submission import OutboxDeleted, OutboxEntry, OutboxList, OutboxState


class FakeSubmissions:
    """Keeps entries until they are deleted."""

    def __init__(self) -> None:
        self.entries: list[OutboxEntry] = []

    async def list(self, *, page: int, page_size: int, account: str | None = None) -> OutboxList:
        known = [entry for entry in self.entries if account is None or entry.account == account]
        pages = max(1, -(-len(known) // page_size))
        shown = tuple(known[page * page_size : (page + 1) * page_size])
        return OutboxList(total=len(known), page=page, pages=pages, messages=shown)

    async def delete(self, queue_id: str, /) -> OutboxDeleted:
        left = [entry for entry in self.entries if entry.queue_id != queue_id or entry.state == "sending"]
        deleted = len(left) < len(self.entries)
        self.entries = left
        return OutboxDeleted(deleted=deleted)

    async def cancel(self, queue_id: str, /) -> OutboxEntry:
        return self._moved(queue_id, "cancelled", ("queued", "retrying"))

    async def retry(self, queue_id: str, /, *, may_repeat: bool = False) -> OutboxEntry:
        return self._moved(queue_id, "queued", ("failed", "retrying", *(("unknown",) if may_repeat else ())))

    def _moved(self, queue_id: str, state: OutboxState, since: tuple[str, ...]) -> OutboxEntry:
        for place, entry in enumerate(self.entries):
            if entry.queue_id == queue_id:
                if entry.state not in since:
                    raise ConflictError("it is in another state")
                self.entries[place] = msgspec.structs.replace(entry, state=state)
                return self.entries[place]
        raise ResourceNotFoundError("no such entry in the outbox")
