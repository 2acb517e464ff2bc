"""A whole gateway: Redis, the API and workers as processes of their own, pointed at a lab."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import redis

from gateway.testing.fault_proxy import FaultProxy, Faults
from tests.acceptance.client import CLIENT_PAGE, Browser, Client, account_path
from tests.acceptance.log_scan import LogScan
from tests.acceptance.processes import GatewayProcess
from tests.rigs.labs import Lab
from tests.rigs.loop_thread import LoopThread
from tests.rigs.ports import reserve_port
from tests.rigs.processes import accepts_connections, rig_directory, wait_until
from tests.rigs.receiver import Receiver, running_receiver
from tests.rigs.redis_server import RedisServer

#: Workers that every stack starts with.
WORKERS = 3

#: Of the addresses that delivery tests write to.
DELIVERY_DOMAIN = "delivery.test"


class GatewayStack:
    """`gateway serve` and several `gateway worker`, with an OAuth2 app for the lab.

    Proxies stand in front of the lab's IMAP and submission servers; without faults they pass everything on.

    Attributes:
        lab: whose users sign in.
        url: of the API and the hosted pages.
        token: an API token with every right.
        app: id of the OAuth2 app.
        api: calls the API with that token.
        scan: what must not stand in any log of this stack.
        directory: where its processes keep their files.
    """

    def __init__(self, directory: Path, lab: Lab, redis_server: RedisServer, loop: LoopThread) -> None:
        self.lab = lab
        self.redis_server = redis_server
        self.token = secrets.token_hex(32)
        self.scan = LogScan()
        self.directory = directory
        self._loop = loop
        port = reserve_port()
        self.url = f"http://127.0.0.1:{port}"
        entry = lab.clouds_entry()
        self.proxy = FaultProxy((entry["imap"]["host"], entry["imap"]["port"]))
        self.smtp_proxy = FaultProxy((entry["smtp"]["host"], entry["smtp"]["port"]))
        self._key = secrets.token_hex(32)
        self._settings = {
            "GATEWAY_REDIS_URL": redis_server.url,
            "GATEWAY_SECRET_KEYS": self._key,
            "GATEWAY_PORT": str(port),
            "GATEWAY_SERVICE_URL": self.url,
            "GATEWAY_PREPARED_TOKEN": self.token,
            "GATEWAY_DATA_DIR": str(directory),
            "GATEWAY_LOG_LEVEL": "debug",
            "GATEWAY_DELIVERY_TEST_DOMAIN": DELIVERY_DOMAIN,
            # Webhook receivers are on loopback, too.
            "GATEWAY_EGRESS": "private",
        }
        if lab.name in ("sandbox", "graph"):
            # Where OpenSSL looks for the system's authorities: this stack's machine trusts its lab, others do not.
            self._settings["SSL_CERT_FILE"] = entry["ca_file"]
        self.server = GatewayProcess("serve", ["serve", "--with-parent"], self._settings, directory / "serve.log")
        self.servers = [self.server]
        self.workers: list[GatewayProcess] = []
        self.api = Client(self.url, self.token)
        self.app = ""

    def start(self) -> None:
        """Start everything and register the OAuth2 app."""
        for proxy in (self.proxy, self.smtp_proxy):
            self._loop.run(proxy.__aenter__())
        entry = self.lab.clouds_entry()
        imap = {**entry["imap"], "port": self.proxy.address[1]}
        smtp = {**entry["smtp"], "port": self.smtp_proxy.address[1]}
        clouds = {self.lab.app_fields()["cloud"]: {**entry, "imap": imap, "smtp": smtp}}
        (self.directory / "clouds.json").write_text(json.dumps(clouds))
        for _ in range(WORKERS):
            self.start_worker()
        self.server.start()
        self.wait_until_healthy()
        self.app = self.create_app()
        self.scan.plant(self.token, self._key, *self.lab.users)

    def stop(self) -> None:
        """Stop everything in good order, then read all logs for what must not stand there.

        Raises:
            AssertionError: a process did not end cleanly, or a log holds a secret.
        """
        self.api.close()
        codes = {process.name: process.stop() for process in self.processes if process.running}
        self._loop.run(self._close_proxies())
        assert set(codes.values()) <= {0}, f"{codes}\n{self.log_tail()}"
        self.scan.check(*self.logs)

    def abandon(self) -> None:
        """End whatever runs; for a stack that could not be stopped."""
        for process in self.processes:
            process.kill()

    def create_app(self, **members: Any) -> str:
        """Register an OAuth2 app for the lab and return its id."""
        fields = {"name": "Lab", "provider": "outlook", "baseScopes": "imap", "enabled": True}
        payload = {**fields, "redirectUrl": f"{self.url}/oauth", **self.lab.app_fields(), **members}
        self.scan.plant(payload["clientSecret"])
        return str(self.api.post("/v1/oauth2", payload)["id"])

    def start_server(self) -> str:
        """Start one more API process and return its URL; nothing is known yet about how far it has come."""
        name, port = f"serve-{len(self.servers)}", reserve_port()
        settings = {**self._settings, "GATEWAY_PORT": str(port)}
        server = GatewayProcess(name, ["serve", "--with-parent"], settings, self.directory / f"{name}.log")
        self.servers.append(server)
        server.start()
        return f"http://127.0.0.1:{port}"

    def start_smtp(self, **further: str) -> int:
        """Start the SMTP server with further settings, wait until it answers, and return its port."""
        return self._start_listening("smtp", **further)

    def start_inbound(self, resolver: str) -> int:
        """Start the receiver of delivery tests with a name server of its own; return its port once it answers."""
        return self._start_listening("inbound", GATEWAY_INBOUND_RESOLVER=resolver)

    def _start_listening(self, command: str, **members: str) -> int:
        port = reserve_port()
        settings = {**self._settings, **members, f"GATEWAY_{command.upper()}_PORT": str(port)}
        process = GatewayProcess(command, [command, "--with-parent"], settings, self.directory / f"{command}.log")
        self.servers.append(process)
        process.start()
        wait_until(lambda: accepts_connections(port), f"{command} ready", 60)
        return port

    def start_worker(self) -> GatewayProcess:
        """Start one more worker and wait until it is known."""
        name = f"worker-{len(self.workers)}"
        arguments = ["worker", "--with-parent", "--name", name]
        worker = GatewayProcess(name, arguments, self._settings, self.directory / f"{name}.log")
        self.workers.append(worker)
        worker.start()
        return worker

    def wait_for_worker(self, worker: GatewayProcess) -> None:
        """Wait until a worker takes jobs."""
        with self.redis() as client:
            key = f"{{gw}}:worker:{worker.name}"
            wait_until(lambda: client.exists(key), f"{worker.name} ready", 60)

    def kill_worker(self, number: int) -> GatewayProcess:
        """End a worker as a power cut would."""
        self.workers[number].kill()
        return self.workers[number]

    @property
    def processes(self) -> list[GatewayProcess]:
        """Everything of the gateway that was ever started here."""
        return [*self.servers, *self.workers]

    @property
    def running_workers(self) -> list[GatewayProcess]:
        """The workers that run."""
        return [worker for worker in self.workers if worker.running]

    def slow_down(self, latency: float) -> None:
        """Let everything that the lab's IMAP server says arrive so many seconds late, from now on."""
        self.proxy.to_client = Faults(latency=latency)

    def redis(self) -> redis.Redis:
        """A client of the stack's Redis, for tests that look at what is left there."""
        return redis.Redis.from_url(self.redis_server.url)

    def form_link(self, account: str | None, *, app: str | None = None, **members: Any) -> str:
        """Return a link to the hosted form that leads straight to the identity provider."""
        payload = {"account": account, "type": app or self.app, "redirectUrl": CLIENT_PAGE, **members}
        return str(self.api.post("/v1/authentication/form", payload)["url"])

    def sign_in(self, user: str, account: str | None, **members: Any) -> str:
        """Have a user sign in through the hosted form; returns the account, which need not be connected yet."""
        with self.browser() as browser:
            parameters = browser.sign_in(self.form_link(account, **members), self.lab, user)
        assert "error" not in parameters, parameters
        return parameters["account"]

    def connect(self, user: str, account: str | None, **members: Any) -> str:
        """Have a user sign in and wait until the account is connected."""
        made = self.sign_in(user, account, **members)
        self.api.wait_for_state(made, "connected")
        return made

    @contextmanager
    def connected(self, user: str, **members: Any) -> Iterator[str]:
        """A connected account that is deleted at the end."""
        account = self.connect(user, f"{user.partition('@')[0]}-{secrets.token_hex(3)}", **members)
        try:
            yield account
        finally:
            self.forget(account)

    def forget(self, account: str) -> None:
        """Delete an account if it is there."""
        self.api.http.delete(account_path(account))

    @contextmanager
    def browser(self) -> Iterator[Browser]:
        """A browser without cookies."""
        browser = Browser(self.url)
        try:
            yield browser
        finally:
            browser.close()

    @contextmanager
    def receiver(self) -> Iterator[Receiver]:
        """A webhook receiver."""
        context = running_receiver()
        receiver = self._loop.run(context.__aenter__())
        try:
            yield receiver
        finally:
            self._loop.run(context.__aexit__(None, None, None))

    @property
    def logs(self) -> list[Path]:
        """The logs of every process that ever ran here."""
        return [process.log for process in self.processes]

    def log_tail(self) -> str:
        """The ends of all logs, for a failing test to print."""
        parts = [f"--- {process.name}\n{process.log_tail(2500)}" for process in self.processes]
        return "\n".join(parts)

    async def _close_proxies(self) -> None:
        for proxy in (self.proxy, self.smtp_proxy):
            await proxy.__aexit__(None, None, None)
        for _ in range(10):
            # Connections close in turns of the loop that come after.
            await asyncio.sleep(0)

    def wait_until_healthy(self) -> None:
        """Wait until the API answers and has its Redis.

        Raises:
            AssertionError: its process has ended.
        """
        wait_until(self._healthy, "gateway ready", 60)

    def _healthy(self) -> bool:
        assert self.server.running, f"the API ended\n{self.server.log_tail()}"
        try:
            return httpx.get(f"{self.url}/health", timeout=5, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False


@contextmanager
def open_stack(lab: Lab, *, durable: bool = False) -> Iterator[GatewayStack]:
    """Start a stack for a lab, and stop it in good order; a `durable` one's Redis may be killed."""
    with ExitStack() as cleanup:
        directory = cleanup.enter_context(rig_directory(f"stack-{lab.name}"))
        server = RedisServer(directory, append_only=durable)
        server.start()
        cleanup.callback(server.stop)
        loop = cleanup.enter_context(LoopThread())
        stack = GatewayStack(directory, lab, server, loop)
        cleanup.callback(stack.abandon)
        stack.start()
        yield stack
        stack.stop()
