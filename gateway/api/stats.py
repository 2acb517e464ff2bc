"""Figures of the installation as JSON."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from msgspec import Meta

from gateway.api.call import Call
from gateway.api.operation import operation
from gateway.model.base import Payload
from gateway.model.stats import Stats


class StatsQuery(Payload, frozen=True, kw_only=True):
    """Which counters."""

    seconds: Annotated[int, Meta(ge=0, le=604800, description="How far back events are counted")] = 3600


@operation(
    "GET",
    "/v1/stats",
    operation_id="getV1Stats",
    summary="Read figures of the installation",
    tag="Stats",
    action="read",
    group="diagnostics",
    returns=Stats,
)
async def get_stats(call: Call, query: StatsQuery) -> Stats:
    """Return versions, accounts by state, jobs by queue, and how many events of each name there were in the last
    `seconds`, counted from the beginning of a minute.
    """
    return await call.services.stats.stats(timedelta(seconds=query.seconds))


OPERATIONS = (get_stats,)
