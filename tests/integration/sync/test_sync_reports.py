"""Bounces and complaints among new mail."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.mime.parse import parse_message
from gateway.mime.reports import judge
from gateway.model.message import BounceEntry
from gateway.store.bounces import AGE, BounceStore
from tests.integration.sync.scripted import ACCOUNT, Taking
from tests.samples.reports import samples

pytestmark = pytest.mark.anyio

SOURCES = {sample.name: sample.source for sample in samples()}
BOUNCE = SOURCES["delivery_status:postfix-user-unknown"]
COMPLAINT = SOURCES["complaints:rfc5965-full"]
DELAYED = SOURCES["delivery_status:delayed"]
RECEIPT = SOURCES["negatives:dsn-delivered"]
LETTER = SOURCES["negatives:personal-letter-about-mail"]
SENT = b"From: me@sender.example\r\nSubject: Quarterly report\r\nMessage-ID: <original@sender.example>\r\n\r\nHello"


def put(taking: Taking, id: str, source: bytes, path: str = "INBOX") -> None:
    """Put a message with a source into a mailbox."""
    taking.session.sources[id] = source
    taking.session.put(id, path=path)


async def test_a_bounce_is_told_after_its_message(taking: Taking) -> None:
    await taking.take()
    put(taking, "1", BOUNCE)
    await taking.take()
    new, bounce = await taking.events("messageNew", "messageBounce")
    assert new["event"] == "messageNew"
    assert new["data"]["isBounce"] is True
    assert new["data"]["relatedMessageId"] == "<original@sender.example>"
    assert new["data"]["deliveryReport"]["recipients"][0]["finalRecipient"] == "nobody@example.org"
    assert (bounce["event"], bounce["path"]) == ("messageBounce", "INBOX")
    data = bounce["data"]
    assert (data["bounceMessage"], data["recipient"], data["action"]) == ("1", "nobody@example.org", "failed")
    assert data["response"]["status"] == "5.1.1"
    assert (data["response"]["category"], data["response"]["recommendedAction"]) == ("user_unknown", "remove")
    assert (data["mta"], data["queueId"]) == ("mail.sender.example", "4B2F91C0A3")
    assert data["messageId"] == "<original@sender.example>"
    assert data["messageHeaders"]["subject"] == ["Quarterly report"]


async def test_a_complaint_is_told_after_its_message(taking: Taking) -> None:
    await taking.take()
    put(taking, "1", COMPLAINT)
    await taking.take()
    new, complaint = await taking.events("messageNew", "messageComplaint")
    assert new["data"]["isComplaint"] is True
    assert complaint["data"]["complaintMessage"] == "1"
    assert complaint["data"]["arf"]["feedbackType"] == "abuse"
    assert complaint["data"]["headers"]["messageId"] == "<original@sender.example>"


async def test_a_report_that_is_moved_to_junk_is_told_once(taking: Taking) -> None:
    taking.session.boxes["Junk"] = {}
    await taking.take()
    put(taking, "1", BOUNCE)
    put(taking, "2", COMPLAINT.replace(b"<report@", b"<complaint@"))
    await taking.take()
    taking.session.boxes["INBOX"].clear()
    put(taking, "3", BOUNCE, "Junk")
    put(taking, "4", COMPLAINT.replace(b"<report@", b"<complaint@"), "Junk")
    await taking.take()
    assert len(await taking.events("messageNew")) == 4
    assert len(await taking.events("messageBounce")) == 1
    assert len(await taking.events("messageComplaint")) == 1


async def test_a_delay_is_told_as_a_bounce_that_is_not_final(taking: Taking) -> None:
    await taking.take()
    put(taking, "1", DELAYED)
    await taking.take()
    new, bounce = await taking.events("messageNew", "messageBounce")
    assert new["data"]["deliveryReport"]["recipients"][0]["action"] == "delayed"
    assert (bounce["data"]["recipient"], bounce["data"]["action"]) == ("slow@example.org", "delayed")


async def test_a_receipt_is_told_with_the_message_only(taking: Taking) -> None:
    await taking.take()
    put(taking, "1", RECEIPT)
    await taking.take()
    (event,) = await taking.events("messageNew", "messageBounce")
    assert event["data"]["deliveryReport"]["recipients"][0]["action"] == "delivered"
    assert "isBounce" not in event["data"]


async def test_letters_and_sent_mail_are_not_read_for_reports(taking: Taking) -> None:
    taking.session.boxes["Sent"] = {}
    await taking.take()
    put(taking, "1", LETTER)
    put(taking, "2", BOUNCE, "Sent")
    taking.session.deadly_sources = {"1", "2"}
    await taking.take()
    assert sorted(await taking.ids()) == ["1", "2"]
    assert await taking.events("messageBounce") == []


async def test_a_report_that_kills_its_readers_is_left_alone_and_others_are_told_once(taking: Taking) -> None:
    await taking.take()
    for id in ("1", "2", "3"):
        put(taking, id, BOUNCE.replace(b"<report@", f"<report{id}@".encode()))
    taking.session.deadly_sources = {"2"}
    assert await taking.take_whatever_dies() == 3
    assert await taking.ids("messageQuarantined") == ["2"]
    assert [event["data"]["bounceMessage"] for event in await taking.events("messageBounce")] == ["1", "3"]


@pytest.mark.parametrize("before", [True, False], ids=["sent before the bounce", "filed after the bounce"])
async def test_the_index_shows_the_bounce_at_the_sent_message(taking: Taking, before: bool) -> None:
    taking.session.boxes["Sent"] = {}
    await taking.take(subconnections=("Sent",))
    steps = [lambda: put(taking, "7", SENT, "Sent"), lambda: put(taking, "1", BOUNCE)]
    for step in steps if before else reversed(steps):
        step()
        await taking.take(subconnections=("Sent",))
    (shown,) = (await taking.held("Sent"))["7"]["bounces"]
    assert (shown["message"], shown["recipient"], shown["action"]) == ("1", "nobody@example.org", "failed")
    assert shown["response"]["status"] == "5.1.1"
    taking.session.boxes["Sent"]["7"] = ("\\Seen",)
    await taking.take(subconnections=("Sent",))
    entry = (await taking.held("Sent"))["7"]
    assert (entry["flags"], entry["bounces"]) == (["\\Seen"], [shown])


async def test_an_entry_that_somebody_else_changes_meanwhile_is_not_overwritten(taking: Taking) -> None:
    taking.session.boxes["Sent"] = {}
    await taking.take(subconnections=("Sent",))
    put(taking, "7", SENT, "Sent")
    await taking.take(subconnections=("Sent",))
    index = taking.services.index
    held = (await index.entries(ACCOUNT, "Sent", ["7"]))["7"]
    assert not await index.reword(ACCOUNT, 1, "Sent", "7", b"as it was long ago", b"{}")
    assert (await index.entries(ACCOUNT, "Sent", ["7"]))["7"] == held


async def test_bounces_are_remembered_for_a_while(taking: Taking) -> None:
    store, now = BounceStore(taking.services.store), taking.services.clock()
    entry = BounceEntry(message="1", recipient="nobody@example.org", action="failed")
    await store.remember(ACCOUNT, [("<a@x>", entry), ("<a@x>", entry)], now=now)
    assert await store.of(ACCOUNT, ["<a@x>", "<b@x>"]) == {"<a@x>": (entry,)}
    assert await store.claim(ACCOUNT, "<r@x>", "1", now=now)
    assert await store.claim(ACCOUNT, "<r@x>", "1", now=now)
    assert not await store.claim(ACCOUNT, "<r@x>", "2", now=now)
    later = now + AGE + timedelta(seconds=1)
    await store.remember(ACCOUNT, [("<b@x>", entry)], now=later)
    assert await store.of(ACCOUNT, ["<a@x>", "<b@x>"]) == {"<b@x>": (entry,)}


async def test_only_so_many_bounces_are_remembered(taking: Taking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.store.bounces.MOST", 3)
    store, now = BounceStore(taking.services.store), taking.services.clock()
    entry = BounceEntry(message="1", recipient="nobody@example.org", action="failed")
    for number in range(5):
        await store.remember(ACCOUNT, [(f"<{number}@x>", entry)], now=now + timedelta(seconds=number))
    assert list(await store.of(ACCOUNT, [f"<{number}@x>" for number in range(5)])) == ["<2@x>", "<3@x>", "<4@x>"]


async def test_a_bounce_of_an_erased_account_leaves_nothing(taking: Taking) -> None:
    store, now = BounceStore(taking.services.store), taking.services.clock()
    entry = BounceEntry(message="1", recipient="nobody@example.org", action="failed")
    await taking.services.account_store.delete(ACCOUNT)
    await store.remember(ACCOUNT, [("<a@x>", entry)], now=now)
    assert await store.of(ACCOUNT, ["<a@x>"]) == {}


async def test_a_report_with_many_recipients_tells_of_each(taking: Taking) -> None:
    await taking.take()
    two = SOURCES["delivery_status:postfix-two-of-three"]
    put(taking, "1", two)
    await taking.take()
    told = [event["data"]["recipient"] for event in await taking.events("messageBounce")]
    assert told == [bounce.recipient for bounce in judge(two, "1").bounces] == ["one@example.org", "two@example.net"]
    assert parse_message(two).entry("1").message_id == "<report@reporter.example>"
