"""The sign of life of a worker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway_workers.liveness import Liveness

pytestmark = pytest.mark.anyio


class Control:
    """Redis, a reaper and a worker, as far as `Liveness` sees them."""

    def __init__(self) -> None:
        self.now = 100.0
        self.connections = 1
        self.listed = True
        self.away = False
        self.failing = False
        self.events: list[str] = []

    async def call(self, *command: Any) -> Any:
        """Answer the command of a beat, or of a registration."""
        if self.away:
            raise RedisConnectionError("refused")
        self.events.append(command[0])
        return not self.listed if command[0] == "SADD" else True

    async def sweep(self) -> None:
        """Note that the dead were looked for."""
        self.events.append("sweep")

    async def lost(self) -> None:
        """Note that sessions have to be dropped."""
        if self.failing:
            raise RedisConnectionError("refused")
        self.events.append("lost")

    async def beaten(self) -> None:
        """Do nothing."""

    def liveness(self) -> Liveness:
        """A worker's liveness with a lease of 6 s."""
        return Liveness(
            "w-1",
            self,  # type: ignore[arg-type]
            self,  # type: ignore[arg-type]
            on_lost=self.lost,
            on_beat=self.beaten,
            lease=6,
            beat=2,
            clock=lambda: self.now,
        )


async def test_each_beat_looks_for_dead_workers() -> None:
    """A dead worker is found within a lease and a beat."""
    control = Control()
    liveness = control.liveness()
    await liveness.beat()
    await liveness.duties()
    assert control.events == ["CLIENT", "SET", "SET", "SADD", "sweep"]


async def test_a_worker_that_was_declared_dead_registers_again_and_drops_its_sessions() -> None:
    """Others may serve its accounts by now."""
    control = Control()
    liveness = control.liveness()
    control.listed = False
    await liveness.beat()
    await liveness.duties()
    assert control.events == ["CLIENT", "SET", "SET", "SADD", "lost", "sweep"]


async def test_after_an_outage_of_redis_nobody_is_declared_dead_for_one_lease() -> None:
    """All signs of life ran out while nobody could renew them; all workers live."""
    control = Control()
    liveness = control.liveness()
    await liveness.beat()
    await liveness.duties()
    control.events.clear()
    control.now += 8.0  # no beat came through in this time
    await liveness.beat()
    await liveness.duties()
    control.now += 2.0
    await liveness.beat()
    await liveness.duties()
    assert "sweep" not in control.events
    control.now += 4.0
    await liveness.beat()
    await liveness.duties()
    assert "sweep" in control.events


async def test_redis_that_was_away_for_a_moment_delays_the_search_too() -> None:
    """Beats failed: how long the others could not beat is unknown."""
    control = Control()
    liveness = control.liveness()
    control.away = True
    with pytest.raises(RedisConnectionError):
        await liveness.beat()
    liveness._note_away(RedisConnectionError())
    control.away = False
    await liveness.beat()
    await liveness.duties()
    assert "sweep" not in control.events


async def test_redis_that_was_away_between_two_beats_delays_the_search_too() -> None:
    """No beat failed, but others' may have; the connections they noted are gone with the server."""
    control = Control()
    liveness = control.liveness()
    await liveness.beat()
    control.connections += 1
    await liveness.beat()
    await liveness.duties()
    assert "sweep" not in control.events
    control.now += 6.0
    await liveness.beat()
    await liveness.duties()
    assert "sweep" in control.events


async def test_no_job_begins_while_a_worker_may_be_dead_without_knowing_it() -> None:
    """It slept: until the next beat tells, and until it has let go of what others have, it begins nothing."""
    control = Control()
    liveness = control.liveness()
    await liveness.beat()
    await asyncio.wait_for(liveness.certain(), 1)
    control.now += 7.0
    control.listed = False
    job = asyncio.create_task(liveness.certain())
    await asyncio.sleep(0)
    await liveness.beat()
    await asyncio.sleep(0)
    assert not job.done()
    await liveness.duties()
    await asyncio.wait_for(job, 1)
    assert "lost" in control.events


async def test_a_loss_that_could_not_be_dealt_with_is_dealt_with_at_the_next_beat() -> None:
    """Redis went away in between; connections would be kept that are no longer this worker's."""
    control = Control()
    liveness = control.liveness()
    control.listed, control.failing = False, True
    await liveness.beat()
    with pytest.raises(RedisConnectionError):
        await liveness.duties()
    control.listed, control.failing = True, False
    await liveness.beat()
    await liveness.duties()
    assert "lost" in control.events
