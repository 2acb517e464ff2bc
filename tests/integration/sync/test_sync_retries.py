"""What is sent to Redis twice is done once."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.model.event import AccountEventData
from gateway.store.events import event_fields
from gateway.store.index import BoxRecord, IndexedMessage, KnownState
from tests.integration.sync.scripted import ACCOUNT, Taking

pytestmark = pytest.mark.anyio


@pytest.fixture
def twice(taking: Taking, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command is sent again, as when its answer is lost with the connection."""
    call = taking.services.store.data.call

    async def send_twice(*command: Any) -> Any:
        await call(*command)
        return await call(*command)

    monkeypatch.setattr(taking.services.store.data, "call", send_twice)


@pytest.mark.usefixtures("twice")
async def test_an_event_of_a_message_is_logged_once(taking: Taking) -> None:
    event = taking.services.events.make("messageNew", ACCOUNT, AccountEventData(account=ACCOUNT), path="INBOX")
    for number in range(3):
        message = IndexedMessage(str(number), KnownState((), (), number), b"{}")
        await taking.services.index.apply(
            ACCOUNT, 1, "INBOX", messages=[message], events=[event_fields(event)], box=BoxRecord(path="INBOX")
        )
    assert len(await taking.events("messageNew")) == 3


@pytest.mark.usefixtures("twice")
async def test_an_event_of_a_mailbox_is_logged_once(taking: Taking) -> None:
    event = taking.services.events.make("mailboxDeleted", ACCOUNT, AccountEventData(account=ACCOUNT), path="INBOX")
    await taking.services.index.forget(ACCOUNT, 1, "INBOX", event_fields(event))
    assert len(await taking.events("mailboxDeleted")) == 1


@pytest.mark.usefixtures("twice")
async def test_an_event_of_an_account_is_logged_once(taking: Taking) -> None:
    for _ in range(2):
        event = taking.services.events.make("accountAdded", ACCOUNT, AccountEventData(account=ACCOUNT))
        await taking.services.events.append(ACCOUNT, [event])
    assert len(await taking.events("accountAdded")) == 2
