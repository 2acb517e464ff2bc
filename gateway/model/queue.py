"""Queues of jobs, as an operator sees them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from gateway.model.base import Payload, Resource

QueueName = Literal["notify", "submit", "documents", "mail", "background", "export"]


class QueueJobs(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """How many jobs a queue has."""

    active: Annotated[int, Meta(description="Under way")]
    delayed: Annotated[int, Meta(description="Work planned for a later time, also for the case that a job gets lost")]
    paused: Annotated[int, Meta(description="Waiting in a queue that is paused")]
    waiting: Annotated[int, Meta(description="Waiting in a queue that is not paused")]


class Queue(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """One queue."""

    queue: QueueName
    jobs: QueueJobs
    paused: bool


class QueueUpdate(Payload, frozen=True, kw_only=True):
    """Whether workers shall leave the jobs where they are; a queue for which it is not said stays as it is."""

    paused: bool | None = None


class QueueUpdated(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """What holds from now on."""

    queue: QueueName
    paused: bool
