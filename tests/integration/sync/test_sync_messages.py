"""What a pass tells of messages, and what it keeps to itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from gateway.errors import FencedError, ServiceUnavailableError
from tests.integration.sync.scripted import ACCOUNT, DeathError, Taking

pytestmark = pytest.mark.anyio
LETTER = b"Date: Thu, 2 Jan 2025 03:04:05 +0100\r\nMessage-ID: <1@x>\r\nSubject: x\r\n\r\nHello.\r\n"


async def test_a_message_that_comes_late_is_waited_for(taking: Taking) -> None:
    await taking.take()
    taking.session.put("1", "2")
    taking.session.withheld = {"1": 2}
    await taking.take()
    assert await taking.ids() == ["1", "2"]
    late, punctual = [event["data"] for event in await taking.events("messageNew")]
    assert (late["id"], late["missingRetries"], late["missingDelay"]) == ("1", 2, 2700)
    assert "missingRetries" not in punctual
    assert await taking.events("messageMissing") == []


async def test_a_message_that_is_listed_and_never_given_out_is_missing(taking: Taking) -> None:
    await taking.take()
    taking.session.put("1", "2")
    taking.session.withheld = {"1": 100}
    await taking.take()
    (event,) = await taking.events("messageMissing")
    assert (event["data"]["id"], event["data"]["missingRetries"]) == ("1", 3)
    assert await taking.ids() == ["2"]
    await taking.take()
    assert len(await taking.events("messageMissing")) == 1


async def test_a_death_between_two_writes_tells_nothing_twice(taking: Taking) -> None:
    await taking.take()
    taking.session.put(*map(str, range(1, 1201)))
    reads = 0

    async def die_at_third() -> None:
        nonlocal reads
        reads += 1
        if reads == 3:
            raise DeathError

    taking.session.on_read = die_at_third
    assert await taking.take_whatever_dies() == 1
    assert await taking.ids() == [str(number) for number in range(1, 1201)]


async def test_flags_that_change_between_listing_and_reading_are_told_once(taking: Taking) -> None:
    await taking.take()
    taking.session.put("1")

    async def flag() -> None:
        taking.session.boxes["INBOX"]["1"] = ("\\Seen",)

    taking.session.on_read = flag
    await taking.take()
    await taking.take()
    (event,) = await taking.events("messageNew")
    assert event["data"]["flags"] == ["\\Seen"]
    assert await taking.events("messageUpdated") == []


async def test_an_owner_that_was_replaced_can_write_nothing(taking: Taking) -> None:
    await taking.take()
    taking.session.put("1")
    await taking.services.index.fence(ACCOUNT, 2)
    with pytest.raises(FencedError):
        await taking.take()
    assert await taking.ids() == []
    assert await taking.held() == {}


async def test_a_failing_list_deletes_nothing(taking: Taking) -> None:
    taking.session.put("1")
    await taking.take()
    mailboxes = taking.session.mailboxes

    async def fail(*, counters: bool = False) -> list[object]:
        raise ServiceUnavailableError("not now")

    taking.session.mailboxes = fail  # type: ignore[method-assign, assignment]
    with pytest.raises(ServiceUnavailableError):
        await taking.take()
    taking.session.mailboxes = mailboxes  # type: ignore[method-assign]
    await taking.take()
    assert await taking.events("mailboxDeleted", "messageDeleted", "mailboxReset") == []


async def test_an_empty_list_deletes_nothing(taking: Taking) -> None:
    taking.session.put("1")
    await taking.take()
    boxes, taking.session.boxes = taking.session.boxes, {}
    with pytest.raises(ServiceUnavailableError):
        await taking.take()
    taking.session.boxes = boxes
    await taking.take()
    assert await taking.events("mailboxDeleted", "messageDeleted", "mailboxReset") == []


async def test_only_messages_from_the_given_time_on_are_announced(taking: Taking) -> None:
    await taking.take()
    taking.session.put("1")
    await taking.take(notify_from=taking.services.clock() + timedelta(hours=1))
    assert await taking.ids() == []
    assert list(await taking.held()) == ["1"]


async def test_the_fast_indexer_tells_new_messages_and_keeps_nothing(taking: Taking) -> None:
    taking.session.put("1", "2")
    await taking.take(imap_indexer="fast", notify_from=taking.services.clock() + timedelta(hours=1))
    taking.session.put("3", "4")
    await taking.take(imap_indexer="fast")
    taking.session.boxes["INBOX"]["3"] = ("\\Seen",)
    del taking.session.boxes["INBOX"]["4"]
    await taking.take(imap_indexer="fast")
    assert await taking.ids() == ["3", "4"]
    assert await taking.events("messageUpdated", "messageDeleted") == []
    assert await taking.held() == {}


async def test_path_limits_what_is_told(taking: Taking) -> None:
    taking.session.boxes |= {"Sent": {}, "Other": {}}
    await taking.take(path=("INBOX", "Sent"))
    taking.session.put("1", path="Sent")
    taking.session.put("2", path="Other")
    await taking.take(path=("INBOX", "Sent"))
    assert await taking.ids() == ["1"]
    assert set(await taking.services.index.boxes(ACCOUNT)) == {"INBOX", "Sent"}


async def test_a_message_seen_elsewhere_before_does_not_seem_like_new(taking: Taking) -> None:
    await taking.take()
    taking.session.put("1")
    await taking.take()
    taking.session.boxes["Copy"] = {"1": ()}
    await taking.take()
    first, second = await taking.events("messageNew")
    assert first["data"]["seemsLikeNew"] is True
    assert "seemsLikeNew" not in second["data"]


async def test_a_message_that_wanders_is_told_under_one_email_id(taking: Taking) -> None:
    """Also out of a mailbox that nobody watches, in whichever order a pass finds where it went and where it left."""
    taking.session.sources = dict.fromkeys(("1", "2", "3"), LETTER)
    taking.session.boxes["Archive"] = {}
    await taking.take()
    taking.session.put("1")
    await taking.take()
    taking.session.boxes["INBOX"]["1"] = ("\\Seen",)
    await taking.take()
    for source, target, id in (("INBOX", "Archive", "2"), ("Archive", "INBOX", "3")):
        taking.session.boxes[source].clear()
        taking.session.put(id, path=target)
        await taking.take()
    taking.session.boxes["INBOX"].clear()
    await taking.take()
    told = await taking.events("messageNew", "messageUpdated", "messageDeleted")
    assert len({event["data"]["emailId"] for event in told}) == 1
    assert sorted((event["event"], event["path"], event["data"]["id"]) for event in told) == [
        ("messageDeleted", "Archive", "2"),
        ("messageDeleted", "INBOX", "1"),
        ("messageDeleted", "INBOX", "3"),
        ("messageNew", "Archive", "2"),
        ("messageNew", "INBOX", "1"),
        ("messageNew", "INBOX", "3"),
        ("messageUpdated", "INBOX", "1"),
    ]
    arrived = [event["data"] for event in told if event["event"] == "messageNew"]
    assert [data.get("seemsLikeNew", False) for data in arrived] == [True, False, False]
    watched = [event["data"] for event in told if event["path"] == "INBOX"]
    assert {data["threadId"] for data in watched} == {arrived[0]["threadId"]}


async def test_a_message_that_was_never_read_is_gone_without_email_id(taking: Taking) -> None:
    """Old mail in mailboxes that are not watched is not read to find out; nor is anything invented."""
    taking.session.sources = {"1": LETTER}
    taking.session.boxes["Archive"] = {"1": ()}
    later = taking.services.clock() + timedelta(hours=1)
    await taking.take(notify_from=later)
    taking.session.boxes["Archive"].clear()
    await taking.take(notify_from=later)
    (event,) = await taking.events("messageDeleted")
    assert event["data"] == {"id": "1", "uid": 1}


async def test_of_a_large_mailbox_the_newest_entries_are_held(taking: Taking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.store.index.DEPTH", 5)
    monkeypatch.setattr("gateway.services.sync.taking_in.DEPTH", 5)
    taking.session.put(*map(str, range(1, 13)))
    await taking.take(notify_from=taking.services.clock() + timedelta(hours=1))
    assert sorted(map(int, await taking.held())) == [8, 9, 10, 11, 12]
    assert sorted(map(int, taking.session.read)) == [8, 9, 10, 11, 12]
    taking.session.put("13", "14")
    await taking.take()
    assert sorted(map(int, await taking.held())) == [10, 11, 12, 13, 14]
    assert len(await taking.services.index.all_states(ACCOUNT, "INBOX")) == 14
    assert await taking.ids() == ["13", "14"]


async def test_a_death_while_a_lost_index_is_read_again_makes_no_old_mail_news(taking: Taking) -> None:
    taking.session.boxes |= {"Sent": {}, "Archive": {}}
    for path in taking.session.boxes:
        taking.session.put("1", "2", path=path)
    await taking.take()
    before = len(await taking.ids())
    await taking.services.index.erase(ACCOUNT)
    await taking.services.index.fence(ACCOUNT, 1)
    reads = 0

    async def die_at_inbox() -> None:
        nonlocal reads
        reads += 1
        if reads == 1:
            raise DeathError

    taking.session.on_read = die_at_inbox
    assert await taking.take_whatever_dies() == 1
    assert len(await taking.ids()) == before
    assert await taking.events("mailboxNew") == []
    assert sorted({event["path"] for event in await taking.events("mailboxReset")}) == ["Archive", "INBOX", "Sent"]
    taking.session.put("3")
    await taking.take()
    assert len(await taking.ids()) == before + 1


async def test_a_message_that_goes_while_a_new_account_is_read_is_never_told_of(taking: Taking) -> None:
    taking.session.boxes |= {"Archive": {}}
    taking.session.put("1", "2", path="Archive")

    async def take_away() -> None:
        taking.session.boxes["Archive"].pop("1", None)

    taking.session.on_read = take_away
    await taking.take()
    taking.session.put("3", path="Archive")
    await taking.take()
    assert await taking.ids() == ["2", "3"]
    assert await taking.events("messageDeleted") == []


@pytest.mark.parametrize("stays", [False, True], ids=["by_validity", "by_id"])
@pytest.mark.parametrize("after", [False, True], ids=["before_the_write", "after_the_write"])
@pytest.mark.parametrize("write", range(1, 6))
async def test_a_death_while_a_renamed_mailbox_is_followed_tells_nothing_twice(
    taking: Taking, monkeypatch: pytest.MonkeyPatch, write: int, *, after: bool, stays: bool
) -> None:
    session, index = taking.session, taking.services.index
    if stays:
        session.uid_validity, session.mailbox_ids = None, {"INBOX": "i", "Old": "o", "New": "o"}
    await taking.take()
    session.boxes["Old"] = {"1": (), "2": ()}
    await taking.take()
    session.boxes["New"] = session.boxes.pop("Old")
    writes = 0

    def dying(call: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def write_and_die(*arguments: Any, **members: Any) -> None:
            nonlocal writes
            writes += 1
            if writes == write and not after:
                raise DeathError
            await call(*arguments, **members)
            if writes == write and after:
                raise DeathError

        return write_and_die

    monkeypatch.setattr(index, "apply", dying(index.apply))
    monkeypatch.setattr(index, "forget", dying(index.forget))
    await taking.take_whatever_dies()
    await taking.take()
    assert await taking.ids() == ["1", "2"]
    (deleted,) = await taking.events("mailboxDeleted")
    _, appeared = await taking.events("mailboxNew")
    assert (deleted["path"], deleted["data"]["renamedTo"]) == ("Old", "New")
    assert (appeared["path"], appeared["data"]["renamedFrom"]) == ("New", "Old")
    assert set(await index.boxes(ACCOUNT)) == {"INBOX", "New"}
