"""Mailboxes over Microsoft Graph: the sandbox's, whose limits are Exchange's."""

from __future__ import annotations

import base64
import contextlib
import json
import statistics
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from urllib.parse import quote

from tests.acceptance.client import CLIENT_PAGE, Browser
from tests.acceptance.graph_telephone import telephone_of
from tests.bench.figures import Figures
from tests.bench.installation import Gateway, messages_path
from tests.bench.letters import letter
from tests.bench.loads import cpu_each, get, run_load, speed
from tests.bench.measures import Extent
from tests.bench.receiver import running_receiver
from tests.rigs.processes import rig_directory, wait_until
from tests.rigs.redis_server import RedisServer
from tests.rigs.sandbox_lab import SandboxLab, open_sandbox_lab

_PAGE = 20
_PAUSE = 0.3
_IMPORTERS = 4
#: Seconds that an importer lets the gateway wait for its turn.
_IMPORT_TIMEOUT = 300


def graph(figures: Figures, extent: Extent, rounds: int, report: Callable[[str], None]) -> None:
    """Listings and messages, from a change to the webhook, calls of Microsoft, and last an import."""
    with _running() as (gateway, lab, pids):
        account = _connected(gateway, lab)
        for number in range(rounds):
            report(f"graph, round {number + 1} of {rounds}")
            _reading(figures, gateway, pids, account, extent)
            _webhooks(figures, gateway, lab, account, extent.sent // 5)
            _calls(figures, gateway, lab, account, extent.sent * 5)
        report("graph, import")
        _import(figures, gateway, account, extent.imported)


@contextlib.contextmanager
def _running() -> Iterator[tuple[Gateway, SandboxLab, dict[str, int]]]:
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(open_sandbox_lab("graph", "api"))
        store, directory = (stack.enter_context(rig_directory(f"bench-{name}")) for name in ("redis", "gateway"))
        redis = RedisServer(store)
        entry = lab.clouds_entry()
        (directory / "clouds.json").write_text(json.dumps({lab.app_fields()["cloud"]: entry}))
        gateway = Gateway(directory, redis.url, SSL_CERT_FILE=entry["ca_file"])
        for server in (redis, gateway):
            stack.callback(server.stop)
            server.start()
        pid = redis._process.pid
        assert pid is not None
        yield gateway, lab, {**gateway.pids, "Redis": pid}


def _connected(gateway: Gateway, lab: SandboxLab) -> str:
    """Sign somebody in, and wait until Microsoft calls for them."""
    url = f"http://127.0.0.1:{gateway.port}"
    gateway.ask("/v1/settings", {"serviceUrl": url})
    app = {"name": "Graph", "provider": "outlook", "enabled": True, "redirectUrl": f"{url}/oauth", **lab.app_fields()}
    type_ = gateway.ask("/v1/oauth2", app)["id"]
    form = {"account": "graph", "type": type_, "redirectUrl": CLIENT_PAGE}
    browser = Browser(url)
    browser.sign_in(gateway.ask("/v1/authentication/form", form)["url"], lab, lab.users[0])
    browser.close()

    def called() -> bool:
        return bool(gateway.ask("/v1/account/graph").get("push", {}).get("active"))

    wait_until(called, "Microsoft calls", 60)
    for number in range(_PAGE):
        lab.deliver(lab.users[0], letter(lab.users[0], number))
    return "graph"


def _reading(figures: Figures, gateway: Gateway, pids: dict[str, int], account: str, extent: Extent) -> None:
    path = f"{messages_path(account)}&pageSize={_PAGE}"
    messages = [
        f"/v1/account/{quote(account)}/message/{entry['id']}?textType=*" for entry in gateway.ask(path)["messages"]
    ]
    for name, paths in (("list, page 0", [path]), ("message with text", messages)):
        for at_once in extent.crowds[:2]:
            seen, cpu = run_load(gateway, pids, list(map(get, paths)), at_once, seconds=extent.seconds)
            figures.add(f"Graph: {name}, {at_once} at once", {**speed(seen), **cpu_each(cpu, seen)})


def _webhooks(figures: Figures, gateway: Gateway, lab: SandboxLab, account: str, messages: int) -> None:
    """From the end of a delivery in the sandbox, which calls then, to the webhook."""
    user, took = lab.users[0], []
    with running_receiver() as receiver:
        gateway.ask(
            "/v1/settings", {"webhooksEnabled": True, "webhooks": receiver.url, "webhookEvents": ["messageNew"]}
        )
        for number in range(messages):
            time.sleep(_PAUSE)
            lab.deliver(user, letter(user, 100_000 + number))
            began = time.time()
            (came,) = receiver.wait(1, 60.0)
            took.append(came - began)
        gateway.ask("/v1/settings", {"webhooksEnabled": False})
    values = {"p50 ms": statistics.median(took) * 1000, "p95 ms": statistics.quantiles(took, n=20)[-1] * 1000}
    figures.add("Graph: from a change to the webhook", values)


def _calls(figures: Figures, gateway: Gateway, lab: SandboxLab, account: str, count: int) -> None:
    """Calls of Microsoft, eight at once, each of one change; how long Microsoft waits for the answer."""
    phone = telephone_of(lab, lab.users[0], Random(0))
    (subscription,) = phone.call("GET", "/subscriptions")["value"]
    phone.close()
    change = {"subscriptionId": subscription["id"], "clientState": subscription["clientState"], "changeType": "updated"}
    took: list[float] = []

    def call(number: int) -> None:
        body = json.dumps({"value": [{**change, "resourceData": {"id": f"nobody-{number}"}}]}).encode()
        request = urllib.request.Request(subscription["notificationUrl"], body, {"Content-Type": "application/json"})
        began = time.perf_counter()
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 202
        took.append(time.perf_counter() - began)

    began = time.perf_counter()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(call, range(count)))
    values = {
        "p50 ms": statistics.median(took) * 1000,
        "p99 ms": statistics.quantiles(took, n=100)[-1] * 1000,
        "calls/s": count / (time.perf_counter() - began),
    }
    figures.add("Graph: calls of Microsoft, 8 at once", values)


def _import(figures: Figures, gateway: Gateway, account: str, count: int) -> None:
    """Store messages, four at once, under the limits of a mailbox, while somebody lists another one."""
    ended, took = threading.Event(), []

    def store(number: int) -> None:
        raw = base64.b64encode(letter("alice", 1_000_000 + number)).decode()
        gateway.ask(
            f"/v1/account/{quote(account)}/message",
            {"path": "Archive", "raw": raw, "flags": ["\\Seen"]},
            timeout=_IMPORT_TIMEOUT,
        )

    def watch() -> None:
        while not ended.wait(_PAUSE):
            began = time.perf_counter()
            gateway.ask(f"{messages_path(account)}&pageSize={_PAGE}")
            took.append(time.perf_counter() - began)

    reader = threading.Thread(target=watch)
    reader.start()
    began = time.perf_counter()
    try:
        with ThreadPoolExecutor(_IMPORTERS) as threads:
            list(threads.map(store, range(count)))
    finally:
        seconds = time.perf_counter() - began
        ended.set()
        reader.join()
    values = {"s": seconds, "list p50 ms": statistics.median(took) * 1000, "list max ms": max(took) * 1000}
    figures.add(f"Graph: import of {count} messages", values)
