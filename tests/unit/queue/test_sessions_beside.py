"""Sessions beside the first one, for many who read."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from gateway.errors import ConnectError, GatewayError, NotFoundError, ServiceUnavailableError
from gateway_workers.sessions import SessionPool
from tests.unit.queue.session_server import FakeSession, Server

pytestmark = pytest.mark.anyio


async def settled() -> None:
    """Let everything happen that can."""
    for _ in range(10):
        await asyncio.sleep(0)


class Crowd:
    """Jobs that hold sessions until they are told to end."""

    def __init__(self, pool: SessionPool) -> None:
        self.pool = pool
        self.used: list[FakeSession] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._end = asyncio.Event()

    async def add(self, count: int, *, lane: str = "read", beside: bool = True) -> None:
        """Add jobs, one after the other, and let everything happen that can."""
        for _ in range(count):
            self.tasks.append(asyncio.create_task(self._job(lane, beside)))
            await settled()

    async def _job(self, lane: str, beside: bool) -> None:
        async with self.pool.lease("ada", lane, beside=beside, lasting=lane == "stream") as lease:
            self.used.append(lease.session)  # type: ignore[arg-type]
            await self._end.wait()

    async def end(self) -> None:
        """Have all jobs end."""
        self._end.set()
        await asyncio.gather(*self.tasks)


async def test_more_sessions_are_opened_only_while_jobs_wait_and_no_more_than_the_service_allows() -> None:
    """A distant server does one thing at a time on a connection; an account at rest has one."""
    server = Server()
    crowd = Crowd(server.pool())
    await crowd.add(2)
    assert len(server.opened) == 1
    await crowd.add(14)
    assert len(server.opened) == 3
    assert len(set(map(id, crowd.used))) == 3
    await crowd.end()
    server.now = 31.0
    crowd.pool.close_idle()
    assert crowd.pool.size == 1
    assert crowd.pool.mail_connections == {"ada": 1}
    await crowd.pool.aclose()
    assert not any(session.open for session in server.opened)


async def test_what_changes_something_is_done_in_order_at_the_first_session() -> None:
    """Two changes of a message on two connections could overtake each other."""
    server = Server()
    crowd = Crowd(server.pool())
    await crowd.add(6)
    await crowd.add(3, beside=False)
    assert len(server.opened) == 3
    await crowd.end()
    assert crowd.used[-3:] == [server.opened[0]] * 3
    await crowd.pool.aclose()


async def test_a_session_that_is_refused_costs_no_job_and_is_not_asked_for_again_at_once() -> None:
    """Services limit the connections of a mailbox, whoever has them."""
    server = Server()
    crowd = Crowd(server.pool())
    await crowd.add(1)
    server.refusal = ServiceUnavailableError("too many connections")
    await crowd.add(2)
    server.refusal = None
    await crowd.add(2)
    assert len(server.opened) == 1
    server.now = 61.0
    await crowd.add(1)
    assert len(server.opened) == 3
    await crowd.end()
    assert len(crowd.used) == 6
    await crowd.pool.aclose()


async def test_when_mailboxes_change_only_the_first_session_is_kept() -> None:
    """The others remember what mailboxes there were; whoever waits at one gets a new one."""
    server = Server()
    crowd = Crowd(server.pool())
    await crowd.add(8)
    crowd.pool.drop_beside("ada")
    await crowd.end()
    assert [session.open for session in server.opened[:3]] == [True, False, False]
    await crowd.pool.aclose()
    assert not any(session.open for session in server.opened)


@pytest.mark.parametrize("dead", [0, 1, 2])
async def test_when_a_session_turns_out_to_be_dead_the_others_are_not_trusted_either(dead: int) -> None:
    """They have the same token: a job that is tried once more must not come to one that is as dead."""
    server = Server()
    crowd = Crowd(server.pool())
    await crowd.add(8)
    await crowd.end()
    jobs = [crowd.pool.lease("ada", "read", beside=True) for _ in range(3)]
    assert [(await job.__aenter__()).session for job in jobs] == server.opened
    error = ConnectError("the token expired")
    assert not await jobs.pop(dead).__aexit__(ConnectError, error, None)
    for job in jobs:
        await job.__aexit__(None, None, None)
    async with crowd.pool.lease("ada", "read", beside=True) as lease:
        assert not lease.reused
        await settled()
        assert not any(session.open for session in server.opened[:3])
    await crowd.pool.aclose()
    assert not any(session.open for session in server.opened)


async def test_a_download_does_not_wait_for_one_whose_caller_is_slow() -> None:
    """It may take minutes; one more session is worth it at once, as long as the service allows any."""
    server = Server()
    crowd = Crowd(server.pool())
    await crowd.add(4, lane="stream")
    assert len(server.opened) == len(crowd.used) == 3
    crowd.tasks.pop(1).cancel()
    await settled()
    assert len(server.opened) == len(crowd.used) == 4
    await crowd.end()
    await crowd.pool.aclose()


async def test_downloads_that_come_at_once_need_not_wait_for_each_other_either() -> None:
    """Browsers ask for all pictures of a message, of an account that was at rest."""
    server = Server()
    crowd = Crowd(server.pool())
    server.slow = asyncio.Event()
    await crowd.add(3, lane="stream")
    server.slow.set()
    await settled()
    assert len(set(map(id, crowd.used))) == 3
    await crowd.end()
    await crowd.pool.aclose()


async def test_downloads_and_reads_share_the_sessions_beside_the_first_ones() -> None:
    """Services limit connections, whatever they are for; one that rests is closed for one that is needed."""
    server = Server()
    pool = server.pool()
    downloads, reads = Crowd(pool), Crowd(pool)
    await downloads.add(2, lane="stream")
    await reads.add(8)
    assert pool.size == 4
    assert len(reads.used) == 2
    await downloads.end()
    await reads.add(1)
    assert pool.size == 4
    assert [session.open for session in server.opened] == [True, False, True, True, True]
    await reads.end()
    await pool.aclose()


async def test_whoever_waits_gets_the_next_session_that_is_free() -> None:
    """A call that happened to come behind a slow search must not wait for it."""
    server = Server()
    pool = server.pool()
    crowd = Crowd(pool)
    async with pool.lease("ada", "read", beside=True):
        await crowd.add(2)
        async with asyncio.timeout(1):
            await crowd.end()
    assert crowd.used == [server.opened[1]] * 2
    await pool.aclose()


async def test_a_job_that_gives_up_waiting_leaves_its_turn_to_the_next() -> None:
    """Callers go away; also just when it would have been their turn."""
    pool = Server().pool(waiting=4)
    crowd = Crowd(pool)
    await crowd.add(4, beside=False)
    crowd.tasks[1].cancel()
    crowd.tasks[0].cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    crowd.tasks[2].cancel()
    await settled()
    assert [task.cancelled() for task in crowd.tasks] == [True, True, True, False]
    del crowd.tasks[:3]
    await crowd.add(3, beside=False)
    await crowd.end()
    assert len(crowd.used) == 6
    assert not pool.busy
    await pool.aclose()


async def test_while_the_first_session_is_opened_again_no_other_is() -> None:
    """Only an open session knows how many there may be."""
    server = Server()
    pool = server.pool()
    downloads, reads = Crowd(pool), Crowd(pool)
    await downloads.add(2, lane="stream")
    await downloads.end()
    with contextlib.suppress(ConnectError):
        async with pool.use("ada"):
            await reads.add(1)
            server.slow = asyncio.Event()
            raise ConnectError("reset")
    await reads.add(3)
    assert not reads.used
    assert [session.open for session in server.opened] == [True, True, False]
    server.slow.set()
    await settled()
    assert len(set(map(id, reads.used))) == 2
    await reads.end()
    await pool.aclose()


class Turmoil:
    """Jobs that end in every way, at random, while sessions are dropped, refused and closed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.server = Server()
        self.pool = self.server.pool(limit=6, waiting=8)
        self.using: list[FakeSession] = []
        self.order: list[int] = []

    async def run(self) -> None:
        """Have it happen."""
        async with asyncio.TaskGroup() as tasks:
            jobs = []
            for number in range(150):
                jobs.append(tasks.create_task(self._job(number)))
                await self._happen(jobs)
        assert not self.pool.busy

    async def _happen(self, jobs: list[asyncio.Task[None]]) -> None:
        for _ in range(self.random.choice((0, 0, 1, 3, 8))):
            await asyncio.sleep(0)
        self.server.refusal = ServiceUnavailableError("x") if self.random.random() < 0.1 else None
        self.server.now += self.random.choice((0, 1, 20, 70))
        match self.random.randrange(12):
            case 0:
                self.pool.drop_beside("ada")
            case 1:
                await self.pool.drop("ada")
            case 2:
                self.pool.close_idle()
            case 3 | 4:
                self.random.choice(jobs).cancel()
            case 5:
                self.random.choice(self.server.opened or [FakeSession("")]).alive = False

    async def _job(self, number: int) -> None:
        account, lane = self.random.choice(("ada", "ada", "bob")), self.random.choice(("read", "stream"))
        beside, verify = lane == "stream" or self.random.random() < 0.7, self.random.random() < 0.3
        with contextlib.suppress(GatewayError):
            async with self.pool.lease(account, lane, verify=verify, beside=beside, lasting=lane == "stream") as lease:
                session: FakeSession = lease.session  # type: ignore[assignment]
                assert session.account == account
                assert session not in self.using
                self.using.append(session)
                if account == "ada" and lane == "read" and not beside:
                    self.order.append(number)
                try:
                    for _ in range(self.random.choice((0, 1, 5, 20))):
                        await asyncio.sleep(0)
                    if self.random.random() < 0.2:
                        raise self.random.choice((ConnectError("x"), NotFoundError("x"), ServiceUnavailableError("x")))
                finally:
                    self.using.remove(session)


@pytest.mark.parametrize("seed", range(60))
async def test_whatever_happens_to_jobs_and_sessions_every_job_ends_and_nothing_stays_open(seed: int) -> None:
    """A turn that is lost stops an account for good; a session that is lost is a connection for good."""
    turmoil = Turmoil(seed)
    async with asyncio.timeout(20):
        await turmoil.run()
    assert turmoil.order == sorted(turmoil.order)
    server, pool = turmoil.server, turmoil.pool
    assert pool.size <= 6
    server.refusal = None
    await pool.drop_all()
    assert pool.size == 0
    await settled()
    assert not any(session.open for session in server.opened)
    async with pool.lease("ada", "read") as lease:
        assert not lease.reused
    await pool.aclose()


async def test_closing_the_pool_ends_what_is_just_being_opened() -> None:
    """A worker that stops leaves no connection behind."""
    server = Server()
    crowd = Crowd(server.pool())
    await crowd.add(1)
    hanging = asyncio.Event()

    async def check(session: FakeSession) -> None:
        await hanging.wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeSession, "check", check)
        await crowd.add(2)
        assert len(server.opened) == 2
        await crowd.pool.aclose()
    assert not any(session.open for session in server.opened)
    await crowd.end()
    await crowd.pool.aclose()
