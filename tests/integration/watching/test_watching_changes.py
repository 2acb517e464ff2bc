"""What happens in a mailbox is told once, and the index shows it."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.watching.rig import Watching, letter

pytestmark = pytest.mark.anyio


async def test_old_mail_of_a_new_account_is_listed_and_not_announced(world: Watching) -> None:
    user, phone = await world.user()
    world.dovecot.fill(user, 30)
    account = await world.create(user, phone)
    listing = await account.confirmed()
    assert listing["total"] == 30
    # The newest one came in the second in which the account was created.
    assert set(await account.subjects()) <= {"Message 29"}
    assert [event["event"] for event in await account.events() if event["event"] != "messageNew"] == [
        "accountAdded",
        "authenticationSuccess",
        "accountInitialized",
    ]


async def test_the_index_answers_as_a_worker_does(world: Watching) -> None:
    account = await world.account()
    for number in range(5):
        await asyncio.to_thread(account.phone.append, letter(number))
    indexed = await account.settled(["4", "3", "2", "1", "0"])
    assert indexed == await account.asked()


async def test_every_new_message_is_announced_once_and_in_order(world: Watching) -> None:
    account = await world.account()
    for number in range(20):
        await asyncio.to_thread(account.phone.append, letter(number))
    await account.settled([str(number) for number in reversed(range(20))])
    assert await account.subjects() == [str(number) for number in range(20)]
    event = (await account.events("messageNew"))[0]
    assert event["path"] == "INBOX"
    assert event["data"]["messageId"] == "<0@example.org>"
    assert event["data"]["seemsLikeNew"] is True
    assert event["data"]["messageSpecialUse"] == "\\Inbox"
    assert event["data"]["text"]["id"]
    assert event["data"]["text"]["encodedSize"]["plain"] > 0


async def test_changed_flags_are_told_with_what_was_added_and_deleted(world: Watching) -> None:
    account = await world.account()
    await asyncio.to_thread(world.dovecot.deliver, account.user, letter("a"))
    await account.settled(["a"])
    account.phone.select()
    await asyncio.to_thread(account.phone.flag, "1", "\\Seen \\Flagged")
    (event,) = await account.told("messageUpdated")
    assert set(event["data"]["changes"]["flags"]["added"]) == {"\\Seen", "\\Flagged"}
    await asyncio.to_thread(account.phone.flag, "1", "\\Seen", sign="-")
    _, event = await account.told("messageUpdated", 2)
    assert event["data"]["changes"]["flags"]["deleted"] == ["\\Seen"]
    assert event["data"]["changes"]["flags"]["value"] == ["\\Flagged"]
    message = (await account.settled(["a"]))["messages"][0]
    assert message["flagged"] is True
    assert message["unseen"] is True


async def test_removed_messages_are_told_and_no_longer_listed(world: Watching) -> None:
    account = await world.account()
    for number in range(4):
        await asyncio.to_thread(account.phone.append, letter(number))
    listing = await account.settled(["3", "2", "1", "0"])
    account.phone.select()
    await asyncio.to_thread(account.phone.expunge, "2:3")
    await account.settled(["3", "0"])
    deleted = [event["data"]["id"] for event in await account.told("messageDeleted", 2)]
    assert deleted == [listing["messages"][2]["id"], listing["messages"][1]["id"]]


async def test_a_moved_message_is_gone_here_and_new_there(world: Watching) -> None:
    account = await world.account()
    await asyncio.to_thread(account.phone.create, "Projects")
    await asyncio.to_thread(world.dovecot.deliver, account.user, letter("moving"))
    await account.settled(["moving"])
    account.phone.select()
    await asyncio.to_thread(account.phone.move, "1", "Projects")
    await account.told("messageDeleted")
    await account.sync()
    await account.told("messageNew", 2)
    (appeared,) = [event for event in await account.events("mailboxNew") if event["path"] == "Projects"]
    assert appeared["data"]["name"] == "Projects"
    assert appeared["data"]["specialUse"] is False
    assert appeared["data"]["uidValidity"].isdigit()
    first, second = await account.events("messageNew")
    assert (first["path"], second["path"]) == ("INBOX", "Projects")
    assert first["data"]["seemsLikeNew"] is True
    assert "seemsLikeNew" not in second["data"] or second["data"]["seemsLikeNew"] is False
    account.phone.select("Projects")
    await asyncio.to_thread(account.phone.move, "1", "INBOX")
    await account.told("messageNew", 3)
    await account.sync()
    told = await account.told("messageDeleted", 2) + await account.told("messageNew", 3)
    assert len({event["data"]["emailId"] for event in told}) == 1
    assert len({event["data"]["id"] for event in told}) == 3
    assert told[0]["data"]["threadId"] == first["data"]["threadId"]


async def test_mailboxes_that_are_renamed_or_deleted_are_told_without_announcing_their_mail_again(
    world: Watching,
) -> None:
    account = await world.account()
    await asyncio.to_thread(account.phone.create, "Before")
    await asyncio.to_thread(account.phone.append, letter("one"), "Before")
    await account.sync()
    await account.told("messageNew")
    await asyncio.to_thread(account.phone.rename, "Before", "After")
    await account.sync()
    appeared = (await account.told("mailboxNew", 2))[-1]
    assert appeared["data"]["renamedFrom"] == "Before"
    assert (await account.told("mailboxDeleted"))[-1]["data"]["renamedTo"] == "After"
    await asyncio.to_thread(account.phone.append, letter("two"), "After")
    await account.sync()
    await account.told("messageNew", 2)
    assert await account.subjects() == ["one", "two"]
    await asyncio.to_thread(account.phone.delete, "After")
    await account.sync()
    gone = (await account.told("mailboxDeleted", 2))[-1]
    assert gone["path"] == "After"
    assert "renamedTo" not in gone["data"]


async def test_a_mailbox_made_anew_under_its_name_is_reset_without_a_flood(world: Watching) -> None:
    account = await world.account()
    await asyncio.to_thread(account.phone.create, "Again")
    for number in range(5):
        await asyncio.to_thread(account.phone.append, letter(number), "Again")
    await account.sync()
    await account.told("messageNew", 5)
    await asyncio.to_thread(account.phone.delete, "Again")
    await asyncio.to_thread(account.phone.create, "Again")
    await asyncio.to_thread(account.phone.append, letter("other"), "Again")
    await account.sync()
    reset = (await account.told("mailboxReset"))[0]
    assert reset["path"] == "Again"
    assert reset["data"]["reason"] == "uidValidityChange"
    assert reset["data"]["uidValidity"] != reset["data"]["prevUidValidity"]
    await asyncio.to_thread(account.phone.append, letter("news"), "Again")
    await account.sync()
    await account.told("messageNew", 6)
    assert await account.subjects() == ["0", "1", "2", "3", "4", "news"]
