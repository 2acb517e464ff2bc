"""The command line: ``gateway serve | worker | smtp | inbound | dev | demo | check | events | tokens | secrets |
plugins | openapi``.

Commands of other packages, such as the worker, are found by their entry point in the group ``gateway.commands``.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import secrets as random_secrets
import signal
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import msgspec
import uvloop

from gateway import __version__
from gateway.errors import GatewayError
from gateway.logs import configure_logs
from gateway.redis import UNREACHABLE
from gateway.settings import Settings, read_settings

Command = TypeVar("Command", bound=Callable[..., Any])

COMMAND_GROUP = "gateway.commands"

#: New objects between two collections.
_GC_THRESHOLD = 10_000


class _Commands(click.Group):
    """Commands of this package, and those that others bring."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted({*super().list_commands(context), *(point.name for point in entry_points(group=COMMAND_GROUP))})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        found = super().get_command(context, name)
        for point in entry_points(group=COMMAND_GROUP, name=name) if found is None else ():
            loaded = point.load()
            if isinstance(loaded, click.Command):
                return loaded
        return found


@click.group(cls=_Commands)
@click.version_option(__version__, prog_name="gateway")
def main() -> None:
    """An email gateway: one REST API in front of many kinds of mailbox."""


def process_options(command: Command) -> Command:
    """Add the options that every long-running process has."""
    decorate = click.option("--with-parent", is_flag=True, hidden=True, help="Stop when standard input ends.")
    return decorate(command)


def settings_or_exit() -> Settings:
    """Read the settings, or say what is wrong with them and leave."""
    try:
        return read_settings(os.environ)
    except GatewayError as error:
        fail(error)


def fail(error: GatewayError) -> NoReturn:
    """Say what is wrong and leave with exit code 1."""
    click.echo(f"gateway: {error.message}", err=True)
    sys.exit(1)


def run_process(process: Callable[[Settings, asyncio.Event], Awaitable[None]], *, with_parent: bool = False) -> None:
    """Run a process until SIGTERM, SIGINT or, `with_parent`, the end of standard input."""
    settings = settings_or_exit()
    configure_logs(settings.log_level)

    # What was imported stays; to look at it again and again takes a tenth of a busy process's time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        if with_parent:
            loop.add_reader(sys.stdin.fileno(), functools.partial(_parent_spoke, loop, stop))
        await process(settings, stop)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())
    except GatewayError as error:
        fail(error)


def _parent_spoke(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    # Nothing is ever written to it: readable means that the parent is gone.
    if not os.read(sys.stdin.fileno(), 1024):
        loop.remove_reader(sys.stdin.fileno())
        stop.set()


def run_short(work: Callable[[Settings], Awaitable[None]]) -> None:
    """Run a short command; errors become a sentence and exit code 1."""
    settings = settings_or_exit()
    configure_logs("warning")
    try:
        asyncio.run(_awaited(work(settings)))
    except GatewayError as error:
        fail(error)
    except OSError as error:
        click.echo(f"gateway: {type(error).__name__}: {error.strerror or 'failed'}", err=True)
        sys.exit(1)
    except UNREACHABLE as error:
        # Its own text repeats the server's address.
        click.echo(f"gateway: Redis cannot be used ({type(error).__name__})", err=True)
        sys.exit(1)


async def _awaited(work: Awaitable[None]) -> None:
    await work


@main.command(short_help="Run the API.")
@process_options
def serve(with_parent: bool) -> None:
    """Run the API, the hosted pages and the documentation. Start as many as you like."""
    from gateway.app import serve as serve_app  # noqa: PLC0415  the other commands start faster without it

    run_process(serve_app, with_parent=with_parent)


@main.command(short_help="Run the SMTP server for programs that know no REST API.")
@process_options
def smtp(with_parent: bool) -> None:
    """Take messages over SMTP (RFC 6409) into the outboxes of accounts. Start as many as you like."""
    from gateway.msa.server import serve as serve_smtp  # noqa: PLC0415

    run_process(serve_smtp, with_parent=with_parent)


@main.command(short_help="Run the receiver of delivery tests.")
@process_options
def inbound(with_parent: bool) -> None:
    """Take the messages of delivery tests over SMTP and say what they are like. Start as many as you like."""
    from gateway.inbound.server import serve as serve_inbound  # noqa: PLC0415

    run_process(serve_inbound, with_parent=with_parent)


@main.command(short_help="Run everything on this machine, with a pretend mail service.")
@click.option("--host", default=None, help="Address of the API; GATEWAY_HOST, else 127.0.0.1.")
@click.option("--port", type=click.IntRange(1, 65535), default=None, help="Port of the API; GATEWAY_PORT, else 3000.")
@click.option("--data-dir", type=click.Path(path_type=Path), default=None, help="Where data stay; default ./data.")
@click.option("--no-sandbox", is_flag=True, help="Do not start the pretend mail service.")
def dev(host: str | None, port: int | None, data_dir: Path | None, no_sandbox: bool) -> None:
    """Run an embedded Redis, the API, one worker and the sandbox."""
    from gateway.dev import Plan, run_dev  # noqa: PLC0415

    settings = settings_or_exit()
    configure_logs("warning")
    plan = Plan(
        host=host or settings.host,
        port=port or settings.port,
        data_dir=(data_dir or settings.data_dir or Path("data")).resolve(),
        sandbox=not no_sandbox,
        settings=settings,
    )
    try:
        sys.exit(asyncio.run(run_dev(plan, click.echo)))
    except GatewayError as error:
        fail(error)


def client_options(command: Command) -> Command:
    """Add the options of commands that are clients of a running gateway."""
    for decorate in (
        click.option(
            "--data-dir", type=click.Path(path_type=Path), default=None, help="That of `gateway dev`; default ./data."
        ),
        click.option("--token", default=None, help="An API token; by default the one of `gateway dev`."),
        click.option("--url", default=None, help="Where the gateway is; by default where `gateway dev` is."),
    ):
        command = decorate(command)
    return command


def target_or_exit(url: str | None, token: str | None, data_dir: Path | None) -> tuple[str, str]:
    """Return URL and token of the gateway that a client command is meant for, or say what is missing and leave."""
    from gateway.dev import read_token, read_url  # noqa: PLC0415

    settings = settings_or_exit()
    directory = data_dir or settings.data_dir or Path("data")
    value = token or settings.prepared_token or read_token(directory)
    if value is None:
        click.echo("gateway: no token: give --token, or start `gateway dev` first", err=True)
        sys.exit(2)
    return (url or read_url(directory) or "http://127.0.0.1:3000").rstrip("/"), value


@main.command(short_help="Show the whole flow against a running gateway.")
@click.option(
    "--base-scope",
    type=click.Choice(["imap", "api"]),
    default=None,
    help="Of the app; api: over Microsoft Graph.",
)
@client_options
def demo(url: str | None, token: str | None, data_dir: Path | None, base_scope: str | None) -> None:
    """Sign in to the sandbox, read, act and send, and print each step with its time."""
    from gateway.demo import run_demo  # noqa: PLC0415

    target = target_or_exit(url, token, data_dir)
    sys.exit(asyncio.run(run_demo(*target, click.echo, base_scope=base_scope)))


@main.group(short_help="Watch what happens in a running gateway.")
def events() -> None:
    """Events."""


@events.command("tail")
@click.option("--account", "-a", default=None, help="Only events of this account.")
@click.option("--types", "-t", default="*", help="Names of events, separated by commas; default all of them.")
@click.option("--forward", metavar="URL", default=None, help="Post each event there, as a webhook would.")
@click.option("--secret", default=None, help="Key of the signatures, `whsec_...`; by default a new one.")
@client_options
def tail_events(
    account: str | None,
    types: str,
    forward: str | None,
    secret: str | None,
    url: str | None,
    token: str | None,
    data_dir: Path | None,
) -> None:
    """Print each event in one line as it happens, until Ctrl-C.

    Nothing is missed while the gateway restarts. With --forward, an event is posted until the receiver takes it, and
    those behind it wait.
    """
    from gateway.services.webhooks.requests import new_secret  # noqa: PLC0415
    from gateway.tail import run_tail  # noqa: PLC0415

    target, value = target_or_exit(url, token, data_dir)
    if forward is not None and secret is None:
        secret = new_secret()
        click.echo(f"deliveries are signed with {secret}", err=True)
    running = run_tail(
        target, value, account=account, types=types, forward=forward, secret=secret or "", report=click.echo
    )
    sys.exit(asyncio.run(running))


@main.command(short_help="Find what is wrong with this installation.")
def check() -> None:
    """Look at settings, Redis, the service URL, OAuth2 apps and plugins, and report every problem at once."""
    from gateway.check import problems  # noqa: PLC0415

    found = asyncio.run(problems(os.environ))
    for line in found:
        click.echo(f"problem: {line}")
    if found:
        sys.exit(1)
    click.echo("no problem found")


@main.group(short_help="Issue, list and delete API tokens.")
def tokens() -> None:
    """API tokens."""


@tokens.command("issue")
@click.option("--description", "-d", required=True, help="What the token is for.")
@click.option(
    "--scope",
    "-s",
    "scopes",
    multiple=True,
    default=("api",),
    type=click.Choice(["api", "metrics", "smtp", "mcp", "*"]),
)
@click.option("--account", "-a", default=None, help="Bind the token to one account.")
def issue_token(description: str, scopes: tuple[Any, ...], account: str | None) -> None:
    """Make a token and print its value, which is shown this once."""

    async def work(settings: Settings) -> None:
        async with _services(settings) as services:
            created = await services.tokens.issue_unrestricted(description, scopes, account)
            click.echo(created.token)

    run_short(work)


@tokens.command("list")
def list_tokens() -> None:
    """List tokens: id, scopes, account, description."""

    async def work(settings: Settings) -> None:
        async with _services(settings) as services:
            for token in (await services.tokens.list(page=0, page_size=1_000_000)).tokens:
                click.echo(f"{token.id}  {','.join(token.scopes)}  {token.account or '-'}  {token.description}")

    run_short(work)


@tokens.command("delete")
@click.argument("token")
def delete_token(token: str) -> None:
    """Delete a token, named by its id or by its value."""

    async def work(settings: Settings) -> None:
        async with _services(settings) as services:
            if not (await services.tokens.delete(token)).deleted:
                click.echo("gateway: there is no such token", err=True)
                sys.exit(1)

    run_short(work)


def _services(settings: Settings) -> Any:
    from gateway.services.container import open_services  # noqa: PLC0415

    return open_services(settings)


@main.group(short_help="Keys that stored secrets are sealed with.")
def secrets() -> None:
    """Keys."""


@secrets.command("generate")
def generate_secret() -> None:
    """Print a new key for GATEWAY_SECRET_KEYS; put it before the keys in use."""
    click.echo(random_secrets.token_hex(32))


@main.command(short_help="List the installed plugins.")
def plugins() -> None:
    """List plugins: name, distribution, version, providers with capabilities, and what failed."""
    from gateway.plugins import load_plugins  # noqa: PLC0415
    from gateway.provider import Environment  # noqa: PLC0415

    found = load_plugins(Environment(data_dir=settings_or_exit().data_dir))
    for info in found.installed:
        click.echo(f"{info.name}  {info.distribution} {info.version}")
        for name in info.providers:
            abilities = " ".join(sorted(found.providers[name].capabilities))
            click.echo(f"  provider {name}: {abilities}")
        for name in info.identities:
            kinds = ", ".join(" ".join(pair) for pair in sorted(found.identities[name].app_types))
            click.echo(f"  identities {name}: {kinds}")
        for name in info.sandboxes:
            click.echo(f"  sandbox {name}")
        if info.error is not None:
            click.echo(f"  failed: {info.error}")
    if any(info.error is not None for info in found.installed):
        sys.exit(1)


@main.command(short_help="Print the OpenAPI document.")
def openapi() -> None:
    """Print the OpenAPI document of the API."""
    from gateway.api.catalogue import OPERATIONS  # noqa: PLC0415
    from gateway.api.openapi import openapi_document  # noqa: PLC0415

    click.echo(msgspec.json.format(msgspec.json.encode(openapi_document(OPERATIONS)), indent=2).decode())
