"""The pool of warm sessions."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from gateway.errors import (
    ConnectError,
    GatewayError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitError,
    ReauthorizationError,
    ServiceUnavailableError,
)
from tests.unit.queue.session_server import Server

pytestmark = pytest.mark.anyio


async def test_a_session_is_kept_warm_for_each_account_and_lane() -> None:
    """Logging in costs several round trips; a warm session costs none."""
    server = Server()
    pool = server.pool()
    async with pool.lease("ada", "read") as first:
        assert not first.reused
    async with pool.lease("ada", "read") as second:
        assert second.reused
    assert second.session is first.session
    async with pool.use("ada", "send") as other_lane, pool.use("bob") as other_account:
        assert len({id(first.session), id(other_lane), id(other_account)}) == 3
    assert pool.size == 3
    await pool.aclose()
    assert not any(session.open for session in server.opened)


async def test_one_job_at_a_time_uses_a_session_and_other_accounts_do_not_wait() -> None:
    """A session is a conversation; the gate is the account's, not the worker's."""
    pool = Server().pool()
    inside = 0
    async with pool.use("ada"):

        async def wait_for_turn() -> None:
            nonlocal inside
            async with pool.use("ada"):
                inside += 1
                assert inside == 1
                await asyncio.sleep(0)
                inside -= 1

        waiting = [asyncio.create_task(wait_for_turn()) for _ in range(3)]
        async with asyncio.timeout(1), pool.use("bob"):
            pass
        assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)
    assert pool.size == 2


@pytest.mark.parametrize(
    "error",
    [
        ConnectError("x"),
        ServiceUnavailableError("x"),
        OutcomeUnknownError("x"),
        ReauthorizationError("x"),
        GatewayError("x"),
        ValueError("x"),
        asyncio.CancelledError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_session_whose_job_broke_off_is_never_used_again(error: BaseException) -> None:
    """The next job would read the rest of the last one's answer."""
    server = Server()
    pool = server.pool()
    with contextlib.suppress(type(error)):
        async with pool.use("ada"):
            raise error
    async with pool.lease("ada", "read") as lease:
        assert not lease.reused
    await pool.aclose()
    assert not server.opened[0].open


async def test_a_permanent_error_leaves_the_session_warm() -> None:
    """The contract: it leaves the session as it was."""
    pool = Server().pool()
    with pytest.raises(NotFoundError):
        async with pool.use("ada"):
            raise NotFoundError("no such message")
    async with pool.lease("ada", "read") as lease:
        assert lease.reused


async def test_a_session_that_cannot_be_opened_leaves_nothing_behind() -> None:
    """The next job tries again."""
    server = Server()
    pool = server.pool()
    server.refusal = ConnectError("refused")
    with pytest.raises(ConnectError):
        async with pool.use("ada"):
            pass
    assert pool.size == 0
    server.refusal = None
    async with pool.use("ada"):
        assert pool.size == 1


async def test_too_many_jobs_of_one_account_are_refused() -> None:
    """A flood of calls to one hung mailbox would take every slot of the worker."""
    pool = Server().pool(waiting=2)
    async with pool.use("ada"):
        second = asyncio.create_task(pool.lease("ada", "read").__aenter__())
        await asyncio.sleep(0)
        with pytest.raises(RateLimitError):
            async with pool.use("ada"):
                pass
        async with pool.use("bob"):
            pass
    await second


async def test_idle_sessions_are_closed_and_used_ones_stay() -> None:
    """A mail server counts connections for each user."""
    server = Server()
    pool = server.pool(idle=300)
    async with pool.use("ada"):
        pass
    async with pool.use("bob"):
        server.now = 300
        pool.close_idle()
        assert pool.size == 1
    async with pool.lease("bob", "read") as bob, pool.lease("ada", "read") as ada:
        assert bob.reused
        assert not ada.reused


async def test_beyond_the_limit_the_session_unused_for_longest_is_closed() -> None:
    """Descriptors are finite."""
    server = Server()
    pool = server.pool(limit=2)
    for account in ("ada", "bob", "ada", "cyd"):
        async with pool.use(account):
            pass
    assert pool.size == 2
    async with pool.lease("ada", "read") as ada, pool.lease("cyd", "read") as cyd:
        assert ada.reused
        assert cyd.reused


async def test_a_dropped_account_gets_new_sessions_even_if_one_was_in_use() -> None:
    """After its settings changed, no job may use a session of before."""
    server = Server()
    pool = server.pool()
    async with pool.use("bob"):
        pass
    async with pool.use("ada"), pool.use("ada", "send"):
        await pool.drop("ada")
        assert all(session.open for session in server.opened)
    assert pool.size == 1
    async with pool.lease("ada", "read") as lease:
        assert not lease.reused
    async with pool.lease("bob", "read") as lease:
        assert lease.reused


async def test_a_job_that_must_not_be_repeated_gets_a_session_that_was_tried() -> None:
    """Servers hang up on idle connections; a write could not be repeated after that."""
    server = Server()
    pool = server.pool()
    async with pool.use("ada"):
        pass
    server.now = 60
    async with pool.lease("ada", "read", verify=True) as lease:
        assert lease.reused
    server.opened[0].alive = False
    server.now = 120
    async with pool.lease("ada", "read", verify=True) as lease:
        assert not lease.reused
        assert id(lease.session) == id(server.opened[1])


async def test_a_logout_that_hangs_does_not_hold_up_the_next_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are left in the background, with a limit."""
    monkeypatch.setattr("gateway_workers.sessions._CLOSE_TIMEOUT", 0.01)
    server = Server()
    server.hanging_logout = True
    pool = server.pool()
    with pytest.raises(ConnectError):
        async with pool.use("ada"):
            raise ConnectError("reset")
    async with asyncio.timeout(1), pool.use("ada"):
        pass
    async with asyncio.timeout(1):
        await pool.aclose()
