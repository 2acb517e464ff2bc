"""Calls from the API process to a worker and back."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.errors import DeadlineError, GatewayError, NotFoundError
from gateway.provider import utc_now
from gateway.queue import operations, transitions
from gateway.queue.serializer import MessagePackSerializer
from gateway.redis import keys
from gateway.redis.client import open_client
from gateway.redis.coalescer import Coalescer
from gateway_workers.context import Handler, JobContext
from gateway_workers.worker import Limits
from tests.integration.queue.rig import (
    FAST,
    Answer,
    answer,
    crash,
    eventually,
    not_found,
    running_client,
    running_worker,
)

pytestmark = pytest.mark.anyio

CONNECT, QUOTA, SYNC = operations.ACCOUNT_CONNECT, operations.ACCOUNT_QUOTA, operations.ACCOUNT_SYNC
NOTHING = operations.NoArguments()


class Gate:
    """A handler that waits until the test lets it go on."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        self.runs = 0

    async def __call__(self, context: JobContext, arguments: Any) -> Answer:
        """Wait at the gate."""
        self.runs += 1
        self.entered.set()
        await self.open.wait()
        return Answer(context.account)


async def test_the_result_of_the_handler_comes_back_as_json(redis_url: str) -> None:
    """The API passes the octets through without decoding them."""
    async with running_client(redis_url) as client, running_worker(redis_url, {CONNECT.name: answer}):
        assert await client.call(CONNECT, "ada", NOTHING, timeout=5) == b'{"text":"ada"}'


async def test_the_error_of_the_handler_comes_back_as_itself(redis_url: str) -> None:
    """Class, text and details decide what the API answers."""
    async with running_client(redis_url) as client, running_worker(redis_url, {QUOTA.name: not_found}):
        with pytest.raises(NotFoundError, match="there is no such message") as caught:
            await client.call(QUOTA, "ada", NOTHING, timeout=5)
    assert caught.value.native_code == "NONEXISTENT"


async def test_the_text_of_an_unforeseen_error_is_told_to_nobody(
    redis_url: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """It may quote mail: neither the caller, nor Redis, nor the log gets it."""
    async with running_client(redis_url) as client, running_worker(redis_url, {QUOTA.name: crash}):
        with pytest.raises(GatewayError) as caught:
            await client.call(QUOTA, "ada", NOTHING, timeout=5)
    assert caught.value.error_code == "InternalError"
    output = capsys.readouterr()
    assert "job_crashed" in output.out
    assert "private@example.com" not in caught.value.message + output.out + output.err + caplog.text


async def test_a_call_without_an_answer_ends_at_its_deadline_and_names_the_job(redis_url: str) -> None:
    """The API answers 504 with the job id; the job goes on."""
    gate = Gate()
    async with running_client(redis_url) as client, running_worker(redis_url, {CONNECT.name: gate}):
        with pytest.raises(DeadlineError) as caught:
            await client.call(CONNECT, "ada", NOTHING, timeout=0.2)
        gate.open.set()
        job = caught.value.details["job"]
        async with Redis.from_url(redis_url) as redis:
            await eventually(lambda: redis.exists(keys.rq_results(job)), "the late job has finished")


async def test_a_job_whose_caller_has_gone_is_not_started(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an outage, workers must not work off what nobody waits for any more."""
    monkeypatch.setattr("gateway.queue.wire.GRACE", 0.0)
    gate = Gate()
    async with running_client(redis_url) as client:
        with pytest.raises(DeadlineError) as caught:
            await client.call(CONNECT, "ada", NOTHING, timeout=0.05)
        async with running_worker(redis_url, {CONNECT.name: gate}), Redis.from_url(redis_url) as redis:
            await eventually(lambda: redis.zcard(keys.rq_failed("mail")), "the stale job has failed")
            assert await redis.zscore(keys.rq_failed("mail"), caught.value.details["job"])
    assert gate.runs == 0


async def test_a_reply_that_was_published_to_nobody_is_read_from_the_results(redis_url: str) -> None:
    """Redis forgets a message at once when the subscription is down; the result is still there at the deadline."""
    gate = Gate()
    async with (
        running_client(redis_url) as client,
        running_worker(redis_url, {CONNECT.name: gate}),
        Redis.from_url(redis_url) as redis,
    ):
        call = asyncio.create_task(client.call(CONNECT, "ada", NOTHING, timeout=1))
        await gate.entered.wait()
        await client._replies.aclose()
        gate.open.set()
        await eventually(lambda: redis.zcard(keys.rq_finished("mail")), "the job has finished")
        assert await call == b'{"text":"ada"}'


async def test_a_lost_subscription_is_made_anew_and_what_it_missed_is_delivered(redis_url: str) -> None:
    """The call ends when the connection is back, long before its deadline."""
    async with (
        running_client(redis_url) as client,
        running_worker(redis_url, {CONNECT.name: answer}),
        Redis.from_url(redis_url) as redis,
    ):
        for _ in range(5):
            calls = [asyncio.create_task(client.call(CONNECT, "ada", NOTHING, timeout=20)) for _ in range(20)]
            await redis.client_kill_filter(_type="pubsub")
            async with asyncio.timeout(5):
                assert set(await asyncio.gather(*calls)) == {b'{"text":"ada"}'}


async def test_an_unknown_operation_in_redis_is_refused_and_nothing_is_imported(redis_url: str) -> None:
    """RQ itself would import and call whatever dotted path a job names."""
    marker = "antigravity"
    assert marker not in sys.modules
    async with Redis.from_url(redis_url) as redis, running_worker(redis_url, {CONNECT.name: answer}):
        for job, function in (("a", "os.getcwd"), ("b", f"{marker}.geohash"), ("c", "outbox.send")):
            await push(redis, job, function)
        await eventually(lambda: check_failed(redis, 3), "the jobs have failed")
        assert not await redis.zcard(keys.rq_finished("mail"))
    assert marker not in sys.modules


async def test_callbacks_in_redis_are_not_followed(redis_url: str) -> None:
    """They are import paths: code execution for whoever can write to Redis."""
    marker = "this"
    callbacks = {f"{kind}_callback_name": f"{marker}.d" for kind in ("success", "failure", "stopped")}
    async with Redis.from_url(redis_url) as redis, running_worker(redis_url, {QUOTA.name: not_found}) as worker:
        await push(redis, "a", QUOTA.name, **callbacks)
        await eventually(lambda: check_failed(redis, 1), "the job has failed")
        # RQ's maintenance calls the failure callback of a job whose worker vanished.
        await redis.hset(keys.rq_job("b"), mapping=record_of(QUOTA.name, status="started", **callbacks))
        await redis.zadd(keys.rq_started("mail"), {"b:execution": 1})
        await asyncio.to_thread(worker.run_maintenance_tasks)
        assert await check_failed(redis, 2)
    assert marker not in sys.modules


def record_of(function: str, **fields: str) -> Any:
    """A job record as anybody could write it who reaches Redis."""
    data = MessagePackSerializer.dumps((function, None, ["ada", MessagePackSerializer.dumps({})], {}))
    record = {"data": data, "status": "queued", "origin": "mail", "timeout": 10, "created_at": "2026-01-01T00:00:00Z"}
    return record | fields


async def push(redis: Redis, job: str, function: str, **fields: str) -> None:
    """Queue a job by hand."""
    await redis.hset(keys.rq_job(job), mapping=record_of(function, **fields))
    await redis.rpush(keys.rq_queue("mail"), job)


async def check_failed(redis: Redis, count: int) -> bool:
    """Whether that many jobs have failed."""
    return bool(await redis.zcard(keys.rq_failed("mail")) == count)


async def test_a_named_job_that_waits_or_runs_stands_for_another_of_its_name(redis_url: str) -> None:
    """A hundred notifications about one account are one synchronisation."""
    gate = Gate()
    async with running_client(redis_url) as client, Redis.from_url(redis_url) as redis:
        for _ in range(3):
            await client.enqueue(SYNC, "ada", NOTHING, job_id="sync-ada")
        assert await redis.llen(keys.rq_queue("background")) == 1
        async with running_worker(redis_url, {SYNC.name: gate}):
            await gate.entered.wait()
            await client.enqueue(SYNC, "ada", NOTHING, job_id="sync-ada")
            gate.open.set()
            await eventually(lambda: redis.zcard(keys.rq_finished("background")), "the job has finished")
            assert gate.runs == 1
            await client.enqueue(SYNC, "ada", NOTHING, job_id="sync-ada")
            await eventually(lambda: gate.runs == 2, "a finished job may run again")


async def test_background_jobs_do_not_keep_interactive_ones_waiting(redis_url: str) -> None:
    """Each lane has its own slots, full of stuck background work or not."""
    gate = Gate()
    limits = Limits(slots={"read": 4, "send": 4, "background": 4}, lease=5, beat=0.1, grace=0.1)
    handlers: dict[str, Handler] = {SYNC.name: gate, CONNECT.name: answer}
    async with running_client(redis_url) as client, running_worker(redis_url, handlers, limits=limits):
        for _ in range(20):
            await client.enqueue(SYNC, "ada", NOTHING)
        await eventually(lambda: gate.runs == 4, "background slots are full")
        assert await client.call(CONNECT, "bob", NOTHING, timeout=2) == b'{"text":"bob"}'
        gate.open.set()


async def test_a_job_that_takes_too_long_is_ended_and_its_session_closed(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a cancelled operation was doing on its connection may be half done."""
    monkeypatch.setattr("gateway.queue.wire.GRACE", 0.1)
    closed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def opened(account: str) -> Any:
        yield SimpleNamespace()
        closed.set()

    async def hang(context: JobContext, arguments: Any) -> Any:
        async with context.session():
            await asyncio.Event().wait()

    async with (
        running_client(redis_url) as client,
        running_worker(redis_url, {CONNECT.name: hang}, opener=opened),
        Redis.from_url(redis_url) as redis,
    ):
        with pytest.raises(DeadlineError):
            await client.call(CONNECT, "ada", NOTHING, timeout=0.2)
        await asyncio.wait_for(closed.wait(), 5)
        await eventually(lambda: redis.zcard(keys.rq_failed("mail")), "the job has failed")


async def test_a_job_may_be_allowed_to_take_longer(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large message needs more time than others, and has it once its size is known."""
    monkeypatch.setitem(operations.TIME_LIMITS, SYNC.lane, 1)
    gate = Gate()
    allowed: list[float] = []

    async def move(context: JobContext, arguments: Any) -> Answer:
        before = context.deadline, context.answer_by
        context.allow(3600)
        allowed.extend(((context.deadline - before[0]).total_seconds(), context.answer_by - before[1]))
        return await gate(context, arguments)

    async with (
        running_client(redis_url) as client,
        running_worker(redis_url, {SYNC.name: move}),
        Redis.from_url(redis_url) as redis,
    ):
        job = await client.enqueue(SYNC, "ada", NOTHING)
        await asyncio.wait_for(gate.entered.wait(), 5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 1.2)
        gate.open.set()
        await eventually(lambda: redis.exists(keys.rq_results(job)), "the job has finished")
        assert not await redis.zcard(keys.rq_failed(SYNC.lane))
    assert allowed == [3600, pytest.approx(3600)]


async def test_every_job_of_an_account_is_reported_before_its_caller_hears(redis_url: str) -> None:
    """What the caller asks next already sees the account's new state."""
    outcomes: list[tuple[str, str]] = []

    async def note(account: str, error: BaseException | None) -> None:
        outcomes.append((account, type(error).__name__))

    handlers = {CONNECT.name: answer, QUOTA.name: not_found}
    async with running_client(redis_url) as client, running_worker(redis_url, handlers, on_outcome=note):
        await client.call(CONNECT, "ada", NOTHING, timeout=5)
        assert outcomes == [("ada", "NoneType")]
        with pytest.raises(NotFoundError):
            await client.call(QUOTA, "bob", NOTHING, timeout=5)
        assert outcomes[1:] == [("bob", "NotFoundError")]
        await client.call(CONNECT, "", NOTHING, timeout=5)
    assert len(outcomes) == 2


async def test_a_failed_job_with_retries_left_runs_again_as_in_rq(redis_url: str) -> None:
    """RQ's own retry mechanism keeps working on jobs of the gateway."""
    runs: list[str] = []

    async def second_time(context: JobContext, arguments: Any) -> Answer:
        runs.append(context.job)
        if len(runs) == 1:
            raise NotFoundError("not yet")
        return Answer()

    async with running_client(redis_url) as client, Redis.from_url(redis_url) as redis:
        job = await client.enqueue(CONNECT, "ada", NOTHING)
        await redis.hset(keys.rq_job(job), mapping={"retries_left": 1})
        async with running_worker(redis_url, {CONNECT.name: second_time}):
            await eventually(lambda: redis.zcard(keys.rq_finished("mail")), "the second run has finished")
    assert runs == [job, job]


async def test_rqs_command_line_sees_queues_jobs_and_workers(redis_url: str) -> None:
    """Operators use `rq info` and `rq requeue`; both have to work on the gateway's jobs."""
    gate = Gate()
    handlers: dict[str, Handler] = {CONNECT.name: gate, QUOTA.name: not_found}
    async with running_client(redis_url) as client, running_worker(redis_url, handlers, name="w-1"):
        await client.enqueue(CONNECT, "ada", NOTHING)
        await gate.entered.wait()
        await client.enqueue(QUOTA, "ada", NOTHING, job_id="broken")
        async with Redis.from_url(redis_url) as redis:
            await eventually(lambda: redis.zcard(keys.rq_failed("mail")), "the job has failed")
            assert "1 executing, 0 finished, 1 failed" in " ".join((await rq("info", "-u", redis_url, "mail")).split())
            workers = await rq("info", "-u", redis_url, "-W")
            assert "w-1" in workers
            assert "mail, send, background" in workers
            before = await redis.hget(keys.rq_job("broken"), "starts")
            await rq("requeue", "-u", redis_url, "-S", SERIALIZER, "--queue", "mail", "broken")
            await eventually(lambda: differs(redis, before), "the requeued job has started")
        gate.open.set()


SERIALIZER = "gateway.queue.serializer.MessagePackSerializer"


async def differs(redis: Redis, before: Any) -> bool:
    """Whether the job was started again."""
    return bool(await redis.hget(keys.rq_job("broken"), "starts") != before)


async def rq(*arguments: str) -> str:
    """Run RQ's command line and return what it printed."""
    script = "import gateway.queue, sys; from rq.cli import main; sys.exit(main())"
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_a_slow_account_holds_up_no_other(redis_url: str) -> None:
    """Sixty jobs that wait for one mailbox occupy neither threads nor the turn of other accounts."""
    thread_free = asyncio.Event()

    @contextlib.asynccontextmanager
    async def opened(account: str) -> Any:
        yield SimpleNamespace()

    async def read(context: JobContext, arguments: Any) -> Answer:
        async with context.session():
            if context.account == "slow":
                await thread_free.wait()
            else:
                await asyncio.to_thread(time.monotonic)
        return Answer(context.account)

    limits = Limits(threads=2, lease=5, beat=0.1, grace=0.5)
    async with (
        running_client(redis_url) as client,
        running_worker(redis_url, {CONNECT.name: read}, opener=opened, limits=limits),
    ):
        slow = [asyncio.create_task(client.call(CONNECT, "slow", NOTHING, timeout=20)) for _ in range(60)]
        others = [client.call(CONNECT, f"a{n}", NOTHING, timeout=5) for n in range(40)]
        assert len(await asyncio.gather(*others)) == 40
        assert not any(task.done() for task in slow)
        thread_free.set()
        await asyncio.gather(*slow)


async def test_an_execution_of_which_the_worker_never_heard_is_recovered(redis_url: str) -> None:
    """When the answer to the start script is lost, Redis says "started" and nobody works on the job."""
    async with running_client(redis_url) as client:
        call = asyncio.create_task(client.call(CONNECT, "ada", NOTHING, timeout=10))
        control = open_client(redis_url)
        await eventually(lambda: control.llen(keys.rq_queue("mail")), "the job is queued")
        await control.set(keys.worker("w-1"), "1", px=200)
        await transitions.start(Coalescer(control), worker="w-1", queue="mail", count=1, now=utc_now())
        async with running_worker(redis_url, {CONNECT.name: answer}, name="w-1", limits=FAST):
            assert await call == b'{"text":"ada"}'
        await control.aclose()
