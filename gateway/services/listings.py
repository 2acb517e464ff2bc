"""Listings that the index answers, without a worker.

The rule: a mailbox is answered from the index only while its account's owner lives, watches that mailbox over a
connection that answers, has taken in everything that connection told, and no operation of the gateway itself is newer.
The owner's mark on the mailbox stands for the last three (`gateway.store.index`). Whatever the index cannot answer
exactly is left to a worker.
"""

from __future__ import annotations

import base64
import binascii
import re

import msgspec

from gateway.model.account import OPERATIONAL_STATES
from gateway.model.base import Resource
from gateway.model.message import SearchQuery
from gateway.provider import page_cursor
from gateway.queue.ownership import OwnershipClient
from gateway.store.index import IndexPage, IndexStore

_UNSEEN = (SearchQuery(unseen=True), SearchQuery(seen=False), SearchQuery(unseen=True, seen=False))

_CURSOR = re.compile(r"([a-z]+)_([A-Za-z0-9_-]+)")


class _Page(msgspec.Struct):
    page: int


class _Listing(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """`gateway.model.message.MessageList` of entries that are JSON already."""

    total: int
    page: int
    pages: int
    next_page_cursor: str | None
    prev_page_cursor: str | None
    messages: msgspec.Raw


_decode_page = msgspec.json.Decoder(_Page).decode
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
        kind = None
        if cursor is not None:
            kind, page = _read_cursor(cursor)
            if kind is None:
                return None
        path = "INBOX" if path.upper() == "INBOX" else path
        asked = self._ownership.owner(account)
        found = await self._index.page(account, path, page * size, size, unseen=unseen)
        owner = await asked
        if owner is None or found is None or owner.epoch != found.epoch or found.state not in OPERATIONAL_STATES:
            return None
        if kind is not None and kind != found.cursor_kind:
            return None
        return _listing(found, page, size)


def _listing(found: IndexPage, page: int, size: int) -> bytes:
    last = -(-found.total // size) - 1
    return _encode(
        _Listing(
            total=found.total,
            page=page,
            pages=last + 1,
            next_page_cursor=page_cursor(found.cursor_kind, page + 1) if page < last else None,
            prev_page_cursor=page_cursor(found.cursor_kind, page - 1) if page else None,
            messages=msgspec.Raw(found.entries),
        )
    )


def _read_cursor(cursor: str) -> tuple[str | None, int]:
    """Return kind and page of a cursor; without a kind when it is not one that the index can answer for."""
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        return None, 0
    try:
        found = _decode_page(base64.urlsafe_b64decode(match[2] + "=" * (-len(match[2]) % 4)))
    except (binascii.Error, msgspec.MsgspecError):
        return None, 0
    return (match[1], found.page) if found.page >= 0 else (None, 0)
