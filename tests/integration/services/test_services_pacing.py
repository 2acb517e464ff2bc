"""Limits of a mail service for one mailbox: kept to over accounts, workers and restarts, and nothing fails for them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import pytest

from gateway.errors import ServiceUnavailableError
from gateway.model.account import AccountCreate, OAuth2Auth, OAuth2Config
from gateway.model.relay import RelayCreate
from gateway.model.submission import OutboxEntry, SubmitRequest, SubmitResult
from gateway.provider import Envelope, SubmissionLimits, SubmitReceipt
from gateway.redis import keys
from gateway.services.merging import Merged
from gateway.store.outbox import OutboxMessage
from tests.integration.services.world import ScriptedProvider, World, open_world

pytestmark = pytest.mark.anyio

EXCHANGE = SubmissionLimits(service="exchange", messages=30, seconds=60, connections=3)
STEP = 0.5


class Postbox:
    """Sends for the accounts of a world, and remembers when.

    Attributes:
        taken: account, subject and time of each message that was handed over.
        asked: how often a job ran.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.taken: list[tuple[str, str, datetime]] = []
        self.errors: list[Exception] = []
        self.asked = 0
        self.gate: asyncio.Event | None = None

    async def submit(self, subject: str = "s", account: str = "ann", **members: object) -> str:
        """Queue a message."""
        wire = {"to": [{"address": "bob@example.test"}], "subject": subject, "text": "t", **members}
        result = await self.world.services.submissions.submit(account, msgspec.convert(wire, SubmitRequest))
        assert result.queue_id is not None
        return result.queue_id

    async def merge(self, count: int) -> list[str]:
        """Queue a mail merge."""
        recipients = [{"to": {"address": f"r{number}@example.test"}} for number in range(count)]
        wire = {"subject": "merge", "text": "t", "mailMerge": recipients}
        told: list[Merged] = []

        def answer(merged: Sequence[Merged]) -> SubmitResult:
            told.extend(merged)
            return SubmitResult(response="Queued for delivery")

        await self.world.services.submissions.submit_merge("ann", msgspec.convert(wire, SubmitRequest), answer)
        return [str(each.found.queue_id) for each in told]  # type: ignore[union-attr]

    async def deliver(self, queue_id: str, account: str = "ann") -> None:
        """Run the job of an entry."""

        async def hand_over(message: bytes, envelope: Envelope) -> SubmitReceipt:
            if self.gate is not None:
                await self.gate.wait()
            if self.errors:
                raise self.errors.pop(0)
            subject = message.split(b"Subject: ", 1)[1].split(b"\r\n", 1)[0].decode()
            self.taken.append((account, subject, self.world.clock()))
            return SubmitReceipt(response="250 2.0.0 queued")

        async def file_copy(entry: OutboxEntry, message: OutboxMessage) -> None:
            pass

        self.asked += 1
        await self.world.services.deliveries.deliver(account, queue_id, "worker", hand_over, file_copy)

    async def entry(self, queue_id: str) -> OutboxEntry:
        """Return an entry."""
        return await self.world.services.submissions.get(queue_id)

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and run what becomes due."""
        for _ in range(int(seconds / STEP)):
            self.world.clock.advance(STEP)
            for work in await self.world.services.due.claim(self.world.clock()):
                if work.operation == "outbox.send":
                    await self.deliver(work.subject, work.account)

    def busiest(self, window: float = 60) -> int:
        """Return how many messages were handed over within one window, at most."""
        times = sorted(time for _, _, time in self.taken)
        length = timedelta(seconds=window)
        return max(sum(1 for other in times if time <= other < time + length) for time in times)


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> SubmissionLimits:
    """The mail service limits what one mailbox sends."""
    monkeypatch.setattr(ScriptedProvider, "submission_limits", EXCHANGE)
    return EXCHANGE


@pytest.fixture
async def box(world: World, limits: SubmissionLimits) -> Postbox:
    """An account on that service."""
    await world.add_account()
    return Postbox(world)


async def test_what_is_over_the_limit_waits_and_costs_no_attempt(box: Postbox) -> None:
    """Thirty a minute are taken; the next one is neither refused nor failed, and says when it goes."""
    for _ in range(30):
        await box.deliver(await box.submit())
    box.world.clock.advance(20)
    late = await box.submit(deliveryAttempts=1)
    await box.deliver(late)
    entry = await box.entry(late)
    assert (entry.state, entry.attempts_made, entry.progress.status) == ("queued", 0, "queued")
    assert entry.next_attempt == box.world.clock() + timedelta(seconds=40)
    assert "may not send more" in (entry.progress.response or "")
    assert len(box.taken) == 30
    await box.pass_time(39.5)
    assert len(box.taken) == 30
    await box.pass_time(1)
    assert len(box.taken) == 31


async def test_a_merge_goes_out_at_the_rate_and_lets_other_mail_pass(box: Postbox) -> None:
    """A merge may take minutes; a letter in the middle of it takes none. Nobody asks over and over meanwhile."""
    for queue_id in await box.merge(100):
        await box.deliver(queue_id)
    waits = []
    for number in range(12):
        await box.pass_time(20)
        letter = await box.submit(f"letter {number}")
        await box.deliver(letter)
        begun = box.world.clock()
        waits += [time - begun for _, subject, time in box.taken if subject == f"letter {number}"]
    await box.pass_time(60)
    assert waits == [timedelta(0)] * 12
    assert sum(subject == "merge" for _, subject, _ in box.taken) == 100
    assert box.busiest() <= 30
    assert box.asked <= 2.5 * len(box.taken)


async def test_a_worker_that_starts_anew_does_not_send_as_if_nothing_had_been_sent(
    box: Postbox, redis_url: str
) -> None:
    """What was sent in the last minute is known to the next worker."""
    for _ in range(30):
        await box.deliver(await box.submit())
    waiting = await box.submit()
    box.world.clock.advance(30)
    async with open_world(redis_url, clock=box.world.clock) as other:
        successor = Postbox(other)
        await successor.deliver(waiting)
        assert successor.taken == []
        box.world.clock.advance(30)
        await successor.deliver(waiting)
        assert len(successor.taken) == 1


async def share(box: Postbox, account: str) -> None:
    """Add an account that opens a shared mailbox with ann's own login."""
    auth = OAuth2Auth(user="ann@example.test", delegated_user=f"{account}@example.test")
    request = AccountCreate(
        account=account,
        name="",
        email=f"{account}@example.test",
        oauth2=OAuth2Config(provider=box.world.app, auth=auth),
    )
    await box.world.services.accounts.create(request, box.world.identity.issue())


async def test_accounts_of_one_login_are_counted_together(box: Postbox) -> None:
    """The service knows the login, not the gateway's accounts."""
    await share(box, "team")
    for number in range(30):
        account = ("ann", "team")[number % 2]
        await box.deliver(await box.submit(account=account), account)
    assert len(box.taken) == 30
    late = await box.submit(account="team")
    await box.deliver(late, "team")
    assert len(box.taken) == 30


async def test_no_more_accounts_are_connected_than_the_service_allows(box: Postbox) -> None:
    """A fourth connection would be refused; it waits until one of the others is closed for want of use."""
    names = ("ann", "one", "two", "three")
    for name in names[1:]:
        await share(box, name)
    for name in names:
        await box.deliver(await box.submit(account=name), name)
    assert [account for account, _, _ in box.taken] == ["ann", "one", "two"]
    await box.deliver(await box.submit(account="one"), "one")
    assert len(box.taken) == 4, "an account with a connection uses it"
    await box.pass_time(70)
    assert [account for account, _, _ in box.taken][-1] == "three"
    assert (await box.world.services.submissions.list(page=0, page_size=10)).total == 0


async def test_a_hand_over_counts_from_its_end(box: Postbox) -> None:
    """A slow server takes a message long after it was allowed; the minute begins then."""
    box.gate = asyncio.Event()
    slow = [asyncio.ensure_future(box.deliver(await box.submit())) for _ in range(30)]
    for _ in range(30):
        await box.world.services.store.data.call("PING")
    box.world.clock.advance(50)
    box.gate.set()
    await asyncio.gather(*slow)
    box.world.clock.advance(30)
    await box.deliver(await box.submit())
    assert len(box.taken) == 30
    await box.pass_time(31)
    assert len(box.taken) == 31


async def test_failed_attempts_count_as_the_service_saw_them(box: Postbox) -> None:
    """What is tried again goes on being counted, and a pause that the service asks for is kept beside the limit."""
    failing = await box.submit()
    for _ in range(2):
        box.errors = [ServiceUnavailableError("421 4.3.2 try later")]
        await box.deliver(failing)
        entry = await box.entry(failing)
        assert isinstance(entry.next_attempt, datetime)
        box.world.clock.advance((entry.next_attempt - box.world.clock()).total_seconds())
    for _ in range(28):
        await box.deliver(await box.submit())
    assert len(box.taken) == 28
    await box.deliver(await box.submit())
    assert len(box.taken) == 28
    assert (await box.entry(failing)).attempts_made == 2


async def test_mail_that_was_cancelled_holds_up_no_other_for_long(box: Postbox) -> None:
    """The places that a cancelled merge would have taken are free again within minutes."""
    merged = await box.merge(200)
    for queue_id in merged:
        await box.deliver(queue_id)
    for queue_id in merged[24:]:
        await box.world.services.submissions.delete(queue_id)
    (after,) = await box.merge(1)
    await box.deliver(after)
    await box.pass_time(310)
    assert sum(subject == "merge" for _, subject, _ in box.taken) == 25


async def test_a_relay_has_nothing_to_do_with_the_mailbox(box: Postbox) -> None:
    """What a relay sends is not counted, and not held up."""
    for _ in range(30):
        await box.deliver(await box.submit())
    await box.world.services.relays.create(
        RelayCreate(gateway="relay", name="Relay", host="127.0.0.1", port=1, secure=False)
    )
    relayed = await box.submit(gateway="relay")
    await box.deliver(relayed)
    entry = await box.entry(relayed)
    assert (entry.state, entry.attempts_made) == ("retrying", 1)


async def test_nothing_is_counted_where_nothing_is_limited(world: World) -> None:
    """Most services have no such limit, and pay nothing for those that have."""
    await world.add_account()
    box = Postbox(world)
    for _ in range(40):
        await box.deliver(await box.submit())
    assert len(box.taken) == 40
    assert await world.services.store.data.call("KEYS", keys.pace("*", "*")) == []


async def test_what_was_sent_is_forgotten_and_names_nobody(box: Postbox) -> None:
    """Addresses stand in no key; a mailbox that sends nothing leaves nothing behind."""
    await box.deliver(await box.submit())
    found = await box.world.services.store.data.call("KEYS", keys.pace("*", "*"))
    assert found
    for name in found:
        assert b"ann" not in name
        assert 0 < await box.world.services.store.data.call("TTL", name) <= 600
