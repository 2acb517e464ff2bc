"""Listings that the index answers, without a worker.

The rule: a mailbox is answered from the index only while its account's owner lives, watches that mailbox over a
connection that answers, has taken in everything that connection told, and no operation of the gateway itself is newer.
The owner's mark on the mailbox stands for the last three (`gateway.store.index`). Whatever the index cannot answer
exactly is left to a worker.
"""

from __future__ import annotations

import msgspec

from gateway.errors import CursorExpiredError
from gateway.model.account import OPERATIONAL_STATES
from gateway.model.base import Resource
from gateway.model.message import SearchQuery
from gateway.provider import Listed, Place, cursors, numbered_place, read_cursor
from gateway.queue.ownership import OwnershipClient
from gateway.store.index import IndexPage, IndexStore

_UNSEEN = (SearchQuery(unseen=True), SearchQuery(seen=False), SearchQuery(unseen=True, seen=False))


class _Listing(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """`gateway.model.message.MessageList` of entries that are JSON already."""

    total: int
    page: int
    pages: int
    next_page_cursor: str | None
    prev_page_cursor: str | None
    messages: msgspec.Raw


_encode = msgspec.json.Encoder().encode


class ListingService:
    """Answers for mailboxes that are watched."""

    def __init__(self, index: IndexStore, ownership: OwnershipClient) -> None:
        self._index = index
        self._ownership = ownership

    async def search(
        self, account: str, path: str, query: SearchQuery, *, page: int, size: int, cursor: str | None
    ) -> bytes | None:
        """Return one page of a search likewise (`page`), if it is one for which the index is made: for unseen mail."""
        if query not in _UNSEEN:
            return None
        return await self.page(account, path, page=page, size=size, cursor=cursor, unseen=True)

    async def page(
        self, account: str, path: str, *, page: int, size: int, cursor: str | None, unseen: bool = False
    ) -> bytes | None:
        """Return one page of a mailbox, newest first, as JSON (`MessageList`); None when a worker has to be asked.

        Args:
            account: whose.
            path: of the mailbox.
            page: from 0.
            size: messages on a page.
            cursor: of an earlier listing; wins over `page`.
            unseen: only messages without ``\\Seen``.
        """
        place = numbered_place(page, size) if cursor is None else _place(cursor)
        if place is None:
            return None
        path = "INBOX" if path.upper() == "INBOX" else path
        asked = self._ownership.owner(account)
        found = await self._index.page(account, path, place, size, unseen=unseen)
        owner = await asked
        if owner is None or found is None or owner.epoch != found.mark.epoch or found.state not in OPERATIONAL_STATES:
            return None
        mark = found.mark
        if cursor is not None and (
            not cursor.startswith(f"{mark.cursor_kind}_") or place.validity != mark.uid_validity
        ):
            return None
        return _listing(found, place, size)


def _listing(found: IndexPage, place: Place, size: int) -> bytes:
    listed = Listed(found.total, found.first, found.size, found.newest, found.oldest, found.mark.uid_validity)
    following, preceding = cursors(found.mark.cursor_kind, place, size, listed)
    return _encode(
        _Listing(
            total=found.total,
            page=place.page,
            pages=-(-found.total // size),
            next_page_cursor=following,
            prev_page_cursor=preceding,
            messages=msgspec.Raw(found.entries),
        )
    )


def _place(cursor: str) -> Place | None:
    """Return the place that a cursor names, whatever its kind; None when it is not one that the index can look for."""
    try:
        return read_cursor(cursor.partition("_")[0], cursor)
    except CursorExpiredError:
        return None
