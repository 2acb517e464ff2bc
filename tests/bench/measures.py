"""What is measured. Each function does one round and notes its values; times of the CPU are those of whole trees."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from tests.bench.figures import Figures
from tests.bench.installation import (
    ATTACHMENTS,
    LARGE_MAILBOX,
    LARGE_USER,
    UNWATCHED,
    Gateway,
    Installation,
    messages_path,
)
from tests.bench.letters import letter
from tests.bench.loads import cpu_each, get, post, run_load, speed
from tests.bench.meters import MIB, Memory, cpu_seconds, memory
from tests.rigs.ports import reserve_port
from tests.rigs.processes import ServerProcess, rig_directory, wait_until
from tests.rigs.redis_server import RedisServer

_DELIVERY_SECONDS = 120.0
_RECIPIENTS = 10


@dataclass(frozen=True)
class Extent:
    """How much to do: seconds of each load, messages to send, messages in the large and in each other mailbox.

    Attributes:
        fleet: numbers of accounts that are watched.
        quiet: seconds for which nothing happens to them.
        imported: messages that are stored over Graph.
    """

    seconds: float = 3.0
    sent: int = 200
    large: int = 10_000
    small: int = 200
    accounts: int = 50
    crowds: tuple[int, ...] = (1, 16, 64)
    fleet: tuple[int, ...] = (100, 500, 2000)
    quiet: float = 60.0
    imported: int = 5000


QUICK = Extent(
    seconds=0.5, sent=20, large=1000, small=20, accounts=5, crowds=(1, 16), fleet=(20, 60), quiet=10.0, imported=100
)


# --- before there are accounts ----------------------------------------------------------------------------------------


def start(figures: Figures) -> None:
    """From nothing to a healthy gateway: two processes on a Redis that runs, and everything at once."""
    with rig_directory("bench-redis") as store, rig_directory("bench-gateway") as directory:
        redis = RedisServer(store)
        gateway = Gateway(directory, redis.url)
        redis.start()
        try:
            began = time.perf_counter()
            gateway.start()
            seconds = time.perf_counter() - began
            cpu = cpu_seconds(gateway.pids)
            figures.add("start: serve and worker", {"s": seconds, **_milliseconds(cpu)})
        finally:
            gateway.stop()
            redis.stop()
    _start_dev(figures)


def _start_dev(figures: Figures) -> None:
    with rig_directory("bench-dev") as directory:
        port = reserve_port()
        command = [sys.executable, "-m", "gateway", "dev", "--no-sandbox", "--port", str(port)]
        process = ServerProcess([*command, "--data-dir", str(directory / "data")], directory / "dev.log")
        try:
            began = time.perf_counter()
            # It writes this file when everything is ready.
            process.start((directory / "data" / "dev.json").exists)
            seconds = time.perf_counter() - began
            assert process.pid is not None
            figures.add("start: gateway dev --no-sandbox", {"s": seconds, **_mebibytes(memory({"": process.pid})[""])})
        finally:
            process.stop(10.0)


def note_memory(figures: Figures, installation: Installation, when: str) -> None:
    """The memory of each process, and of the gateway with its Redis."""
    found = memory(installation.pids)
    for name, used in found.items():
        figures.add(f"memory, {when}: {name}", _mebibytes(used))
    own = [found[name] for name in ("API", "worker", "Redis")]
    figures.add(f"memory, {when}: API + worker + Redis", _mebibytes(Memory(*map(sum, zip(*own, strict=True)))))


def _mebibytes(used: Memory) -> dict[str, float]:
    return {"RSS MiB": used.rss / MIB, "USS MiB": used.uss / MIB, "PSS MiB": used.pss / MIB}


def _milliseconds(cpu: dict[str, float]) -> dict[str, float]:
    return {f"{name} CPU ms": seconds * 1000 for name, seconds in cpu.items()}


# --- reading ----------------------------------------------------------------------------------------------------------


def listing(figures: Figures, installation: Installation, extent: Extent) -> None:
    """Pages of 20: the newest and any page of a large mailbox, and the newest of each account.

    From the index, which is asked of the watched inbox, and through a worker.
    """
    numbers = random.Random(extent.large).sample(range(extent.large // 20), min(200, extent.large // 20))
    cases: dict[str, list[str]] = {}
    for kind, mailbox in (("index", "INBOX"), ("list", UNWATCHED)):
        newest = messages_path(LARGE_USER, mailbox)
        cases[f"{kind}, page 0 of the large mailbox"] = [newest]
        cases[f"{kind}, any page of the large mailbox"] = [f"{newest}&page={number}" for number in numbers]
        cases[f"{kind}, page 0 of each account"] = [messages_path(user, mailbox) for user in installation.users[1:]]
    cases["account, no worker involved"] = [f"/v1/account/{quote(LARGE_USER)}"]
    for name, paths in cases.items():
        for at_once in extent.crowds:
            _read(figures, installation, f"{name}, {at_once} at once", paths, at_once, extent.seconds)


def text(figures: Figures, installation: Installation, extent: Extent) -> None:
    """Single messages with their text."""
    listed = installation.gateway.ask(f"{messages_path(LARGE_USER)}&pageSize=200")["messages"]
    paths = [f"/v1/account/{quote(LARGE_USER)}/message/{entry['id']}?textType=*" for entry in listed]
    for at_once in extent.crowds[:2]:
        _read(figures, installation, f"message with text, {at_once} at once", paths, at_once, extent.seconds)


def search(figures: Figures, installation: Installation, extent: Extent) -> None:
    """The newest of the unseen messages of the large mailbox, which are all of them."""
    call = post(f"/v1/account/{quote(LARGE_USER)}/search?path={quote(UNWATCHED)}", {"search": {"unseen": True}})
    for at_once in extent.crowds[:2]:
        seen, cpu = run_load(installation.gateway, installation.pids, [call], at_once, seconds=extent.seconds)
        figures.add(f"search unseen in the large mailbox, {at_once} at once", {**speed(seen), **cpu_each(cpu, seen)})


def attachment(figures: Figures, installation: Installation, extent: Extent) -> None:
    """A large and a small attachment, over and over."""
    entries = installation.gateway.ask(messages_path(LARGE_USER, LARGE_MAILBOX))["messages"]
    by_size = {entry["attachments"][0]["encodedSize"]: entry["attachments"][0]["id"] for entry in entries}
    for name, size in zip(sorted(ATTACHMENTS, key=ATTACHMENTS.__getitem__), sorted(by_size), strict=True):
        path = f"/v1/account/{quote(LARGE_USER)}/attachment/{by_size[size]}"
        for at_once in (1, 4, 16):
            seen, cpu = run_load(installation.gateway, installation.pids, [get(path)], at_once, seconds=extent.seconds)
            values = {**speed(seen), "MB/s": seen["octets"] / seen["seconds"] / 1e6, **cpu_each(cpu, seen)}
            figures.add(f"attachment of {name}, {at_once} at once", values)


def second_opinion(figures: Figures, installation: Installation, extent: Extent) -> None:
    """The newest page of the large mailbox at 16 at once, as wrk(1) sees it, where that is installed."""
    if shutil.which("wrk") is None:
        return
    gateway = installation.gateway
    url = f"http://127.0.0.1:{gateway.port}{messages_path(LARGE_USER)}"
    command = [
        "wrk",
        "-t1",
        "-c16",
        f"-d{max(1, round(extent.seconds))}s",
        "-H",
        f"Authorization: Bearer {gateway.token}",
    ]
    shown = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec: +([\d.]+)", shown)
    if rate is not None:
        figures.add("wrk: page 0 of the large mailbox, 16 at once", {"req/s": float(rate[1])})


def _read(
    figures: Figures, installation: Installation, name: str, paths: Sequence[str], at_once: int, seconds: float
) -> None:
    seen, cpu = run_load(
        installation.gateway, installation.pids, [get(path) for path in paths], at_once, seconds=seconds
    )
    figures.add(name, {**speed(seen), **cpu_each(cpu, seen)})


# --- sending ----------------------------------------------------------------------------------------------------------


def submission(figures: Figures, installation: Installation, extent: Extent) -> None:
    """Messages from all accounts to ten others: how fast they are accepted, and how fast they are in the mailboxes."""
    dovecot = installation.dovecot
    recipients = [dovecot.new_user() for _ in range(_RECIPIENTS)]
    calls = [
        post(
            f"/v1/account/{quote(installation.users[number % len(installation.users)])}/submit",
            {
                "to": [{"address": recipients[number % _RECIPIENTS]}],
                "subject": f"Message {number}",
                "text": "The figures are attached. " * 20,
                "html": "<p>The figures are attached.</p>" * 20,
            },
        )
        for number in range(extent.sent)
    ]
    for recipient in recipients:
        # Dovecot 2.3 fails an assertion when several deliveries at once are the first to open a mailbox.
        dovecot.deliver(recipient, letter(recipient, 0))
    before = cpu_seconds(installation.pids)
    began = time.perf_counter()
    seen, accepting = run_load(installation.gateway, installation.pids, calls, 16, count=extent.sent)
    figures.add("submit, 16 at once", {**speed(seen), **cpu_each(accepting, seen)})
    expected = extent.sent + len(recipients)
    wait_until(
        lambda: sum(map(dovecot.mail_count, recipients)) >= expected, "delivery of everything", _DELIVERY_SECONDS
    )
    seconds = time.perf_counter() - began
    used = {name: value - before[name] for name, value in cpu_seconds(installation.pids).items()}
    delivered = {f"{name} CPU": value * 1000 / extent.sent for name, value in used.items()}
    figures.add("submit until delivered", {"messages/s": extent.sent / seconds, **delivered})
