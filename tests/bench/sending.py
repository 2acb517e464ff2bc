"""From a submission to a server that takes everything: how fast messages are accepted, and how fast they leave."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.bench.figures import Figures
from tests.bench.installation import Gateway
from tests.bench.loads import cpu_each, post, run_load, speed
from tests.bench.meters import cpu_seconds
from tests.rigs.ports import reserve_port
from tests.rigs.processes import ServerProcess, accepts_connections, rig_directory, wait_until
from tests.rigs.redis_server import RedisServer

_ACCOUNTS = 50
_AT_ONCE = 16
_SECONDS = 120.0


def outbox(figures: Figures, messages: int, rounds: int, report: Callable[[str], None]) -> None:
    """Small messages to one recipient each, from many accounts: accepted while nothing is sent, then sent.

    Last, one after the other: from the request to the time at which the outbox has it no more.
    """
    with _running() as (gateway, port, pids):
        accounts = [f"sender-{number}" for number in range(_ACCOUNTS)]
        sink = {"host": "127.0.0.1", "port": port, "secure": False}
        for account in accounts:
            gateway.ask(
                "/v1/account", {"account": account, "name": account, "email": f"{account}@example.org", "smtp": sink}
            )
        for number in range(rounds):
            report(f"outbox, round {number + 1} of {rounds}")
            _accept(figures, gateway, pids, accounts, messages)
            _deliver(figures, gateway, pids, messages)
        _single(figures, gateway, accounts, messages // 20)


def _accept(figures: Figures, gateway: Gateway, pids: dict[str, int], accounts: list[str], messages: int) -> None:
    gateway.ask("/v1/settings/queue/submit", {"paused": True}, method="PUT")
    calls = [post(f"/v1/account/{account}/submit", _message(number)) for number, account in enumerate(accounts)]
    seen, cpu = run_load(gateway, pids, calls, _AT_ONCE, count=messages)
    figures.add("accept a small message, 16 at once", {**speed(seen), **cpu_each(cpu, seen)})


def _deliver(figures: Figures, gateway: Gateway, pids: dict[str, int], messages: int) -> None:
    before = cpu_seconds(pids)
    began = time.perf_counter()
    gateway.ask("/v1/settings/queue/submit", {"paused": False}, method="PUT")
    wait_until(lambda: gateway.ask("/v1/outbox?pageSize=1")["total"] == 0, "delivery of everything", _SECONDS)
    seconds = time.perf_counter() - began
    after = cpu_seconds(pids)
    each = {f"{name} CPU": (after[name] - before[name]) * 1000 / messages for name in pids}
    figures.add("deliver to a local server", {"messages/s": messages / seconds, **each})


def _single(figures: Figures, gateway: Gateway, accounts: list[str], messages: int) -> None:
    took = []
    for number in range(messages):
        began = time.perf_counter()
        gateway.ask(f"/v1/account/{accounts[number % _ACCOUNTS]}/submit", _message(number))
        while gateway.ask("/v1/outbox?pageSize=1")["total"]:
            pass
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    figures.add("from submit to sent, idle", {"p50 ms": took[len(took) // 2], "p95 ms": took[len(took) * 95 // 100]})


def _message(number: int) -> dict[str, object]:
    return {"to": [{"address": "somebody@example.com"}], "subject": f"Message {number}", "text": "All is well.\n" * 5}


class _Installation(NamedTuple):
    """A gateway, the port of Postfix' program that takes mail and drops it, and the processes of all."""

    gateway: Gateway
    sink_port: int
    pids: dict[str, int]


@contextlib.contextmanager
def _running() -> Iterator[_Installation]:
    with contextlib.ExitStack() as stack:
        folder = {name: stack.enter_context(rig_directory(f"bench-{name}")) for name in ("redis", "gateway", "sink")}
        port = reserve_port()
        redis = RedisServer(folder["redis"])
        gateway = Gateway(folder["gateway"], redis.url)
        sink = ServerProcess(["smtp-sink", "-u", "nobody", f"127.0.0.1:{port}", "200"], folder["sink"] / "sink.log")
        for server in (redis, sink, gateway):
            stack.callback(server.stop)
        redis.start()
        sink.start(lambda: accepts_connections(port))
        gateway.start()
        servers = {"Redis": redis._process.pid, "sink": sink.pid}
        yield _Installation(gateway, port, {**gateway.pids, **{name: pid for name, pid in servers.items() if pid}})
