"""Exports, step by step."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.queue import operations as ask
from gateway.services.container import Services
from gateway_workers.context import Handler, JobContext


def handlers(services: Services) -> Mapping[str, Handler]:
    """Return the handler."""

    async def run(job: JobContext, arguments: ask.RunExport) -> None:
        """Go on with one export."""
        await services.export_runner.step(job.account, arguments.export, job.session)

    return {ask.EXPORT_RUN.name: run}
