"""The outbox: nothing is lost, nothing is sent twice, and what nobody knows is said to be unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import datetime, timedelta

import msgspec
import pytest

from gateway.errors import (
    ConflictError,
    ConnectError,
    GatewayError,
    InvalidRequestError,
    MessageRefusedError,
    OutcomeUnknownError,
    RateLimitError,
    ReauthorizationError,
    Remedy,
    ResourceNotFoundError,
    ServiceUnavailableError,
)
from gateway.model.account import AccountCreate
from gateway.model.submission import OutboxEntry, SubmitRequest
from gateway.services.deliveries import ABANDONED, FIRST_RETRY, KEPT, LOOK
from gateway.services.submissions import SWEEP
from gateway.store.outbox import OutboxMessage, OutboxStore
from tests.integration.services.outbox import WORKER, Outbox
from tests.integration.services.world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
async def outbox(world: World) -> Outbox:
    """The outbox of a connected account."""
    await world.add_account()
    return Outbox(world)


async def test_a_sent_message_leaves_the_outbox_and_is_filed(outbox: Outbox) -> None:
    """The hidden recipient is in the envelope and in the sender's copy, not in what is sent."""
    queue_id = await outbox.submit(bcc=[{"address": "eve@example.test"}])
    await outbox.deliver(queue_id)
    ((raw, envelope),) = outbox.service.taken
    assert set(envelope.rcpt_to) == {"bob@example.test", "eve@example.test"}
    assert b"eve@example.test" not in raw
    (copy,) = outbox.service.copies
    assert copy.sent_copy is not None
    assert b"eve@example.test" in copy.sent_copy
    with pytest.raises(ResourceNotFoundError):
        await outbox.entry(queue_id)
    outbox.world.clock.advance(10**7)
    assert not await outbox.due(queue_id)
    status = (await outbox.world.services.accounts.get("ann")).smtp_status
    assert status is not None
    assert status.status == "ok"


async def test_two_jobs_for_one_entry_send_once(outbox: Outbox) -> None:
    """A sweep that thinks a job was lost queues another one."""
    queue_id = await outbox.submit()
    outbox.service.gate = asyncio.Event()
    jobs = [asyncio.ensure_future(outbox.deliver(queue_id)) for _ in range(5)]
    while sum(job.done() for job in jobs) < 4:
        await asyncio.sleep(0)
    outbox.service.gate.set()
    await asyncio.gather(*jobs)
    assert len(outbox.service.taken) == 1


async def test_passing_failures_are_tried_again_later_and_later(outbox: Outbox) -> None:
    """5 s doubling with a fifth of jitter, so that a service that is down is not hammered."""
    queue_id = await outbox.submit(deliveryAttempts=4)
    previous = timedelta(0)
    for attempt in range(1, 4):
        outbox.service.errors = [ServiceUnavailableError("421 4.3.2 try later")]
        await outbox.deliver(queue_id)
        entry = await outbox.entry(queue_id)
        assert (entry.state, entry.attempts_made) == ("retrying", attempt)
        assert isinstance(entry.next_attempt, datetime)
        wait = entry.next_attempt - outbox.world.clock()
        assert FIRST_RETRY * 2 ** (attempt - 1) * 0.8 <= wait <= FIRST_RETRY * 2 ** (attempt - 1) * 1.2
        assert wait > previous
        previous = wait
        outbox.world.clock.advance(wait.total_seconds() - 0.1)
        assert not await outbox.due(queue_id)
        outbox.world.clock.advance(0.2)
        assert await outbox.due(queue_id)
    outbox.service.errors = [ServiceUnavailableError("421 4.3.2 try later")]
    await outbox.deliver(queue_id)
    assert (await outbox.entry(queue_id)).state == "failed"
    assert outbox.service.taken == []


async def messages_sent(outbox: Outbox) -> int:
    """How often the account was told that a message is sent."""
    found, _ = await outbox.world.services.events.log("ann", {"messageSent"}, after="0", until="+", limit=1000)
    return len(found)


async def test_a_worker_that_dies_after_the_service_took_the_message_leaves_it_sent(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever finds it sent hands nothing over and tells nothing again; the copy is filed and the entry forgotten."""
    queue_id = await outbox.submit()
    with monkeypatch.context() as patched:
        patched.setattr(outbox.world.services.events, "announce", _die)
        with pytest.raises(asyncio.CancelledError):
            await outbox.deliver(queue_id)
    entry = await outbox.entry(queue_id)
    assert (entry.state, entry.next_attempt, entry.progress.response) == ("sent", False, "250 2.0.0 queued")
    assert not (await outbox.world.services.submissions.delete(queue_id)).deleted
    await asyncio.gather(*(outbox.deliver(queue_id) for _ in range(3)))
    assert (len(outbox.service.taken), len(outbox.service.copies), await messages_sent(outbox)) == (1, 1, 1)
    with pytest.raises(ResourceNotFoundError):
        await outbox.entry(queue_id)
    outbox.world.clock.advance(10**7)
    assert not await outbox.due(queue_id)


async def _die(account: str) -> None:
    raise asyncio.CancelledError


async def test_a_worker_that_dies_while_filing_the_copy_files_no_second_one(outbox: Outbox) -> None:
    """It may be there; a missing copy is better than two, or than a message that is sent again."""
    queue_id = await outbox.submit()
    filed = outbox.service.copies

    async def file_copy(entry: OutboxEntry, message: OutboxMessage) -> None:
        filed.append(message)
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await outbox.world.services.deliveries.deliver("ann", queue_id, WORKER, outbox.service.hand_over, file_copy)
    outbox.world.clock.advance(ABANDONED.total_seconds())
    assert await outbox.due(queue_id)
    await outbox.deliver(queue_id)
    assert (len(outbox.service.taken), len(filed), await messages_sent(outbox)) == (1, 1, 1)
    with pytest.raises(ResourceNotFoundError):
        await outbox.entry(queue_id)


async def test_a_failed_message_is_kept_for_a_while_and_then_forgotten(outbox: Outbox) -> None:
    """A client that was away can still read why."""
    queue_id = await outbox.submit()
    outbox.service.errors = [MessageRefusedError("550 no such user")]
    await outbox.deliver(queue_id)
    outbox.world.clock.advance(KEPT.total_seconds() - 1)
    await outbox.deliver(queue_id)
    assert (await outbox.entry(queue_id)).state == "failed"
    assert (await outbox.world.services.submissions.list(page=0, page_size=10)).total == 1
    outbox.world.clock.advance(2)
    assert await outbox.due(queue_id)
    await outbox.deliver(queue_id)
    assert (await outbox.world.services.submissions.list(page=0, page_size=10)).total == 0
    outbox.world.clock.advance(10**7)
    assert not await outbox.due(queue_id)


async def test_a_second_job_does_not_shorten_the_pause(outbox: Outbox) -> None:
    """The service asked for it; a job that was queued twice must not break the promise."""
    queue_id = await outbox.submit()
    outbox.service.errors = [RateLimitError("432 slow down", retry_after=120)]
    await outbox.deliver(queue_id)
    await outbox.deliver(queue_id)
    assert outbox.service.taken == []
    entry = await outbox.entry(queue_id)
    assert isinstance(entry.next_attempt, datetime)
    assert entry.next_attempt - outbox.world.clock() >= timedelta(seconds=120)
    outbox.world.clock.advance(121)
    assert await outbox.due(queue_id)
    await outbox.deliver(queue_id)
    assert len(outbox.service.taken) == 1


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (MessageRefusedError("550 no such user"), "failed"),
        (ReauthorizationError("SMTP AUTH is off", remedy=Remedy(code="x", title="t", who="tenant_admin")), "failed"),
        (OutcomeUnknownError("the connection broke after the message"), "unknown"),
        (ConnectError("no route"), "retrying"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_the_kind_of_error_decides(outbox: Outbox, error: GatewayError, state: str) -> None:
    """What may be out is never sent again, what was refused for good is not tried again."""
    queue_id = await outbox.submit()
    outbox.service.errors = [error]
    await outbox.deliver(queue_id)
    entry = await outbox.entry(queue_id)
    assert (entry.state, entry.attempts_made) == (state, 1)
    assert entry.progress.error is not None
    assert entry.progress.error.code == error.error_code
    remedy = getattr(error, "remedy", None)
    assert (entry.progress.error.remedy is not None) == (remedy is not None)
    outbox.world.clock.advance(10**5)
    assert await outbox.due(queue_id) == (state == "retrying")
    if state != "retrying":
        await outbox.deliver(queue_id)
        assert outbox.service.taken == []
        assert (await outbox.entry(queue_id)).state == state


@pytest.mark.parametrize("lives", [False, True], ids=["dead", "stuck"])
async def test_a_worker_that_ends_no_sending_leaves_an_unknown_outcome(outbox: Outbox, lives: bool) -> None:
    """Nobody knows whether the message is out: sending it again would be a guess."""
    queue_id = await outbox.submit()
    outbox.service.errors = [asyncio.CancelledError()]
    with pytest.raises(asyncio.CancelledError):
        await outbox.deliver(queue_id)
    await outbox.worker_lives(True)
    await outbox.deliver(queue_id)
    assert (await outbox.entry(queue_id)).state == "sending", "it may still be under way"
    await outbox.worker_lives(lives)
    outbox.world.clock.advance((ABANDONED if lives else LOOK).total_seconds())
    assert await outbox.due(queue_id)
    await outbox.deliver(queue_id)
    assert (await outbox.entry(queue_id)).state == "unknown"
    assert outbox.service.taken == []


async def test_a_worker_that_comes_back_late_does_not_end_the_attempt_of_another(outbox: Outbox) -> None:
    """Its failure is that of its own attempt; the other one may be handing the message over this moment."""
    queue_id = await outbox.submit()
    late, other = asyncio.Event(), asyncio.Event()
    outbox.service.gate = late
    outbox.service.errors = [MessageRefusedError("550 no such user")]
    first = asyncio.ensure_future(outbox.deliver(queue_id))
    while (await outbox.entry(queue_id)).state != "sending":
        await asyncio.sleep(0)
    outbox.world.clock.advance(ABANDONED.total_seconds())
    await outbox.deliver(queue_id)
    await outbox.world.services.submissions.retry(queue_id, may_repeat=True)
    outbox.service.gate = other
    second = asyncio.ensure_future(outbox.deliver(queue_id))
    while (await outbox.entry(queue_id)).state != "sending":
        await asyncio.sleep(0)
    late.set()
    await first
    assert (await outbox.entry(queue_id)).state == "sending"
    other.set()
    await second
    assert (len(outbox.service.taken), await messages_sent(outbox)) == (1, 1)


async def test_a_lost_job_is_brought_back(outbox: Outbox) -> None:
    """The entry is the truth; the job is only its messenger."""
    queue_id = await outbox.submit()
    assert not await outbox.due(queue_id)
    outbox.world.clock.advance(SWEEP.total_seconds() + 1)
    assert await outbox.due(queue_id)


async def test_a_message_waits_for_its_time(outbox: Outbox) -> None:
    """Not due before, due then."""
    at = outbox.world.clock() + timedelta(hours=2)
    queue_id = await outbox.submit(sendAt=at.isoformat())
    outbox.world.clock.advance(7199)
    assert not await outbox.due(queue_id)
    outbox.world.clock.advance(2)
    assert await outbox.due(queue_id)
    await outbox.deliver(queue_id)
    assert len(outbox.service.taken) == 1


async def test_deleting_wins_or_comes_too_late(outbox: Outbox) -> None:
    """Before the hand-over it prevents it, during it nothing is promised, afterwards there is nothing."""
    submissions = outbox.world.services.submissions
    queue_id = await outbox.submit()
    assert (await submissions.delete(queue_id)).deleted is True
    await outbox.deliver(queue_id)
    assert outbox.service.taken == []
    queue_id = await outbox.submit()
    outbox.service.gate = asyncio.Event()
    job = asyncio.ensure_future(outbox.deliver(queue_id))
    while (await outbox.entry(queue_id)).state != "sending":
        await asyncio.sleep(0)
    assert (await submissions.delete(queue_id)).deleted is False
    outbox.service.gate.set()
    await job
    assert len(outbox.service.taken) == 1
    assert (await submissions.delete(queue_id)).deleted is False


async def test_a_cancelled_message_is_never_sent_and_stays_to_be_seen(outbox: Outbox) -> None:
    """It is kept without its message, as long as what failed."""
    queue_id = await outbox.submit()
    submissions = outbox.world.services.submissions
    assert (await submissions.cancel(queue_id)).state == "cancelled"
    assert (await submissions.cancel(queue_id)).state == "cancelled"
    assert await OutboxStore(outbox.world.services.store).message("ann", queue_id) is None
    await outbox.deliver(queue_id)
    assert outbox.service.taken == []
    assert await conflict(submissions.retry(queue_id)) == "OutboxEntryEnded"
    outbox.world.clock.advance(KEPT.total_seconds() + 1)
    assert await outbox.due(queue_id)
    await outbox.deliver(queue_id)
    with pytest.raises(ResourceNotFoundError):
        await outbox.entry(queue_id)


async def conflict(call: Awaitable[object]) -> str:
    """The code with which a call is refused."""
    with pytest.raises(ConflictError) as caught:
        await call
    return caught.value.error_code


async def test_a_failed_message_is_sent_again_when_somebody_asks(outbox: Outbox) -> None:
    """Its attempts are counted anew; a second request finds it waiting."""
    queue_id = await outbox.submit(deliveryAttempts=1)
    submissions = outbox.world.services.submissions
    outbox.service.errors = [ConnectError("no route")]
    await outbox.deliver(queue_id)
    again = await submissions.retry(queue_id)
    assert (again.state, again.attempts_made, again.ended) == ("queued", 0, msgspec.UNSET)
    assert await conflict(submissions.retry(queue_id)) == "OutboxEntryQueued"
    await outbox.deliver(queue_id)
    assert (len(outbox.service.taken), await messages_sent(outbox)) == (1, 1)


async def test_a_retry_does_not_wait_for_the_pause_to_end(outbox: Outbox) -> None:
    queue_id = await outbox.submit()
    outbox.service.errors = [ConnectError("no route")]
    await outbox.deliver(queue_id)
    await outbox.world.services.submissions.retry(queue_id)
    await outbox.deliver(queue_id)
    assert len(outbox.service.taken) == 1


async def test_what_may_be_out_is_sent_again_only_by_who_says_so(outbox: Outbox) -> None:
    """It cannot be cancelled either: nobody can call back what is out."""
    queue_id = await outbox.submit()
    submissions = outbox.world.services.submissions
    outbox.service.errors = [OutcomeUnknownError("the connection broke after the message")]
    await outbox.deliver(queue_id)
    assert await conflict(submissions.retry(queue_id)) == "OutboxEntryUnknown"
    assert await conflict(submissions.cancel(queue_id)) == "OutboxEntryUnknown"
    await submissions.retry(queue_id, may_repeat=True)
    await outbox.deliver(queue_id)
    assert len(outbox.service.taken) == 1


async def test_what_is_being_sent_is_neither_cancelled_nor_sent_again(outbox: Outbox) -> None:
    queue_id = await outbox.submit()
    submissions = outbox.world.services.submissions
    outbox.service.gate = asyncio.Event()
    job = asyncio.ensure_future(outbox.deliver(queue_id))
    while (await outbox.entry(queue_id)).state != "sending":
        await asyncio.sleep(0)
    assert await conflict(submissions.cancel(queue_id)) == "OutboxEntrySending"
    assert await conflict(submissions.retry(queue_id, may_repeat=True)) == "OutboxEntrySending"
    outbox.service.gate.set()
    await job
    assert len(outbox.service.taken) == 1
    with pytest.raises(ResourceNotFoundError):
        await submissions.retry(queue_id)


async def test_a_failed_copy_does_not_make_the_message_unsent(outbox: Outbox) -> None:
    """It is out; sending it again because Sent is full would be a second letter."""
    queue_id = await outbox.submit()

    async def full(entry: OutboxEntry, message: OutboxMessage) -> None:
        raise ConnectError("the mailbox is full")

    await outbox.world.services.deliveries.deliver("ann", queue_id, WORKER, outbox.service.hand_over, full)
    with pytest.raises(ResourceNotFoundError):
        await outbox.entry(queue_id)
    assert len(outbox.service.taken) == 1


async def test_an_account_without_a_submission_server_cannot_send(world: World) -> None:
    """Told at once, not by the outbox."""
    imap = {"host": "imap.test", "port": 993, "auth": {"user": "d", "pass": "p"}}
    await world.services.accounts.create(
        msgspec.convert({"account": "dave", "name": "", "email": "d@example.test", "imap": imap}, AccountCreate)
    )
    request = msgspec.convert({"to": [{"address": "b@example.test"}], "text": "x"}, SubmitRequest)
    with pytest.raises(ResourceNotFoundError) as refused:
        await world.services.submissions.submit("dave", request)
    assert refused.value.error_code == "SMTPUnavailable"


async def test_what_is_no_message_is_not_queued(outbox: Outbox) -> None:
    """The caller hears which field is wrong."""
    with pytest.raises(InvalidRequestError):
        await outbox.submit(attachments=[{"content": "not base64!", "filename": "x"}])
    assert (await outbox.world.services.submissions.list(page=0, page_size=10)).total == 0


async def test_messages_are_not_readable_in_redis(outbox: Outbox) -> None:
    """The one mail body that the gateway keeps is sealed."""
    await outbox.submit(text="very private", subject="hush")
    database = outbox.world.services.databases.data
    async for key in database.scan_iter(match="*:message", count=1000):
        assert "private" not in repr(await database.get(key))
