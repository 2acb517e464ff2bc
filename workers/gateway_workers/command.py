"""``gateway worker``, which the command line finds as an entry point."""

from __future__ import annotations

import asyncio

import click

from gateway.cli import process_options, run_process
from gateway.settings import Settings
from gateway_workers.memory import limit_memory
from gateway_workers.process import run_worker
from gateway_workers.watchdog import watchdog


@click.command("worker", short_help="Run mail operations for the API.")
@click.option("--name", default=None, help="Name of this worker, unique among workers; random by default.")
@process_options
def command(name: str | None, with_parent: bool) -> None:
    """Run mail operations on warm connections. Start as many as you like, on as many machines as you like."""

    async def work(settings: Settings, stop: asyncio.Event) -> None:
        limit_memory(settings.worker_memory)
        async with watchdog():
            await run_worker(settings, stop, name=name)

    run_process(work, with_parent=with_parent)
