"""The scripts of the queue write what RQ itself writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from redis import Redis

from gateway.errors import NotFoundError
from gateway.queue import operations, wire
from gateway.queue.records import queues_of
from gateway.queue.serializer import MessagePackSerializer
from gateway.redis import keys
from gateway_workers.context import JobContext
from gateway_workers.worker import Limits
from tests.integration.queue.rig import eventually, running_client, running_worker

# RQ takes its key prefix from the environment when it is imported; gateway.queue has to come first.
from rq import Queue, SimpleWorker  # isort: skip
from rq.job import Job  # isort: skip
from rq.worker import BaseWorker  # isort: skip

pytestmark = pytest.mark.anyio

JOB, WORKER, ACCOUNT = "the-job", "the-worker", "ada"
OURS = {b"starts"}  # how often a job was started; RQ leaves it alone
STABLE = {b"status", b"origin", b"description", b"timeout", b"result_ttl", b"failure_ttl", b"worker_name", b"type"}
STABLE |= {b"return_value", b"job_id", b"queues"}
TIMEOUT = operations.TIME_LIMITS["read"]
#: A heartbeat that overlaps the end of a job leaves a hash behind for a minute, RQ's own too.
QUIET = Limits(lease=5.0, beat=0.1, grace=1.0, records_beat=60)
State = dict[str, Any]


def state_of(redis: Redis) -> State:
    """Every key of RQ: type, time to live in steps of 15 s, and fields or members without what differs by nature."""
    return {name(key): describe(redis, key) for key in redis.scan_iter(f"{keys.RQ_PREFIX}:*") if relevant(key)}


def relevant(key: bytes) -> bool:
    """Leave out locks, and the list that stands between RQ's pop and its start; ours are one step."""
    return not any(part in key for part in (b"clean_registries", b":intermediate"))


def name(key: bytes) -> str:
    """The key with the random execution id taken out."""
    head, found, _ = key.decode().partition(f":execution:{JOB}:")
    return head + found


def describe(redis: Redis, key: bytes) -> Any:
    """Type, TTL class and shape of one key."""
    # redis-py's annotations allow for text answers and for asyncio at every call.
    store: Any = redis
    kind, ttl = store.type(key).decode(), store.ttl(key)
    shapes: dict[str, Callable[[], Any]] = {
        "hash": lambda: fields_of(store.hgetall(key)),
        "list": lambda: store.lrange(key, 0, -1),
        "set": lambda: sorted(shortened(member) for member in store.smembers(key)),
        "zset": lambda: [(shortened(m), relative(redis, s)) for m, s in store.zrange(key, 0, -1, withscores=True)],
        "stream": lambda: [fields_of(fields) for _, fields in store.xrange(key)],
    }
    return kind, ttl if ttl < 0 else round(ttl / 15), shapes[kind]()


def fields_of(record: dict[bytes, bytes]) -> dict[bytes, bytes | None]:
    """Names of the fields, with the values of those that do not differ by nature."""
    return {field: value if field in STABLE else None for field, value in record.items() if field not in OURS}


def shortened(member: bytes) -> bytes:
    """A member without the random execution id: "job:execution" and a bare execution id."""
    if member.startswith(JOB.encode()):
        return member.split(b":")[0]
    return b"execution" if len(member) == 32 else member


def relative(redis: Redis, score: float) -> int:
    """A score that is a point of time, as steps of 15 s from now."""
    return round((score - redis.time()[0]) / 15)


class Stock(Job):
    """What RQ's own worker runs in place of an operation."""

    error: ClassVar[Exception | None] = None
    seen: ClassVar[State] = {}

    def perform(self) -> bytes:
        """Look at Redis in the middle of the job."""
        Stock.seen = state_of(self.connection)
        if Stock.error is not None:
            raise Stock.error
        return b'{"text":"ada"}'


class Beating(SimpleWorker):
    """RQ's worker in this process, with the lifetimes of those of its workers that send heartbeats during a job."""

    get_heartbeat_ttl = BaseWorker.get_heartbeat_ttl


def run_stock(redis: Redis, error: Exception | None) -> list[State]:
    """The job through RQ alone: Redis when it is queued, running, and over."""
    options: dict[str, Any] = {"serializer": MessagePackSerializer, "job_class": Stock}
    queue = Queue("mail", connection=redis, **options)
    queue.enqueue(
        operations.ACCOUNT_CONNECT.name,
        args=(ACCOUNT, MessagePackSerializer.dumps({})),
        job_id=JOB,
        description=operations.ACCOUNT_CONNECT.name,
        job_timeout=TIMEOUT,
        result_ttl=wire.RESULT_TTL,
        failure_ttl=86_400,
    )
    states = [state_of(redis)]
    Stock.error = error
    worker = Beating(queues_of(WORKER), name=WORKER, connection=redis, maintenance_interval=10**6, **options)
    worker.register_birth()  # type: ignore[no-untyped-call]
    dequeued = queue.dequeue_any([queue], None, connection=redis, **options)
    assert dequeued is not None
    worker.execute_job(dequeued[0], queue)
    return [*states, Stock.seen, state_of(redis)]


async def run_ours(url: str, redis: Redis, error: Exception | None) -> list[State]:
    """The same through the gateway's client and worker."""
    states: list[State] = []

    async def look(context: JobContext, arguments: Any) -> Any:
        states.append(await asyncio.to_thread(state_of, redis))
        if error is not None:
            raise error
        return {"text": context.account}

    async with running_client(url) as client:
        await client.enqueue(operations.ACCOUNT_CONNECT, ACCOUNT, operations.NoArguments(), job_id=JOB)
        states.append(state_of(redis))
        async with running_worker(url, {operations.ACCOUNT_CONNECT.name: look}, name=WORKER, limits=QUIET):
            await eventually(lambda: redis.hget(keys.rq_job(JOB), "ended_at"), "the job has ended")
            await eventually(lambda: not redis.zcard(keys.rq_started("mail")), "its execution has ended")
            states.append(state_of(redis))
    return states


@pytest.mark.parametrize("error", [None, NotFoundError("no such mailbox")], ids=["success", "failure"])
async def test_keys_types_fields_and_lifetimes_are_those_of_rq(redis_url: str, error: Exception | None) -> None:
    """`rq info`, registries and retries read these records; they break silently when a release changes them."""
    with Redis.from_url(redis_url) as redis:
        stock = run_stock(redis, error)  # in the main thread, where RQ can set its alarm
        redis.flushdb()
        ours = await run_ours(redis_url, redis, error)
    for moment, theirs, mine in zip(("queued", "running", "over"), stock, ours, strict=True):
        assert comparable(mine, moment) == comparable(theirs, moment), moment


def comparable(state: State, moment: str) -> State:
    """Leave out what differs on purpose."""
    state = dict(state)
    state.pop(f"{keys.RQ_PREFIX}:worker:{WORKER}", None)
    if moment == "queued":
        # RQ keeps a queued job for ever; here a job that nobody fetches expires.
        kind, _, shape = state[keys.rq_job(JOB)]
        state[keys.rq_job(JOB)] = kind, shape
    elif moment == "running":
        # RQ sets 150 s here and 480 s with the next heartbeat; a reaper must find it for as long as possible.
        kind, _, shape = state[keys.rq_worker_executions(WORKER)]
        state[keys.rq_worker_executions(WORKER)] = kind, shape
    return state
