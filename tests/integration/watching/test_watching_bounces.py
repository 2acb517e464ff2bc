"""A bounce arrives for a message that was sent."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.queue import operations
from tests.integration.queue.rig import eventually
from tests.integration.watching.rig import Watching, letter
from tests.samples.reports import samples

pytestmark = pytest.mark.anyio

BOUNCE = next(sample.source for sample in samples() if sample.name == "delivery_status:postfix-user-unknown")
SENT = b"From: me@sender.example\r\nTo: nobody@example.org\r\nSubject: Quarterly report\r\n"
SENT += b"Message-ID: <original@sender.example>\r\n\r\nHello"


async def test_a_bounce_is_told_once_and_shown_at_the_sent_message(world: Watching) -> None:
    user, phone = await world.user()
    phone.create("Sent")
    phone.create("Junk")
    account = await world.create(user, phone, subconnections=("Sent",))
    account.phone.append(SENT, "Sent", "\\Seen")
    await account.settled(["Quarterly report"], "Sent")
    account.phone.append(BOUNCE)
    (bounce,) = await account.told("messageBounce")
    inbox = await account.settled(["Undelivered Mail Returned to Sender"])
    data = bounce["data"]
    assert data["bounceMessage"] == inbox["messages"][0]["id"]
    assert (data["recipient"], data["action"]) == ("nobody@example.org", "failed")
    assert (data["response"]["source"], data["response"]["status"]) == ("smtp", "5.1.1")
    assert (data["mta"], data["queueId"]) == ("mail.sender.example", "4B2F91C0A3")
    assert (data["messageId"], data["messageHeaders"]["to"]) == ("<original@sender.example>", ["nobody@example.org"])

    async def shown() -> list[dict[str, Any]]:
        found = await account.indexed("Sent")
        return [] if found is None else found["messages"][0].get("bounces", [])

    indexed = await eventually(shown, "the index shows the bounce")
    (sent,) = (await account.asked("Sent"))["messages"]
    assert sent["bounces"] == indexed
    assert (indexed[0]["message"], indexed[0]["recipient"]) == (data["bounceMessage"], "nobody@example.org")
    detail = msgspec.json.decode(await account.call(operations.MESSAGES_GET, operations.GetMessage(message=sent["id"])))
    assert detail["bounces"] == indexed

    account.phone.select()
    account.phone.move("1", "Junk")
    account.phone.append(letter("after"))
    await account.settled(["after"])
    await account.sync()
    await account.told("messageNew", 4)
    assert len(await account.events("messageBounce")) == 1
