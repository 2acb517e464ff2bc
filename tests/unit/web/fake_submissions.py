"""An outbox in memory behind the pages."""

from __future__ import annotations

from gateway.model.submission import OutboxDeleted, OutboxEntry, OutboxList


class FakeSubmissions:
    """Keeps entries until they are cancelled."""

    def __init__(self) -> None:
        self.entries: list[OutboxEntry] = []

    async def list(self, *, page: int, page_size: int, account: str | None = None) -> OutboxList:
        known = [entry for entry in self.entries if account is None or entry.account == account]
        pages = max(1, -(-len(known) // page_size))
        shown = tuple(known[page * page_size : (page + 1) * page_size])
        return OutboxList(total=len(known), page=page, pages=pages, messages=shown)

    async def cancel(self, queue_id: str, /) -> OutboxDeleted:
        left = [entry for entry in self.entries if entry.queue_id != queue_id or entry.state == "sending"]
        deleted = len(left) < len(self.entries)
        self.entries = left
        return OutboxDeleted(deleted=deleted)
