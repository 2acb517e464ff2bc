"""Figures for monitoring."""

from __future__ import annotations

from gateway.api.call import Call, Text
from gateway.api.operation import operation
from gateway.services.metrics import CONTENT_TYPE


@operation(
    "GET",
    "/metrics",
    operation_id="getMetrics",
    summary="Read metrics",
    tag="Gateway",
    action="read",
    group="diagnostics",
    scope="metrics",
    returns="text/plain",
    errors=(503,),
)
async def get_metrics(call: Call) -> Text:
    """Return what the installation is doing, in the text format of Prometheus. Every API process gives the same
    figures, those of all processes. No figure is about a single account.
    """
    return Text(await call.services.metrics.text(), CONTENT_TYPE)


OPERATIONS = (get_metrics,)
