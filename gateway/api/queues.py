"""Queues of jobs: look, pause, resume."""

from __future__ import annotations

from typing import cast

from gateway.api.call import Call
from gateway.api.operation import operation
from gateway.model.queue import Queue, QueueName, QueueUpdate, QueueUpdated

_QUEUE = "/v1/settings/queue/{queue}"


@operation(
    "GET",
    _QUEUE,
    operation_id="getV1SettingsQueueQueue",
    summary="Read a queue",
    tag="Settings",
    action="read",
    group="admin",
    returns=Queue,
)
async def get_queue(call: Call) -> Queue:
    """Count the jobs of a queue: `notify` delivers webhooks, `submit` sends mail, `mail` reads and changes mailboxes
    for callers, `background` renews grants and looks for changes, `export` writes exports. `documents` is always empty.
    """
    return await call.services.queues.get(cast("QueueName", call.path["queue"]))


@operation(
    "PUT",
    _QUEUE,
    operation_id="putV1SettingsQueueQueue",
    summary="Pause or resume a queue",
    tag="Settings",
    action="write",
    group="admin",
    returns=QueueUpdated,
)
async def update_queue(call: Call, body: QueueUpdate) -> QueueUpdated:
    """Pause a queue, for all workers and until it is resumed: no job of it is started, jobs under way end (delivery of
    webhooks within half a minute), those that wait stay. Calls that need a job of a paused queue are answered 504.
    """
    return await call.services.queues.pause(cast("QueueName", call.path["queue"]), paused=body.paused)


OPERATIONS = (get_queue, update_queue)
