"""The state of the whole installation, in the form of the wire API."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gateway.model.base import Resource
from gateway.model.queue import QueueJobs


class QueueStats(QueueJobs, omit_defaults=False, frozen=True, kw_only=True):
    """The jobs of one queue."""

    is_paused: bool
    total: int


class RedisWarning(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """Something about Redis that should be changed."""

    key: str
    color: str
    title: str
    details: tuple[str, ...] = ()


class ConnectionStats(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """How many accounts are in each state; `unassigned` ones wait for a worker, and are in a state as well."""

    init: int = 0
    connected: int = 0
    connecting: int = 0
    syncing: int = 0
    authentication_error: int = 0
    connect_error: int = 0
    unset: int = 0
    disconnected: int = 0
    paused: int = 0
    unassigned: int = 0


class Stats(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """Versions, accounts, queues and counters."""

    version: str
    license: Annotated[str, Meta(description="Empty: there is no license key")] = ""
    accounts: int
    node: Annotated[str, Meta(description="Version of Python")]
    redis: Annotated[str, Meta(description="Version of Redis")]
    redis_software: str
    redis_cluster: bool
    redis_warnings: tuple[RedisWarning, ...]
    redis_ping: Annotated[int, Meta(description="Time that Redis took to answer, in microseconds")]
    imapflow: Annotated[str, Meta(description="Empty: not a part of this gateway")] = ""
    bullmq: Annotated[str, Meta(description="Empty: not a part of this gateway")] = ""
    arch: str
    build: dict[str, str]
    queues: Annotated[dict[str, QueueStats], Meta(description="By name, as in `/v1/settings/queue/{queue}`")]
    connections: ConnectionStats
    counters: Annotated[dict[str, int], Meta(description="Events in the time asked for, e.g. `events:messageNew`")]
