"""``gateway worker``, which the command line finds as an entry point."""

from __future__ import annotations

import click

from gateway.cli import process_options, run_process
from gateway_workers.process import run_worker


@click.command("worker", short_help="Run mail operations for the API.")
@click.option("--name", default=None, help="Name of this worker, unique among workers; random by default.")
@process_options
def command(name: str | None, with_parent: bool) -> None:
    """Run mail operations on warm connections. Start as many as you like, on as many machines as you like."""
    run_process(lambda settings, stop: run_worker(settings, stop, name=name), with_parent=with_parent)
