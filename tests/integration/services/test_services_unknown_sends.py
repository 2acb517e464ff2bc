"""What becomes of sends of which nobody knows how they ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import ClassVar

import msgspec
import pytest

from gateway.errors import ConnectError, GatewayError, OutcomeUnknownError, ResourceNotFoundError
from gateway.model.server import Server
from gateway.model.submission import OutboxEntry, OutboxEnvelope, OutboxProgress, SubmitRequest
from gateway.provider import Account, Envelope, Login, Session, SessionContext, SubmitReceipt
from gateway.services import unknown_sends
from gateway.services.deliveries import LOOK
from gateway.services.unknown_sends import FIRST_LOOK, LAST_LOOK, SETTLING, Finding, Look, look_under_sent, resolving
from gateway.store.accounts import AccountConfig, StoredOAuth2
from gateway.store.due import DueWork
from gateway.store.outbox import OutboxMessage
from gateway.testing.context import FixedCredentials, MemoryNumbers
from gateway_imap import ImapProvider, ImapSession, open_session
from tests.integration.services.world import World
from tests.rigs.certificates import Certificates
from tests.rigs.dovecot import GUEST_PASSWORD, Dovecot

pytestmark = pytest.mark.anyio

SENT = Look(Finding.SENT, "<m@example.test>")
NOT_SENT = Look(Finding.NOT_SENT)
NOTHING = Look(Finding.NOTHING)


class Unknown:
    """An entry that is unknown, and a worker that looks for it.

    Attributes:
        finds: what each look finds.
        looks: how often somebody looked.
        taken: how often the message was handed over again.
        settled: how often the mailbox was told that the message is sent; `unreachable` is raised then.
    """

    def __init__(self, world: World, queue_id: str) -> None:
        self.world = world
        self.queue_id = queue_id
        self.finds: Look | Exception = NOTHING
        self.looks = 0
        self.taken = 0
        self.copies = 0
        self.settled = 0
        self.unreachable: GatewayError | None = None

    async def resolve(self) -> None:
        """Run the job that looks."""
        await self.world.services.unknown_sends.resolve("ann", self.queue_id, self._look, self._settle)

    async def _look(self, entry: OutboxEntry, config: AccountConfig) -> Look:
        self.looks += 1
        if isinstance(self.finds, Exception):
            raise self.finds
        return self.finds

    async def _settle(self, message: OutboxMessage) -> None:
        self.settled += 1
        if self.unreachable is not None:
            raise self.unreachable

    async def deliver(self) -> None:
        """Run the job that sends; the service takes everything."""

        async def hand_over(message: bytes, envelope: Envelope) -> SubmitReceipt:
            self.taken += 1
            return SubmitReceipt(response="250 2.0.0 queued")

        async def file_copy(entry: OutboxEntry, message: OutboxMessage) -> None:
            self.copies += 1

        await self.world.services.deliveries.deliver("ann", self.queue_id, "worker", hand_over, file_copy)

    async def entry(self) -> OutboxEntry:
        return await self.world.services.submissions.get(self.queue_id)

    async def due(self) -> list[str]:
        """What is to be done with the entry now."""
        claimed = await self.world.services.due.claim(self.world.clock())
        return [work.operation for work in claimed if work.subject == self.queue_id]

    async def events(self) -> list[str]:
        """The names of the account's events about messages."""
        found, _ = await self.world.services.events.log("ann", set(), after="0", until="+", limit=1000)
        names = [str(msgspec.json.decode(event)["event"]) for event in found]
        return [name for name in names if name.startswith("message")]


async def made_unknown(world: World, attempts: int) -> Unknown:
    """Break the connection of a send between the message and its answer."""
    await world.add_account()
    wire = {"to": [{"address": "bob@example.test"}], "subject": "s", "text": "t", "deliveryAttempts": attempts}
    result = await world.services.submissions.submit("ann", msgspec.convert(wire, SubmitRequest))
    assert result.queue_id is not None

    async def hand_over(message: bytes, envelope: Envelope) -> SubmitReceipt:
        raise OutcomeUnknownError("the connection broke after the message")

    async def file_copy(entry: OutboxEntry, message: OutboxMessage) -> None:
        raise AssertionError("nothing was sent")

    await world.services.deliveries.deliver("ann", result.queue_id, "worker", hand_over, file_copy)
    return Unknown(world, result.queue_id)


@pytest.fixture
async def unknown(world: World) -> Unknown:
    """An unknown entry with attempts left."""
    return await made_unknown(world, 3)


async def test_what_is_found_under_sent_is_told_once_and_filed_and_sent_no_more(unknown: Unknown) -> None:
    assert await unknown.due() == []
    unknown.world.clock.advance(FIRST_LOOK.total_seconds())
    assert await unknown.due() == ["outbox.resolve"]
    unknown.finds = SENT
    for _ in range(2):
        await unknown.resolve()
        await unknown.deliver()
    assert await unknown.events() == ["messageDeliveryError", "messageSent"]
    assert (unknown.taken, unknown.copies, unknown.looks, unknown.settled) == (0, 0, 1, 1)
    with pytest.raises(ResourceNotFoundError):
        await unknown.entry()
    unknown.world.clock.advance(10**7)
    assert await unknown.due() == []


async def test_what_is_found_under_sent_is_sent_though_the_mailbox_cannot_be_changed(unknown: Unknown) -> None:
    """The draft that it was, or the message that it answers, stays as it is."""
    unknown.finds, unknown.unreachable = SENT, ConnectError("gone")
    await unknown.resolve()
    assert (unknown.settled, await unknown.events()) == (1, ["messageDeliveryError", "messageSent"])
    with pytest.raises(ResourceNotFoundError):
        await unknown.entry()


async def test_a_message_that_was_not_sent_is_tried_again_once_the_service_had_time_to_file_it(
    unknown: Unknown,
) -> None:
    unknown.finds = NOT_SENT
    unknown.world.clock.advance(SETTLING.total_seconds() - 1)
    await unknown.resolve()
    assert (await unknown.entry()).state == "unknown"
    unknown.world.clock.advance(SETTLING.total_seconds())
    assert await unknown.due() == ["outbox.resolve"]
    await unknown.resolve()
    assert (await unknown.entry()).state == "retrying"
    assert await unknown.due() == ["outbox.send"]
    await unknown.deliver()
    assert (unknown.taken, await unknown.events()) == (1, ["messageDeliveryError", "messageSent"])


async def test_a_message_that_was_not_sent_and_has_no_attempts_left_failed(world: World) -> None:
    unknown = await made_unknown(world, 1)
    unknown.finds = NOT_SENT
    world.clock.advance(SETTLING.total_seconds())
    await unknown.resolve()
    assert (await unknown.entry()).state == "failed"
    await unknown.deliver()
    assert (unknown.taken, await unknown.events()) == (0, ["messageDeliveryError", "messageFailed"])


@pytest.mark.parametrize("finds", [NOTHING, ConnectError("no route")], ids=["nothing", "no connection"])
async def test_what_cannot_be_found_out_stays_unknown_says_what_to_do_and_is_looked_for_ever_more_seldom(
    unknown: Unknown, finds: Look | Exception
) -> None:
    """It is never sent again by itself."""
    unknown.finds = finds
    step = FIRST_LOOK.total_seconds()
    for _ in range(int(2 * LAST_LOOK.total_seconds() / step)):
        unknown.world.clock.advance(step)
        for operation in await unknown.due():
            assert operation == "outbox.resolve"
            await unknown.resolve()
    assert 8 <= unknown.looks <= 15
    await unknown.deliver()
    entry = await unknown.entry()
    assert entry.state == "unknown"
    assert entry.progress.error is not None
    assert entry.progress.error.remedy is not None
    assert (unknown.taken, await unknown.events()) == (0, ["messageDeliveryError"])


async def test_what_somebody_sends_again_is_not_looked_for(unknown: Unknown) -> None:
    await unknown.world.services.submissions.retry(unknown.queue_id, may_repeat=True)
    unknown.finds = NOT_SENT
    unknown.world.clock.advance(SETTLING.total_seconds())
    await unknown.resolve()
    assert (unknown.looks, (await unknown.entry()).state) == (0, "queued")


async def test_an_entry_whose_worker_died_is_looked_for(world: World) -> None:
    """Nobody else would ever tell its sender."""
    unknown = await made_unknown(world, 3)
    await world.services.submissions.retry(unknown.queue_id, may_repeat=True)

    async def die(message: bytes, envelope: Envelope) -> SubmitReceipt:
        raise KeyError

    async def file_copy(entry: OutboxEntry, message: OutboxMessage) -> None:
        raise AssertionError("nothing was sent")

    with pytest.raises(KeyError):
        await world.services.deliveries.deliver("ann", unknown.queue_id, "worker", die, file_copy)
    world.clock.advance(LOOK.total_seconds())
    await world.services.due.done(resolving("ann", unknown.queue_id))
    await unknown.deliver()
    world.clock.advance(FIRST_LOOK.total_seconds())
    assert DueWork("outbox.resolve", "ann", unknown.queue_id) in await world.services.due.claim(world.clock())


# --- a look, at a real server -----------------------------------------------------------------------------------------


async def test_an_entry_whose_worker_died_before_it_planned_to_look_is_looked_for(unknown: Unknown) -> None:
    """What is left is the plan to send it."""
    due, clock = unknown.world.services.due, unknown.world.clock
    await due.done(resolving("ann", unknown.queue_id))
    await due.put(DueWork("outbox.send", "ann", unknown.queue_id), clock())
    assert await unknown.due() == ["outbox.send"]
    await unknown.deliver()
    clock.advance(FIRST_LOOK.total_seconds())
    assert (await unknown.due(), unknown.taken) == (["outbox.resolve"], 0)


class FilingProvider(ImapProvider):
    """Of a service that files what it takes."""

    saves_sent_copy: ClassVar[bool] = True


ENTRY = OutboxEntry(
    queue_id="q",
    account="a",
    message_id="<mine@example.test>",
    envelope=OutboxEnvelope(from_="a@example.test", to=("b@example.test",)),
    subject="Mine",
    state="unknown",
    created=datetime.now(UTC),
    scheduled=datetime.now(UTC),
    progress=OutboxProgress(status="error"),
)
CONFIG = AccountConfig(account="a", provider="x")


def letter(message_id: str, subject: str) -> bytes:
    """A message that was sent now."""
    now = format_datetime(datetime.now(UTC))
    return (
        f"From: a@example.test\r\nDate: {now}\r\nSubject: {subject}\r\nMessage-ID: {message_id}\r\n\r\nx\r\n".encode()
    )


@pytest.fixture
def user(dovecot: Dovecot) -> str:
    """A mailbox with another message under Sent."""
    user = dovecot.new_user()
    dovecot.deliver(user, letter("<other@example.test>", "Other"), "Sent")
    return user


@pytest.fixture
async def session(dovecot: Dovecot, certificates: Certificates, user: str) -> AsyncIterator[ImapSession]:
    """A session of that mailbox."""
    host, port = dovecot.full
    account = Account(id="a", user=user, email=user, special_use={"\\Sent": "Sent"})
    login = Login(user=user, password=GUEST_PASSWORD)
    context = SessionContext(credentials=FixedCredentials(login), numbers=MemoryNumbers())
    imap = Server(host=host, port=port, ca_file=certificates.authority)
    async with open_session(account=account, context=context, imap=imap, smtp=None) as opened:
        yield opened


async def look(session: Session, *, filing: bool = True, config: AccountConfig = CONFIG, **members: object) -> Finding:
    """What is found of the entry."""
    provider = FilingProvider() if filing else ImapProvider()
    return (await look_under_sent(session, provider, config, msgspec.structs.replace(ENTRY, **members))).finding


async def test_a_sent_message_is_found_among_others(session: Session, dovecot: Dovecot, user: str) -> None:
    dovecot.deliver(user, letter(ENTRY.message_id, "Mine"), "Sent")
    assert await look(session) is Finding.SENT
    assert await look(session, filing=False) is Finding.SENT


async def test_absence_proves_something_only_where_the_service_files_what_it_takes(session: Session) -> None:
    assert await look(session) is Finding.NOT_SENT
    assert await look(session, filing=False) is Finding.NOTHING
    assert await look(session, gateway="relay") is Finding.NOTHING
    shared = msgspec.structs.replace(CONFIG, oauth2=StoredOAuth2(app="x", user="u", shared="s@example.test"))
    assert await look(session, config=shared) is Finding.NOTHING


async def test_absence_proves_nothing_where_the_service_may_have_named_the_message_anew(
    session: Session, dovecot: Dovecot, user: str
) -> None:
    """Exchange does so."""
    dovecot.deliver(user, letter("<anew@prod.example.test>", "Mine"), "Sent")
    assert await look(session) is Finding.NOTHING


async def test_an_older_message_of_the_same_id_is_not_taken_for_it(
    session: Session, dovecot: Dovecot, user: str
) -> None:
    dovecot.deliver(user, letter(ENTRY.message_id, "Mine"), "Sent")
    assert await look(session, created=datetime.now(UTC) + timedelta(hours=1)) is Finding.NOTHING


async def test_absence_proves_nothing_where_more_came_since_than_is_looked_at(
    session: Session, dovecot: Dovecot, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message would be sent twice if it lay below them."""
    monkeypatch.setattr(unknown_sends, "_PAGE", 2)
    monkeypatch.setattr(unknown_sends, "MOST", 6)
    for number in range(5):
        dovecot.deliver(user, letter(f"<{number}@example.test>", "Other"), "Sent")
    assert await look(session) is Finding.NOT_SENT
    dovecot.deliver(user, letter("<6@example.test>", "Other"), "Sent")
    assert await look(session) is Finding.NOTHING
