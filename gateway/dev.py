"""``gateway dev``: everything on one machine, as child processes of one supervisor.

An embedded Redis, the API, one worker, and the sandbox in this process. What they know of each other is in one data
directory: the key, the token, Redis' file, the sandbox' mail. A child that dies is started again, one that does not
even start ends all; Ctrl-C stops all in order. Should the supervisor itself die, the API and the worker notice the end
of their standard input and stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import secrets
import signal
import ssl
import sys
import time
import urllib.error
import urllib.request
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.embedded_redis import embedded_redis
from gateway.errors import ConfigurationError
from gateway.listening import check_address
from gateway.plugins import load_plugins
from gateway.provider import Environment, Sandbox, SandboxInfo
from gateway.redis import UNREACHABLE, keys, open_client
from gateway.settings import Settings, decode_token
from gateway.supervision import Child, Report, supervised

READY_SECONDS = 60.0

_TOKEN_FILE = "token"
_KEY_FILE = "secret-key"
_TRUST_FILE = "trusted.pem"
_STATE_FILE = "dev.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run, and where."""

    host: str
    port: int
    data_dir: Path
    sandbox: bool
    settings: Settings

    @property
    def url(self) -> str:
        """Where the API is reached from this machine."""
        everywhere = ("0.0.0.0", "::")  # noqa: S104  compared, not bound
        host = "127.0.0.1" if self.host in everywhere else self.host
        return f"http://{host}:{self.port}"

    @property
    def service_url(self) -> str:
        """Where people and clients reach it."""
        return self.settings.service_url or self.url


@dataclass(frozen=True, slots=True)
class _RunningSandbox:
    sandbox: Sandbox
    info: SandboxInfo


async def run_dev(plan: Plan, report: Report) -> int:
    """Run everything until SIGINT or SIGTERM; return the exit code.

    Raises:
        ConfigurationError: a part cannot be started.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Whoever listens there already would be taken for the API.
    check_address(plan.host, plan.port)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    plan.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        if not await _started(plan, report, stack, stop):
            return 0
        await stop.wait()
        report("\nStopping ...")
    report("Stopped.")
    return 0


async def _started(plan: Plan, report: Report, stack: AsyncExitStack, stop: asyncio.Event) -> bool:
    """Start the parts one after the other; False when `stop` was set meanwhile."""
    began = time.monotonic()
    token = plan.settings.prepared_token or _kept(plan.data_dir / _TOKEN_FILE)
    _write_private(plan.data_dir / _TOKEN_FILE, token)
    report(f"Data directory: {plan.data_dir}")
    with _step(report, "Redis"):
        redis_url = await stack.enter_async_context(embedded_redis(plan.data_dir, report))
    sandbox = await _start_sandbox(plan, report, stack)
    environment = _environment(plan, redis_url, token)
    if sandbox is not None and sandbox.info.ca_file is not None:
        _trust(sandbox.info.ca_file, plan.data_dir / _TRUST_FILE, environment)
    with _step(report, "API and worker"):
        children = [
            await stack.enter_async_context(
                supervised(f"The process `gateway {name}`", functools.partial(_spawn, name, environment), report)
            )
            for name in ("worker", "serve")
        ]
        if not await _ready(plan.url, redis_url, stop, children):
            return False
    if sandbox is not None:
        await asyncio.to_thread(_prepare_app, plan.url, plan.service_url, token, sandbox.sandbox)
    _write_state(plan, redis_url, sandbox)
    _welcome(plan, report, token, redis_url, sandbox, time.monotonic() - began)
    return True


async def _start_sandbox(plan: Plan, report: Report, stack: AsyncExitStack) -> _RunningSandbox | None:
    if not plan.sandbox:
        return None
    plugins = load_plugins(Environment(data_dir=plan.data_dir))
    for info in plugins.installed:
        if info.error is not None:
            report(f"Plugin {info.name} of {info.distribution} failed: {info.error}")
    for sandbox in plugins.sandboxes.values():
        with _step(report, f"Sandbox ({sandbox.name})"):
            return _RunningSandbox(sandbox, await stack.enter_async_context(sandbox.running(plan.data_dir)))
    report("No sandbox plugin is installed.")
    return None


@contextlib.contextmanager
def _step(report: Report, name: str) -> Any:
    report(f"Starting {name} ...")
    began = time.monotonic()
    yield
    report(f"  ready after {time.monotonic() - began:.1f} s")


def _environment(plan: Plan, redis_url: str, token: str) -> dict[str, str]:
    environment = dict(os.environ)
    # The children are told all of it, so that they do not depend on how the supervisor was told.
    environment |= {
        "GATEWAY_REDIS_URL": redis_url,
        "GATEWAY_HOST": plan.host,
        "GATEWAY_PORT": str(plan.port),
        "GATEWAY_DATA_DIR": str(plan.data_dir),
        "GATEWAY_PREPARED_TOKEN": token,
        "GATEWAY_SERVICE_URL": plan.service_url,
    }
    environment.setdefault("GATEWAY_LOG_LEVEL", "warning")
    # Whoever tries webhooks here receives them on this machine.
    environment.setdefault("GATEWAY_EGRESS", "private")
    environment.pop("GATEWAY_BROKER_URL", None)
    if not plan.settings.secret_keys:
        environment["GATEWAY_SECRET_KEYS"] = _kept(plan.data_dir / _KEY_FILE)
    return environment


def _trust(ca_file: Path, bundle: Path, environment: dict[str, str]) -> None:
    """Let the children trust the sandbox, beside what this machine trusts: its mailbox with a password needs that."""
    usual = environment.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    files = [Path(usual)] if usual is not None and Path(usual).is_file() else []
    bundle.write_text("\n".join(file.read_text() for file in [*files, ca_file]))
    environment["SSL_CERT_FILE"] = str(bundle)


def _kept(path: Path) -> str:
    """Return the 64 hex digits in a file, made at the first time."""
    if not path.exists():
        _write_private(path, secrets.token_hex(32))
    text = path.read_text().strip()
    try:
        return decode_token(text)
    except ValueError as error:
        raise ConfigurationError(f"{path} does not hold 64 hex digits") from error


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")


def read_token(data_dir: Path) -> str | None:
    """Return the token that `gateway dev` left in its data directory."""
    path = data_dir / _TOKEN_FILE
    return path.read_text().strip() if path.is_file() else None


def read_url(data_dir: Path) -> str | None:
    """Return where `gateway dev` with this data directory was reached when it last ran."""
    path = data_dir / _STATE_FILE
    if not path.is_file():
        return None
    try:
        return str(json.loads(path.read_text())["url"])
    except (ValueError, KeyError):
        return None


async def _spawn(name: str, environment: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        # A folder called `gateway` where this was started is not the gateway.
        "-P",
        "-m",
        "gateway",
        name,
        "--with-parent",
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        # Ctrl-C in the terminal must reach only the supervisor, which stops the others in order.
        start_new_session=True,
    )


async def _ready(url: str, redis_url: str, stop: asyncio.Event, children: list[Child]) -> bool:
    """Wait until the children work; False when `stop` was set meanwhile."""
    deadline = time.monotonic() + READY_SECONDS
    # The worker is looked for first: the API would log each time that it was asked too early.
    while not (await _worker_alive(redis_url) and await asyncio.to_thread(_healthy, url)):
        if stop.is_set():
            return False
        for child in children:
            if child.failed:
                raise ConfigurationError(f"{child.name} does not start; its messages are above")
        if time.monotonic() > deadline:
            raise ConfigurationError("the API did not become ready; its messages are above")
        await asyncio.sleep(0.05)
    for child in children:
        child.ready = True
    return True


async def _worker_alive(redis_url: str) -> bool:
    client = open_client(redis_url)
    try:
        names = await client.smembers(keys.WORKERS)
        return bool(names) and bool(await client.exists(*(keys.worker(os.fsdecode(name)) for name in names)))
    except UNREACHABLE:
        # It died and is being started again.
        return False
    finally:
        await client.aclose()


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _request(method: str, url: str, token: str, payload: dict[str, Any] | None = None) -> Any:
    data = json.dumps(payload).encode() if payload is not None else None
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise ConfigurationError(f"the API answered {error.code}: {error.read().decode(errors='replace')}") from error


def _prepare_app(url: str, service_url: str, token: str, sandbox: Sandbox) -> None:
    """Register the sandbox' OAuth2 app, or tell the one that is there where the gateway is now."""
    redirect_url = f"{service_url}/oauth"
    known = [
        app
        for app in _request("GET", f"{url}/v1/oauth2?pageSize=1000", token)["apps"]
        if app.get("clientId") == sandbox.app["clientId"] and app.get("cloud") == sandbox.app["cloud"]
    ]
    for app in known:
        if app.get("redirectUrl") != redirect_url:
            _request("PUT", f"{url}/v1/oauth2/{app['id']}", token, {"redirectUrl": redirect_url})
    if not known:
        app = {"name": "Sandbox", "title": "Sign in with Microsoft", "enabled": True, "redirectUrl": redirect_url}
        _request("POST", f"{url}/v1/oauth2", token, {**app, **sandbox.app})


def _write_state(plan: Plan, redis_url: str, sandbox: _RunningSandbox | None) -> None:
    """Leave what other tools ask for: where Redis and the sandbox are."""
    state = {"url": plan.url, "redisUrl": redis_url, "pid": os.getpid()}
    if sandbox is not None:
        state |= {"controlUrl": sandbox.info.control_url}
    _write_private(plan.data_dir / _STATE_FILE, json.dumps(state))


def _welcome(
    plan: Plan, report: Report, token: str, redis_url: str, sandbox: _RunningSandbox | None, seconds: float
) -> None:
    report(f"\nReady after {seconds:.1f} s.\n")
    report(f"  Dashboard   {plan.service_url}/admin")
    report(f"  API         {plan.service_url}/v1   reference at {plan.service_url}/docs")
    report(f"  API token   {token}")
    if sandbox is not None:
        report(f"  Mailboxes   {', '.join(sandbox.sandbox.users)}   (pretend Microsoft 365: pick one when you sign in)")
        for line in sandbox.info.other_mailboxes:
            report(f"              {line}")
        report(f"  Failures    {sandbox.info.control_url}/failures   switches the sandbox' failures on and off")
    report(f"  Redis       {redis_url}")
    report(f"\nTry `{_demo_command(plan.data_dir)}` in another terminal. Ctrl-C stops everything.\n")


def _demo_command(data_dir: Path) -> str:
    """Return what to type in this directory: the command as it was called, which need not be on PATH."""
    called = sys.argv[0] if Path(sys.argv[0]).name == "gateway" else "gateway"
    elsewhere = data_dir != Path("data").resolve()
    return f"{called} demo --data-dir {data_dir}" if elsewhere else f"{called} demo"
