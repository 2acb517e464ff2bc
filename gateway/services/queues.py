"""The queues of jobs, under the names that the wire API has for them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from gateway.model.queue import Queue, QueueJobs, QueueName, QueueUpdated
from gateway.provider import Clock
from gateway.queue.backlog import LaneLoad, backlog
from gateway.queue.operations import ALLOWLIST, QUEUES, Lane
from gateway.queue.pauses import Pauses
from gateway.redis import keys
from gateway.store.due import DueStore
from gateway.store.store import Store

#: What the wire API calls the lanes; it has no word for the last three.
_LANES: Mapping[QueueName, Lane] = {
    "notify": "webhook",
    "submit": "send",
    "mail": "read",
    "background": "background",
    "export": "export",
}
#: Of the wire API, but this gateway has no document store: it is always empty.
_EMPTY: QueueName = "documents"

QUEUE_NAMES: tuple[QueueName, ...] = (*_LANES, _EMPTY)


class QueueService:
    """Counts the jobs of the installation, and pauses queues."""

    def __init__(self, store: Store, due: DueStore, pauses: Pauses, clock: Clock) -> None:
        self._control = store.control
        self._due = due
        self._pauses = pauses
        self._clock = clock

    async def all(self) -> dict[QueueName, Queue]:
        """Return every queue.

        Raises:
            redis.exceptions.RedisError: Redis is away.
        """
        workers = sorted(name.decode() for name in await self._control.call("SMEMBERS", keys.WORKERS))
        loads, delayed, paused = await asyncio.gather(
            backlog(self._control, workers), self._due.delayed(self._clock()), self._pauses.all()
        )
        later = dict.fromkeys(QUEUES, 0)
        for name, count in delayed.items():
            if (operation := ALLOWLIST.get(name)) is not None:
                later[operation.lane] += count
        found = {
            name: _queue(name, loads[lane], later[lane], paused=QUEUES[lane] in paused) for name, lane in _LANES.items()
        }
        nothing = LaneLoad(waiting=0, running=0, oldest=None)
        return {**found, _EMPTY: _queue(_EMPTY, nothing, 0, paused=_EMPTY in paused)}

    async def get(self, name: QueueName) -> Queue:
        """Return one queue. Raises like `all`."""
        return (await self.all())[name]

    async def pause(self, name: QueueName, *, paused: bool | None) -> QueueUpdated:
        """Pause a queue or resume it; None leaves it as it is. Raises like `all`."""
        queue = _EMPTY if name == _EMPTY else QUEUES[_LANES[name]]
        if paused is not None:
            await self._pauses.set(queue, paused=paused)
        return QueueUpdated(queue=name, paused=await self._pauses.has(queue))


def _queue(name: QueueName, load: LaneLoad, delayed: int, *, paused: bool) -> Queue:
    jobs = QueueJobs(
        active=load.running,
        delayed=delayed,
        paused=load.waiting if paused else 0,
        waiting=0 if paused else load.waiting,
    )
    return Queue(queue=name, jobs=jobs, paused=paused)
