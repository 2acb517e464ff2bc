"""Listings from the index while messages come and go, on a real Redis."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.queue.ownership import Owner, OwnershipClient
from gateway.redis import keys
from gateway.services.listings import ListingService
from gateway.store.index import BoxRecord, IndexedMessage, KnownState, Mark
from tests.integration.services.world import World

pytestmark = pytest.mark.anyio
_EPOCH = 7
_BOX = BoxRecord(path="INBOX", uid_validity=5, entries=True)


class _OneOwner:
    """Every account is owned in this epoch."""

    async def owner(self, account: str) -> Owner | None:
        return Owner("worker", _EPOCH)


class _Index:
    """A watched mailbox whose messages are called by their positions."""

    def __init__(self, world: World) -> None:
        self.store = world.services.index
        self.listings = ListingService(self.store, cast("OwnershipClient", _OneOwner()))

    async def begin(self, uid_validity: int = 5) -> None:
        await self.store.fence("ann", _EPOCH)
        await self.store.forget("ann", _EPOCH, "INBOX", instead=_BOX)
        await self.store.confirm("ann", "INBOX", Mark(_EPOCH, "imap", uid_validity), dirty=0)

    async def put(self, positions: range, *, seen: frozenset[int] = frozenset()) -> None:
        state = {one: KnownState(("\\Seen",) if one in seen else (), (), one) for one in positions}
        messages = [IndexedMessage(str(one), state[one], b'{"id":"%d"}' % one) for one in positions]
        await self.store.apply("ann", _EPOCH, "INBOX", messages=messages)

    async def remove(self, positions: set[int]) -> None:
        await self.store.apply("ann", _EPOCH, "INBOX", removed=[str(one) for one in positions])

    async def page(self, size: int, cursor: str | None, *, unseen: bool = False) -> dict[str, Any] | None:
        found = await self.listings.page("ann", "INBOX", page=0, size=size, cursor=cursor, unseen=unseen)
        return None if found is None else dict(msgspec.json.decode(found))


@pytest.fixture
async def index(world: World) -> _Index:
    await world.add_account()
    await world.services.account_store.set_state("ann", "connected", None)
    return _Index(world)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.integers(0, 20),
    size=st.integers(1, 6),
    seen=st.frozensets(st.integers(1, 20)),
    changes=st.lists(st.tuples(st.integers(0, 3), st.sets(st.integers(1, 25), max_size=5)), max_size=6),
    unseen=st.booleans(),
)
async def test_pages_are_the_mailbox_at_the_start_without_what_was_deleted(
    index: _Index,
    start: int,
    size: int,
    seen: frozenset[int],
    changes: list[tuple[int, set[int]]],
    unseen: bool,
) -> None:
    await index.begin()
    await index.put(range(1, start + 1), seen=seen)
    wanted = {one for one in range(1, start + 1) if not (unseen and one in seen)}
    shown, deleted, top, cursor, left = list[int](), set[int](), start + 1, None, list(changes)
    while True:
        page = await index.page(size, cursor, unseen=unseen)
        assert page is not None
        shown += [int(message["id"]) for message in page["messages"]]
        cursor = page["nextPageCursor"]
        if cursor is None:
            break
        arrivals, gone = left.pop(0) if left else (0, set[int]())
        await index.put(range(top, top + arrivals))
        await index.remove(gone)
        top, deleted = top + arrivals, deleted | gone
    assert shown == sorted(set(shown), reverse=True)
    assert wanted - deleted <= set(shown) <= wanted


async def test_a_cursor_of_the_mailbox_before_it_was_made_anew_is_left_to_a_worker_to_refuse(index: _Index) -> None:
    await index.begin()
    await index.put(range(1, 10))
    page = await index.page(2, None)
    assert page is not None
    assert await index.page(2, page["nextPageCursor"]) is not None
    await index.begin(uid_validity=6)
    await index.put(range(1, 10))
    assert await index.page(2, page["nextPageCursor"]) is None


async def test_a_mailbox_is_marked_and_listed_at_once_by_several_readers(index: _Index) -> None:
    """The script keeps nothing between calls: pages from number, above and below do not mix."""
    await index.begin()
    await index.put(range(1, 8))
    first = await index.page(3, None)
    assert first is not None
    second = await index.page(3, first["nextPageCursor"])
    assert second is not None
    cursors = [None, first["nextPageCursor"], second["prevPageCursor"], second["nextPageCursor"]] * 5
    pages = await asyncio.gather(*(index.page(3, cursor) for cursor in cursors))
    shown = [[message["id"] for message in page["messages"]] for page in pages if page is not None]
    assert shown == [["7", "6", "5"], ["4", "3", "2"], ["7", "6", "5"], ["1"]] * 5


async def test_a_mark_of_an_earlier_version_is_left_to_a_worker(index: _Index, world: World) -> None:
    """While workers are renewed one by one, an old one may have said less of a mailbox."""
    await index.begin()
    await index.put(range(1, 4))
    assert await index.page(2, None) is not None
    live = keys.live("ann")
    (field,) = [name for name in await world.services.databases.data.hkeys(live) if name.startswith(b"box:")]
    await world.services.databases.data.hset(live, field, f"{_EPOCH} imap")
    assert await index.page(2, None) is None
