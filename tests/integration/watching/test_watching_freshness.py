"""The index never shows less than the server's last word, nor less than the gateway's own hand has done."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import msgspec
import pytest

from gateway.model.message import FlagUpdate, MessageUpdate, SearchQuery
from gateway.queue import operations as ask
from tests.integration.queue.rig import eventually
from tests.integration.watching.rig import Account, Watching, letter

pytestmark = pytest.mark.anyio


async def _subjects(account: Account) -> list[str]:
    return [message["subject"] for message in (await account.listed())["messages"]]


async def _with_messages(world: Watching, count: int) -> tuple[Account, list[dict[str, Any]]]:
    account = await world.account()
    for number in range(count):
        await asyncio.to_thread(account.phone.append, letter(number))
    listing = await account.settled([str(number) for number in reversed(range(count))])
    return account, listing["messages"]


async def test_a_flag_that_was_set_shows_in_the_next_listing(world: Watching) -> None:
    account, messages = await _with_messages(world, 1)
    update = MessageUpdate(flags=FlagUpdate(add=("\\Flagged",)))
    await account.call(ask.MESSAGES_UPDATE, ask.UpdateMessage(message=messages[0]["id"], update=update))
    assert (await account.listed())["messages"][0]["flagged"] is True


async def test_a_message_marked_as_seen_by_reading_shows_in_the_next_listing(world: Watching) -> None:
    account, messages = await _with_messages(world, 1)
    await account.call(ask.MESSAGES_GET, ask.GetMessage(message=messages[0]["id"], mark_as_seen=True))
    assert "unseen" not in (await account.listed())["messages"][0]


async def test_a_message_that_was_moved_is_not_in_the_next_listing(world: Watching) -> None:
    account, messages = await _with_messages(world, 2)
    await account.call(ask.MAILBOXES_CREATE, ask.CreateMailbox(path="Done"))
    await account.call(ask.MESSAGES_MOVE, ask.MoveMessage(message=messages[0]["id"], path="Done"))
    assert await _subjects(account) == ["0"]


async def test_a_message_that_was_deleted_is_not_in_the_next_listing(world: Watching) -> None:
    account, messages = await _with_messages(world, 2)
    await account.call(ask.MESSAGES_DELETE, ask.DeleteMessage(message=messages[1]["id"], force=True))
    assert await _subjects(account) == ["1"]


async def test_a_message_that_was_stored_is_in_the_next_listing(world: Watching) -> None:
    account, _ = await _with_messages(world, 1)
    await account.call(ask.MESSAGES_APPEND, ask.AppendMessage(path="INBOX", content=letter("stored")))
    assert await _subjects(account) == ["stored", "0"]


async def test_after_each_kind_of_operation_the_index_takes_in_what_a_second_client_does_then(world: Watching) -> None:
    account, messages = await _with_messages(world, 6)
    account.phone.select()
    flags = MessageUpdate(flags=FlagUpdate(add=("\\Answered",)))
    ours = [
        (ask.MESSAGES_UPDATE, ask.UpdateMessage(message=messages[5]["id"], update=flags)),
        (ask.MESSAGES_APPEND, ask.AppendMessage(path="INBOX", content=letter("ours"))),
        (ask.MAILBOXES_CREATE, ask.CreateMailbox(path="Box")),
        (ask.MESSAGES_MOVE, ask.MoveMessage(message=messages[4]["id"], path="Box")),
        (ask.MESSAGES_DELETE, ask.DeleteMessage(message=messages[3]["id"], force=True)),
        (ask.MAILBOXES_CHANGE, ask.ChangeMailbox(path="Box", new_path="Case")),
        (ask.MAILBOXES_DELETE, ask.DeleteMailbox(path="Case")),
    ]
    for number, (operation, arguments) in enumerate(ours):
        await account.call(operation, arguments)
        await asyncio.to_thread(account.phone.append, letter(f"theirs {number}"))
        await asyncio.to_thread(account.phone.flag, "1", f"mark{number}")

        async def both(number: int = number) -> bool:
            found = await account.indexed()
            if found is None or found["messages"][0]["subject"] != f"theirs {number}":
                return False
            oldest = found["messages"][-1]
            return f"mark{number}" in oldest["flags"]

        await eventually(both, f"what the second client did after {operation.name} is taken in", 20)
        assert await account.indexed() == await account.asked()


async def test_the_index_does_not_answer_while_the_connection_is_silent(world: Watching) -> None:
    account, _ = await _with_messages(world, 1)
    owner = await world.services.ownership.owner(account.id)
    assert owner is not None
    await world.services.index.unconfirm(account.id, "INBOX", owner.epoch)
    assert await account.indexed() is None
    assert await _subjects(account) == ["0"]


async def test_the_index_does_not_answer_for_the_account_of_a_dead_worker(stopped: Watching) -> None:
    async with stopped.worker():
        account = await stopped.account()
        await account.confirmed()
    assert await account.indexed() is None


async def test_what_a_stopped_worker_confirmed_is_void_for_the_next_owner(stopped: Watching) -> None:
    async with stopped.worker("first"):
        account = await stopped.account()
        await account.confirmed()
        epoch = await stopped.services.index.epoch(account.id)
    await asyncio.to_thread(stopped.dovecot.deliver, account.user, letter("meanwhile"))
    async with stopped.worker("second"):
        listing = await account.confirmed()
        assert [message["subject"] for message in listing["messages"]] == ["meanwhile"]
        later = await stopped.services.index.epoch(account.id)
        assert epoch is not None and later is not None and later > epoch
        assert await account.subjects() == ["meanwhile"]


async def _same_page(world: Watching, account: Account, cursor: str | None, *, page: int = 0) -> dict[str, Any]:
    """Ask the index and a worker for a page, and return what both answered."""
    arguments = ask.ListMessages(path="INBOX", page=page, page_size=10, cursor=cursor)
    asked = await account.call(ask.MESSAGES_LIST, arguments)
    index = partial(world.services.listings.page, account.id, "inbox", page=page, size=10, cursor=cursor)
    found = await eventually(index, "the index answers", 20)
    assert found == asked
    return dict(msgspec.json.decode(found))


async def test_pages_and_cursors_of_the_index_are_those_of_a_worker(world: Watching) -> None:
    user, phone = await world.user()
    world.dovecot.fill(user, 25)
    account = await world.create(user, phone)
    await account.confirmed()
    cursor, given_out = None, list[str | None]()
    for _ in range(3):
        page = await _same_page(world, account, cursor)
        given_out += [page["prevPageCursor"], page["nextPageCursor"]]
        cursor = page["nextPageCursor"]
    assert cursor is None
    for number in (1, 2, 3, 9):
        page = await _same_page(world, account, None, page=number)
        given_out += [page["prevPageCursor"], page["nextPageCursor"]]
    account.phone.select()
    gone = await asyncio.to_thread(account.phone.uids)
    await asyncio.to_thread(account.phone.expunge, ",".join(map(str, (gone[15], *gone[:5]))))
    for number in range(3):
        await asyncio.to_thread(account.phone.append, letter(number))
    await account.told("messageNew", 3)
    await account.told("messageDeleted", 6)
    for cursor in {one for one in given_out if one is not None}:
        page = await _same_page(world, account, cursor)
        assert page["total"] == 22


async def test_unseen_messages_are_found_in_the_index_as_a_worker_finds_them(world: Watching) -> None:
    account, messages = await _with_messages(world, 4)
    account.phone.select()
    await asyncio.to_thread(account.phone.flag, "2:3", "\\Seen")
    await account.told("messageUpdated", 2)
    query = SearchQuery(unseen=True)
    search = partial(world.services.listings.search, account.id, "INBOX", query, page=0, size=10, cursor=None)
    found = await eventually(search, "the index answers", 20)
    arguments = ask.SearchMessages(path="INBOX", query=query, page_size=10)
    assert msgspec.json.decode(found) == msgspec.json.decode(await account.call(ask.MESSAGES_SEARCH, arguments))
    listed = [messages[0]["id"], messages[3]["id"]]
    assert [message["id"] for message in msgspec.json.decode(found)["messages"]] == listed


async def test_other_searches_are_left_to_a_worker(world: Watching) -> None:
    account, messages = await _with_messages(world, 2)
    for query in (SearchQuery(subject="1"), SearchQuery(unseen=True, subject="1"), SearchQuery()):
        found = await world.services.listings.search(account.id, "INBOX", query, page=0, size=10, cursor=None)
        assert found is None
    arguments = ask.SearchMessages(path="INBOX", query=SearchQuery(subject="1"))
    answer = msgspec.json.decode(await account.call(ask.MESSAGES_SEARCH, arguments))
    assert [message["id"] for message in answer["messages"]] == [messages[0]["id"]]


async def test_a_cursor_of_another_kind_is_left_to_a_worker_to_refuse(world: Watching) -> None:
    account = await world.account()
    await account.confirmed()
    for cursor in ("graph_eyJwYWdlIjowfQ", "imap_nonsense", "nonsense"):
        assert await world.services.listings.page(account.id, "INBOX", page=0, size=10, cursor=cursor) is None


async def test_the_index_shows_no_less_than_the_listing_of_a_worker_before(world: Watching) -> None:
    """The worker's own session may have seen what the watching one has not been told yet."""
    account = await world.account()
    await account.confirmed()
    await asyncio.to_thread(account.phone.append, letter("news"))
    assert (await account.asked())["total"] == 1
    shown = await account.indexed()
    assert shown is None or shown["total"] == 1
    await account.settled(["news"])
